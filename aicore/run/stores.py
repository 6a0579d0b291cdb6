# SPDX-License-Identifier: Apache-2.0
"""What each store of a run gets, as its URL and its stack say, and what the engine must make for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from aicore.delivery.selection import Selection
from aicore.errors import UsageError
from aicore.plugins.adaptor import events_of
from aicore.plugins.discovery import Plugins, open_adaptor
from aicore.plugins.options import DeliveryOptions
from aicore.plugins.url import AdaptorURL
from aicore.run.stack import TCP, UDP, Attached

_TRANSPORTS = {"tcp": TCP, "udp": UDP}


@dataclass(frozen=True)
class Store:
    """An adaptor of the run. Not connected yet."""

    adaptor: Any
    url: AdaptorURL | None
    #: Every how many packets of a flow it wants an update, by transport; 0: on discoveries only.
    every: Mapping[int, int]
    #: Final records alone.
    ended: bool
    #: Flows in which a rule matched.
    detected: bool
    #: MiB of memory; None leaves it to the run.
    queue: int | None

    @classmethod
    def of(cls, attached: Attached, plugins: Plugins, *, at_rest: bool) -> Store:
        """Opens what is given by URL. `at_rest`: the source is capture files, whose flows nobody watches live, so that
        a store of one record for each flow gets final ones alone, unless its URL says otherwise. An object of a program
        gets every event. UsageError for options that exclude each other."""
        adaptor = attached.adaptor
        if isinstance(adaptor, str):
            adaptor = open_adaptor(adaptor, plugins)
        given = getattr(adaptor, "url", None)
        url = given if isinstance(given, AdaptorURL) else None
        options = adaptor.delivery if url is not None else DeliveryOptions()
        only = options.only
        if {"all", "ended"} <= only:
            raise UsageError(f"{url.redacted if url else adaptor}: only=all and only=ended exclude each other")
        transports = {number for name, number in _TRANSPORTS.items() if name in only}
        if only & {*_TRANSPORTS, "other"} and not transports & attached.every.keys():
            raise UsageError(f"{url.redacted if url else adaptor}: nothing that it takes is tracked")
        every = {
            number: n if options.every is None else options.every
            for number, n in attached.every.items()
            if not transports or number in transports
        }
        by_default = at_rest and url is not None and events_of(adaptor) == "net" and "all" not in only
        return cls(adaptor, url, every, "ended" in only or by_default, "detected" in only, options.queue)


@dataclass(frozen=True)
class Needs:
    """What the engine makes."""

    transports: frozenset[int]
    #: Packets of a flow between two sampled updates, by transport; 0: none.
    every: Mapping[int, int]
    #: Stores look at inserts and updates, not at final records alone.
    all_events: bool
    #: Some of them get fewer sampled updates than the engine makes.
    thinned: bool

    @classmethod
    def of(cls, stores: Sequence[Store], every: Mapping[int, int], *, hooks: bool) -> Needs:
        """`every` is the stack's own, for runs without stores and, if they look at updates, for `hooks`."""
        wanting = [store.every for store in stores if not store.ended]
        if hooks or not stores:
            wanting.append(every)
        found = {number: gcd(*(one[number] for one in wanting if number in one)) for number in (TCP, UDP)}
        transports = {number for store in stores for number in store.every} or {TCP, UDP}
        own = [store for store in stores if not store.ended]
        thinned = any(n != found[number] for store in own for number, n in store.every.items())
        return cls(frozenset(transports), found, bool(own), thinned)

    def selection(self, store: Store) -> Selection:
        """What of it a store gets."""
        return Selection(
            store.every.keys(),
            tracked=self.transports,
            every=store.every if self.thinned else None,
            ended=store.ended,
            detected=store.detected,
        )


def check_detections(stores: Collection[Store], fields: Collection[str]) -> None:
    """UsageError if a store waits for detections that nobody makes."""
    for store in stores:
        if store.detected and "detections" not in fields:
            raise UsageError(
                f"{store.url.redacted if store.url else store.adaptor}: only=detected needs a plugin that detects, "
                "with the field detections"
            )

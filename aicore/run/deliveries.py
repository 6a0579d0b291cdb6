# SPDX-License-Identifier: Apache-2.0
"""The stores of a run: opened, each with a delivery of its own, and ended together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aicore.delivery import DeadLetters, Delivery, Selection, SpoolSettings, open_spools, spool_path, store_shown
from aicore.plugins.adaptor import DatabaseAdaptor, events_of
from aicore.plugins.discovery import Plugins
from aicore.plugins.options import Wait
from aicore.record.batch import FlowBatch
from aicore.run.context import AdaptorSummary, RunContext
from aicore.run.stores import Store

#: Seconds between two looks whether a store has ended.
_TICK = 0.1


class _Delivered(NamedTuple):
    delivery: Delivery
    #: For people: the URL without secrets, or the class of a program's object.
    target: str
    by_url: bool
    #: The run ends with it.
    stop: bool


class Deliveries:
    """Calls the deliveries directly; each isolates its adaptor. For the thread of run(), but for `hurry` and
    `summaries`."""

    def __init__(self) -> None:
        self._all: list[_Delivered] = []

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(
        self,
        store: Store,
        selection: Selection,
        plugins: Plugins,
        context: RunContext,
        *,
        spool: Path | None,
        settings: SpoolSettings,
        queue_bytes: int,
        wait: Wait | None,
    ) -> None:
        """`selection` is what it gets, `spool` the directory in which stores opened by URL have theirs. `settings`,
        `queue_bytes` of memory, and `wait` hold unless the URL says otherwise."""
        adaptor, url = store.adaptor, store.url
        if isinstance(adaptor, DatabaseAdaptor):
            adaptor.context = context
        own = type(adaptor).__name__
        kind = url.scheme if url else own.lower()
        same = sum(one.delivery.name.partition("#")[0] == kind for one in self._all)
        name = f"{kind}#{same + 1}" if same else kind
        settings = settings.of(adaptor.delivery) if url else settings
        if url and adaptor.delivery.wait is not None:
            wait = adaptor.delivery.wait
        spools = open_spools(spool, url, settings) if spool is not None and url is not None else None
        letters = None
        if spool is not None and url is not None and spools is not None:
            place = spool_path(spool, url).name
            letters = DeadLetters(
                spool / "deadletter",
                name,
                file=place,
                store=store_shown(url),
                max_bytes=settings.size // 16,
                min_free=settings.free,
            )
        delivery = Delivery(
            name,
            adaptor,
            live=context.live,
            events=events_of(adaptor),
            selection=selection,
            queue_bytes=queue_bytes if store.queue is None else store.queue << 20,
            wait=None if wait is None else wait.seconds,
            spool=spools.own if spools is not None else None,
            earlier=spools.earlier if spools is not None else (),
            spools_unusable=spools.unusable if spools is not None else 0,
            spool_always=settings.always,
            deadletters=letters,
            url=url,
        )
        self._all.append(
            _Delivered(delivery, url.redacted if url else own, url is not None, wait is not None and wait.stop)
        )
        plugins.register(f"adaptor:{name}", delivery)

    def start(self) -> None:
        for one in self._all:
            one.delivery.start()

    def put(self, batch: FlowBatch) -> None:
        """Every store gets the batch, whatever becomes of the others."""
        for one in self._all:
            one.delivery.put(batch)

    def nobody_left(self, live: bool) -> bool:
        """No store takes anything more: their readers have gone (`| head`), or have failed for good. A live run goes on
        all the same, as the spools take what they can. Or one has ended with which the run is to end."""
        if any(one.stop and one.delivery.state in ("fatal", "closed") for one in self._all):
            return True
        return bool(self._all) and all(
            (one.by_url and getattr(one.delivery.adaptor, "ended", False))
            or (not live and one.delivery.state == "fatal")
            for one in self._all
        )

    def reload(self) -> None:
        """Each adaptor looks at its files again, on the thread of its delivery."""
        for one in self._all:
            one.delivery.reload()

    def hurry(self, seconds: float) -> None:
        """From now on no store has more time than that. Safe in a signal handler."""
        for one in self._all:
            one.delivery.hurry(seconds)

    def drain(self, tick: Callable[[], None]) -> None:
        """Waits for all at once, as long as hurry() said."""
        threads = [
            threading.Thread(target=one.delivery.finish, args=(None,), name="aicore-finish", daemon=True)
            for one in self._all
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(_TICK)
                tick()

    def abort(self) -> None:
        """Waits for nothing: what is not delivered goes to the spools."""
        for one in self._all:
            one.delivery.abort()

    def summaries(self) -> list[AdaptorSummary]:
        """Where the output goes, and how far it is."""
        return [
            AdaptorSummary(
                name=one.delivery.name,
                target=one.target,
                state=one.delivery.state,
                error=one.delivery.error,
                lag_seconds=one.delivery.lag_seconds,
                counters=one.delivery.counters(),
            )
            for one in self._all
        ]

# SPDX-License-Identifier: Apache-2.0
"""Where flows go: the base class of adaptors, and how objects with only its three simple methods are driven.

Threads: once run() has started, an adaptor's methods are called one at a time on the thread of its delivery.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from aicore.errors import PartialWrite, RowError
from aicore.plugins.options import DeliveryOptions, config_of

if TYPE_CHECKING:
    from aicore.plugins.options import Option
    from aicore.plugins.url import AdaptorURL
    from aicore.record.batch import FlowBatch
    from aicore.run.context import RunContext

Events = Literal["all", "net"]


class DatabaseAdaptor:
    """Base of all adaptors. Keeps no state of its own, so subclasses need not call super().__init__().

    Write either the three simple methods, or `write`. Classes found by URL are made without arguments.
    """

    #: What the class takes in its URL: {"table": Option(str, default="flows", help="...")}.
    options: ClassVar[Mapping[str, Option]] = {}
    #: The plugin interface that it was written for; see aicore.API_VERSION.
    aicore_api: ClassVar[int] = 1
    #: The port that a URL means where it names none, so that a store is the same however its URL is written.
    default_port: ClassVar[int | None] = None
    #: "all": every event. "net": a batch holds each flow once, with its latest record. Classes that define `write`
    #: get "net" unless they say otherwise.
    events: Events = "all"
    #: Of a flow's records the store keeps the one with the highest version, in whatever order they come. False where it
    #: keeps the last: dead letters, which are old, are then not replayed unless somebody insists.
    versions: bool = True
    #: Set it as soon as the server has answered anything, if only that it is not ready yet: a run on files then waits
    #: for it as for a store that has taken something, and does not give up after seconds as where nobody is.
    answered: bool = False
    #: Set by `aicore.open_adaptor`. A run connects and closes only what was opened by URL.
    url: AdaptorURL | None = None
    #: What its URL says of the delivery.
    delivery: DeliveryOptions = DeliveryOptions()
    #: The run: the fields of its records, its sensor, a logger. Set before `connect`; None outside a run.
    context: RunContext | None = None

    @functools.cached_property
    def config(self) -> Mapping[str, Any]:
        """The checked values of `options`: those of the URL, or the defaults in an object that a program made. A
        program that wants others opens a URL."""
        return config_of(type(self).__name__, self, {})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        said = any("events" in vars(base) for base in cls.__mro__ if base is not DatabaseAdaptor)
        if cls.write is not DatabaseAdaptor.write and not said:
            cls.events = "net"

    def check(self, url: AdaptorURL) -> None:
        """Raises UsageError if this can never work: no path, no such directory, options that exclude each other.

        Called once when opened by URL, with `self.config` set, before the run reads anything. It opens and changes
        nothing, and asks no server: one that is away may come back.
        """

    def connect(self, connection_str: str) -> None:
        """Opens the store. Gets `self.url` when opened by URL, in a program whatever the program passes;
        `AdaptorURL.of(connection_str, "scheme:")` is the same of both, and holds what the files of the URL hold now.

        Any exception is retried, `aicore.Fatal` is not. Credentials that a server refuses after it took them are no
        reason for that: they are being changed.
        """

    def insert(self, key: str) -> None:
        """A new flow. Called on its first packet."""

    def update(self, key: str, data: str) -> None:
        """The flow's record, as JSON: on a detection, every N packets and before its end."""

    def remove(self, key: str) -> None:
        """The flow ended."""

    def write(self, batch: FlowBatch) -> Sequence[RowError] | None:
        """Delivers a batch and returns when its rows are safe. Rows that the answer does not name count as delivered.

        An exception means: retry the whole batch; `aicore.Fatal`: this adaptor cannot go on. Raise ConnectionError or
        TimeoutError where the way to the store failed: aicore then calls `close` and `connect` before the next attempt
        (if opened by URL), and a row takes longer to be suspected of it than of any other.
        The default calls insert, update and remove in order; what they raise stops it, and the rows from there on are
        retried.
        """
        write_rows(self, batch, events=self.events)
        return None

    def reload(self) -> None:
        """`SIGHUP`, or Run.reload(): look at files again, such as one that `logrotate` has moved away.

        Called between two batches, while connected. An exception is logged; `write` finds out what it means."""

    def close(self) -> None:
        """Closes what `connect` opened. Called after the last batch, and before `connect` is called again, only if
        opened by URL."""


def takes_nothing(adaptor: object) -> bool:
    """A subclass of DatabaseAdaptor, or an object of one, in which all that is called with flows does nothing: where
    `write` is misspelt every flow would count as delivered."""
    names = ("write", "insert", "update", "remove")
    found = [getattr(adaptor, name, None) for name in names]
    return [getattr(one, "__func__", one) for one in found] == [getattr(DatabaseAdaptor, name) for name in names]


def events_of(adaptor: object) -> Events:
    """What an adaptor wants; for objects without the base class by whether they define `write`."""
    default: Events = "net" if callable(getattr(adaptor, "write", None)) else "all"
    return getattr(adaptor, "events", default)


def write_batch(adaptor: Any, batch: FlowBatch) -> Sequence[RowError] | None:
    """`adaptor.write(batch)`, also for objects that have only insert, update and remove."""
    write = getattr(adaptor, "write", None)
    if callable(write):
        return write(batch)  # type: ignore[no-any-return]  # whoever wrote it; the delivery checks the answer
    write_rows(adaptor, batch, events=events_of(adaptor))
    return None


def write_rows(adaptor: Any, batch: FlowBatch, *, events: Events = "all") -> None:
    """Calls insert(key), update(key, data), remove(key) row by row. PartialWrite, from the first exception.

    With events="net" a row stands for what was merged into it, so a flow whose insert, updates and remove fell into
    one batch gets all three calls.
    """
    net = events == "net"
    kinds = batch.column("event")
    new = batch.column("new") if net else None
    row = 0
    try:
        for row, (kind, key, data) in enumerate(zip(kinds, batch.keys(), batch.json(), strict=True)):
            if kind == "insert" or (new is not None and new[row]):
                adaptor.insert(key)
            if kind == "update" or (net and kind == "remove"):
                adaptor.update(key, data.decode())
            if kind == "remove":
                adaptor.remove(key)
    except Exception as error:
        raise PartialWrite(row) from error

# SPDX-License-Identifier: Apache-2.0
"""PacketDispatcher: a source and a stack, run."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any

from aicore.api.damage import OnDamage, checked_on_damage, raise_for
from aicore.delivery import SpoolSettings, checked_wait
from aicore.errors import Fatal, UsageError
from aicore.plugins.options import DELIVERY_OPTIONS, Option
from aicore.run.context import RunSummary
from aicore.run.loop import Run
from aicore.run.source import Source, SourceLike
from aicore.run.stack import StackLan
from aicore.run.workers import Workers, checked_workers


class PacketDispatcher:
    """Reads interfaces or capture files: `with PacketDispatcher("eth0") as pd: pd.stack = st; pd.run()`.

    An existing interface wins, else the name is a path; several files are one input; a directory is the captures in it.
    The with block stops what still runs at its end, and the dispatcher runs no more.

    follow: the sources are directories, whose captures are read as others drop them there, until stop().
    merge: capture files of one time, such as the two directions of a tap, are read together in order of time stamps.
    spool: a directory in which what a store cannot take waits, also for the next run; for stores opened by URL. With
    `follow` it remembers below `followed` which captures were read; without a spool that is forgotten at the end.
    spool_size: MiB of it for each store. spool_free: percent of the disk that is left to others. spool_always: all
    goes through it, and not only what memory has no room for.
    queue: MiB of memory for each store. wait: as `wait=` of a store's URL, for stores that have none: seconds for
    which one that takes nothing is waited for, "forever", or "30,stop". on_damage: "warn" has run() return where
    captures are damaged, rather than raise. workers: threads that track flows, or "auto"; a flow belongs to one of
    them, rows of one flow come in order, and the stack's bounds are shared out evenly. capture: snaplen, buffer_bytes,
    promiscuous, immediate, for interfaces.
    SourceError if there is no such source, UsageError for a setting that cannot be.
    """

    def __init__(
        self,
        *sources: SourceLike,
        filter: str = "",
        live: bool | None = None,
        follow: bool = False,
        merge: bool = False,
        spool: str | os.PathLike[str] | None = None,
        spool_size: int = 1024,
        spool_free: float = 5.0,
        spool_always: bool = False,
        queue: int = 64,
        wait: float | str | None = None,
        on_damage: OnDamage = "raise",
        workers: Workers = 1,
        **capture: Any,
    ) -> None:
        checks = DELIVERY_OPTIONS
        queue = checks["queue"].check("queue (MiB)", queue)
        spool_size = checks["spool_size"].check("spool_size (MiB)", spool_size)
        spool_free = checks["spool_free"].check("spool_free (percent)", spool_free)
        self.stack: StackLan | None = None
        self._source = Source.of(*sources, filter=filter, live=live, follow=follow, merge=merge, **capture)
        self._spool = _spool_directory(spool)
        always = Option(bool).check("spool_always", spool_always)
        self._spool_settings = SpoolSettings(spool_size << 20, spool_free / 100, always)
        self._queue_bytes = queue << 20
        self._wait = None if wait is None else checked_wait(wait)
        self._on_damage = checked_on_damage(on_damage)
        self._workers = checked_workers(workers)
        self._run: Run | None = None
        self._stopped = False
        self._closed = False
        self._running = threading.Lock()  # held by run(): two at once would call the stack's adaptors on two threads

    def __enter__(self) -> PacketDispatcher:
        return self

    def __exit__(self, *error: object) -> None:
        self._closed = True
        self.stop()

    def __repr__(self) -> str:
        state = "running" if self._running.locked() else "closed" if self._closed else "ready"
        if (summary := self.summary) is not None and not self._running.locked():
            state = f"{state}, last run: {summary!r}"
        return f"<PacketDispatcher of {self._source.shown}: {state}>"

    def run(self) -> RunSummary:
        """Runs until the source ends or stop() is called, and returns when every store, or its spool, has what was
        read. Can be called again, after a stop() too: each run reads files from their beginning.

        SIGINT ends the input, final events are delivered, then KeyboardInterrupt is raised; after a second SIGINT the
        stores have no more time. On the main thread, and unless the program handles SIGINT itself: then its handler
        should call stop(). SourceError if the source cannot be opened, and, after everything read was delivered, if
        captures are damaged or it ended early; Fatal if an adaptor failed for good, after the others have everything;
        UsageError while another run() of this dispatcher goes on, after its with block, and for a spool that cannot be
        written.
        """
        if not self._running.acquire(blocking=False):
            raise UsageError("run() of this dispatcher goes on already")
        try:
            return self._run_once()
        finally:
            self._stopped = False
            self._running.release()

    def _run_once(self) -> RunSummary:
        if self.stack is None:
            raise UsageError("pd.stack is not set")
        if self._closed:
            raise UsageError("this dispatcher is closed: its with block has ended; make another one")
        if self._spool is not None:
            _try_spool(self._spool)
        self._run = run = Run(
            self.stack,
            self._source,
            spool=self._spool,
            spool_settings=self._spool_settings,
            ledgers=None if self._spool is None else self._spool / "followed",
            queue_bytes=self._queue_bytes,
            wait=self._wait,
            workers=self._workers,
        )
        if self._stopped:
            run.stop()
        summary = run.run()
        raise_for(summary, self._on_damage)
        failed = [f"{adaptor.name}: {adaptor.error}" for adaptor in summary.adaptors if adaptor.state == "fatal"]
        if failed:
            raise Fatal("; ".join(failed))
        return summary

    @property
    def summary(self) -> RunSummary | None:
        """What the last run() did, also where it raised."""
        return None if self._run is None else self._run.summary

    def reload(self) -> None:
        """Has plugins read their files again, between two batches. Safe from any thread and signal handler."""
        if self._run is not None:
            self._run.reload()

    def stop(self) -> None:
        """Ends run(); if none goes on, the next one at its start, so that a stop() is never too early. Safe from any
        thread."""
        self._stopped = True
        if self._run is not None:
            self._run.stop()


def _spool_directory(spool: object) -> Path | None:
    if spool is None:
        return None
    path = os.fspath(spool) if isinstance(spool, str | os.PathLike) else None
    if not isinstance(path, str) or not path:
        raise UsageError(f"spool must be the path of a directory, not {spool!r:.100}")
    return Path(path)


def _try_spool(path: Path) -> None:
    """Makes the directory, and a file in it. The stores' spools are opened later, some of them never."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UsageError(f"spool: {path}: {error.strerror or error}") from None

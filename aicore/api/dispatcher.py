# SPDX-License-Identifier: Apache-2.0
"""PacketDispatcher: a source and a stack, run."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Literal

from aicore.delivery import START_SECONDS, SpoolSettings, checked_wait
from aicore.errors import Fatal, SourceError, UsageError
from aicore.plugins.options import DELIVERY_OPTIONS
from aicore.run.context import RunSummary
from aicore.run.loop import Run
from aicore.run.source import Source, SourceLike
from aicore.run.stack import StackLan


class PacketDispatcher:
    """Reads an interface or capture files: `with PacketDispatcher("eth0") as pd: pd.stack = st; pd.run()`.

    An existing interface wins, else the name is a path; several files are one input; a directory is the captures in it.

    follow: the source are directories, whose captures are read as others drop them there, until stop().
    spool: a directory in which what a store cannot take waits, also for the next run; for stores opened by URL. With
    `follow` it remembers below `followed` which captures were read; without a spool that is forgotten at the end.
    spool_size: MiB of it for each store. spool_free: percent of the disk that is left to others. spool_always: all
    goes through it, and not only what memory has no room for.
    queue: MiB of memory for each store. wait: seconds for which a run on files waits for a store that takes nothing
    from the start on, or "forever". capture: snaplen, buffer_bytes, promiscuous, immediate, for interfaces.
    SourceError if there is no such source, UsageError for a setting that cannot be.
    """

    def __init__(
        self,
        source: SourceLike,
        *,
        filter: str = "",
        live: bool | None = None,
        follow: bool = False,
        spool: str | os.PathLike[str] | None = None,
        spool_size: int = 1024,
        spool_free: float = 5.0,
        spool_always: bool = False,
        queue: int = 64,
        wait: float | Literal["forever"] = START_SECONDS,
        **capture: Any,
    ) -> None:
        checks = DELIVERY_OPTIONS
        queue = checks["queue"].check("queue (MiB)", queue)
        spool_size = checks["spool_size"].check("spool_size (MiB)", spool_size)
        spool_free = checks["spool_free"].check("spool_free (percent)", spool_free)
        self.stack: StackLan | None = None
        self._source = Source.of(source, filter=filter, live=live, follow=follow, **capture)
        self._spool = None if spool is None else Path(spool)
        self._spool_settings = SpoolSettings(spool_size << 20, spool_free / 100, spool_always)
        self._queue_bytes = queue << 20
        self._wait = checked_wait(wait)
        self._run: Run | None = None
        self._stopped = False
        self._running = threading.Lock()  # held by run(): two at once would call the stack's adaptors on two threads

    def __enter__(self) -> PacketDispatcher:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def run(self) -> RunSummary:
        """Runs until the source ends or stop() is called, and returns when every store, or its spool, has what was
        read.

        SIGINT ends the input, final events are delivered, then KeyboardInterrupt is raised; after a second SIGINT the
        stores have no more time. On the main thread, and unless the program handles SIGINT itself: then its handler
        should call stop(). SourceError if the source cannot be opened, and, after everything read was delivered, if it
        ended early; Fatal if an adaptor failed for good, after the others have everything; UsageError while another
        run() of this dispatcher goes on.
        """
        if not self._running.acquire(blocking=False):
            raise UsageError("run() of this dispatcher goes on already")
        try:
            return self._run_once()
        finally:
            self._running.release()

    def _run_once(self) -> RunSummary:
        if self.stack is None:
            raise UsageError("pd.stack is not set")
        self._run = run = Run(
            self.stack,
            self._source,
            spool=self._spool,
            spool_settings=self._spool_settings,
            ledgers=None if self._spool is None else self._spool / "followed",
            queue_bytes=self._queue_bytes,
            wait=self._wait,
        )
        if self._stopped:
            run.stop()
        summary = run.run()
        if summary.error is not None:
            raise SourceError(summary.error)
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
        """Ends run(). Safe from any thread."""
        self._stopped = True
        if self._run is not None:
            self._run.stop()

# SPDX-License-Identifier: Apache-2.0
"""PacketDispatcher: a source and a stack, run."""

from __future__ import annotations

from typing import Any

from aicore.errors import Fatal, SourceError, UsageError
from aicore.run.context import RunSummary
from aicore.run.loop import Run
from aicore.run.source import Source, SourceLike
from aicore.run.stack import StackLan


class PacketDispatcher:
    """Reads an interface or capture files: `with PacketDispatcher("eth0") as pd: pd.stack = st; pd.run()`.

    An existing interface wins, else the name is a path; several files are one input. `capture`: snaplen, buffer_bytes,
    promiscuous, immediate for interfaces. SourceError if there is no such source.
    """

    def __init__(self, source: SourceLike, *, filter: str = "", live: bool | None = None, **capture: Any) -> None:
        self.stack: StackLan | None = None
        self._source = Source.of(source, filter=filter, live=live, **capture)
        self._run: Run | None = None
        self._stopped = False

    def __enter__(self) -> PacketDispatcher:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def run(self) -> RunSummary:
        """Runs until the source ends or stop() is called, and returns when every adaptor has what was read.

        SIGINT ends the input, final events are delivered, then KeyboardInterrupt is raised; after a second SIGINT the
        stores have no more time. On the main thread, and unless the program handles SIGINT itself: then its handler
        should call stop(). SourceError if the source cannot be opened, and, after everything read was delivered, if it
        ended early; Fatal if an adaptor failed for good, after the others have everything.
        """
        if self.stack is None:
            raise UsageError("pd.stack is not set")
        self._run = run = Run(self.stack, self._source)
        if self._stopped:
            run.stop()
        summary = run.run()
        if summary.error is not None:
            raise SourceError(summary.error)
        failed = [f"{adaptor.name}: {adaptor.error}" for adaptor in summary.adaptors if adaptor.state == "fatal"]
        if failed:
            raise Fatal("; ".join(failed))
        return summary

    def stop(self) -> None:
        """Ends run(). Safe from any thread."""
        self._stopped = True
        if self._run is not None:
            self._run.stop()

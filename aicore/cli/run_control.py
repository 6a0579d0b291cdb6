# SPDX-License-Identifier: Apache-2.0
"""Runs a job: signals, numbers for Prometheus, and what the outcome means for the shell."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from aicore.cli.exits import Exit
from aicore.delivery import START_SECONDS
from aicore.plugins.discovery import open_adaptor
from aicore.run.loop import Run

if TYPE_CHECKING:
    from aicore.cli.run_setup import Job
    from aicore.run.context import RunSummary


_LOST = ("lost", "dead_letters_unwritten", "spool_damaged_rows", "spool_damaged_bytes")
_KEPT = ("spooled", "dead_lettered", "spools_unusable", "spool_set_aside")


def run(job: Job, progress: Callable[[Run], None], *, queue_bytes: int, wait: bool, metrics: str | None) -> RunSummary:
    """Runs the job to its end, or until SIGINT or SIGTERM. KeyboardInterrupt if one came before the run began, or three
    before there was a summary."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload: it must not end us
    for url in job.urls:
        job.stack.add_database_adaptor(open_adaptor(url, job.plugins), tcp=job.tcp, udp=job.udp)
    running = Run(
        job.stack,
        job.source,
        plugins=job.plugins,
        progress=progress,
        spool=job.spool,
        spool_settings=job.spool_settings,
        ledgers=job.ledgers,
        queue_bytes=queue_bytes,
        wait=math.inf if wait else START_SECONDS,
    )
    with ExitStack() as stack:
        stack.callback(running.close)
        if metrics is not None:
            stack.callback(_serve(metrics, running))
        stack.enter_context(_signals(running))
        try:
            return running.run()
        except KeyboardInterrupt:
            if running.summary is None:
                raise
            return running.summary


@contextmanager
def _signals(run: Run) -> Iterator[None]:
    """SIGTERM is SIGINT: see Run.interrupt(). SIGHUP reloads."""

    def hang_up(_number: int, _frame: FrameType | None) -> None:
        run.reload()

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, run.interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, run.interrupt),
        signal.SIGHUP: signal.signal(signal.SIGHUP, hang_up),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(address: str, run: Run) -> Callable[[], None]:
    from aicore.delivery.prometheus import serve

    def collect() -> dict[str, Any]:
        return {"run": run.counters(), "adaptors": {a.name: vars(a) for a in run.adaptors()}}

    return serve(address, collect)


def exit_code(summary: RunSummary, *, live: bool) -> Exit:
    """What the run means for the shell; the worst of what happened."""
    counters = [adaptor.counters for adaptor in summary.adaptors]
    if any(found[name] for found in counters for name in _LOST):
        return Exit.LOST
    if summary.error is not None:
        return Exit.INTERFACE_GONE if live else Exit.FAILED
    if any(adaptor.state == "fatal" for adaptor in summary.adaptors):
        return Exit.FAILED
    if any(plugin.set_aside is not None for plugin in summary.plugins):
        return Exit.FAILED
    if any(found[name] for found in counters for name in _KEPT):
        return Exit.KEPT
    return Exit.OK

# SPDX-License-Identifier: Apache-2.0
"""Runs a job: signals, numbers for Prometheus, and what the outcome means for the shell."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING, Any

from aicore.cli import signals
from aicore.cli.exits import Exit
from aicore.plugins.discovery import open_adaptor
from aicore.run.loop import Run

if TYPE_CHECKING:
    from aicore.cli.progress import Progress
    from aicore.cli.run_setup import Job
    from aicore.plugins.options import Wait
    from aicore.run.context import RunSummary


_LOST = ("lost", "dead_letters_unwritten", "spool_damaged_rows", "spool_damaged_bytes")
_KEPT = ("spooled", "dead_lettered", "spools_unusable", "spool_set_aside")


def run(
    job: Job, progress: Progress, *, queue_bytes: int, wait: Wait | None, metrics: str | None, workers: int = 1
) -> tuple[RunSummary, Exit]:
    """Runs the job to its end, or until SIGINT or SIGTERM. KeyboardInterrupt if three came before there was a
    summary."""
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
        wait=wait,
        workers=workers,
    )
    with ExitStack() as stack:
        stack.callback(running.close)
        if metrics is not None:
            stack.callback(_serve(metrics, running))
        stack.enter_context(signals.handled(_handler(running)))
        with progress:
            summary = _run(running)
        code = exit_code(summary, live=job.source.live)
        signals.ends_with(code)
    return summary, code


def _run(running: Run) -> RunSummary:
    try:
        return running.run()
    except KeyboardInterrupt:
        if running.summary is None:
            raise
        return running.summary


def _handler(run: Run) -> signals.Handler:
    """SIGTERM is SIGINT: see Run.interrupt(). SIGHUP reloads."""

    def take(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            run.reload()
        else:
            run.interrupt(number, frame)

    return take


def _serve(address: str, run: Run) -> Callable[[], None]:
    from aicore.cli.metrics import serve

    def collect() -> dict[str, Any]:
        progress = run.progress_info()
        return {
            "run": run.counters(),
            "flows": {transport: progress[f"flows_live_{transport}"] for transport in ("tcp", "udp")},
            "workers": run.worker_counters(),
            "adaptors": {adaptor.name: vars(adaptor) for adaptor in run.adaptors()},
        }

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
    if summary.interrupted and summary.partial:
        return Exit.INTERRUPTED
    return Exit.OK

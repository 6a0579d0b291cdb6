# SPDX-License-Identifier: Apache-2.0
"""Runs a job: signals, spools, progress, and what the outcome means for the shell."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from aicore.cli.exits import Exit
from aicore.delivery import Spool, SpoolInUse, spool_path
from aicore.delivery.manage import STORE
from aicore.errors import UsageError
from aicore.plugins.discovery import open_adaptor
from aicore.plugins.hookspecs import hookimpl
from aicore.run.loop import Run

if TYPE_CHECKING:
    from aicore.cli.follow import Follow
    from aicore.cli.run_setup import Job
    from aicore.plugins.url import AdaptorURL
    from aicore.run.context import RunSummary

logger = logging.getLogger("aicore")

#: Runs of one host into one store, each with a spool of its own.
_SPOOLS = 64


class Ending:
    """A hook of our own: run() raises after an interrupt, and this has the summary all the same."""

    summary: RunSummary | None = None

    @hookimpl
    def run_finished(self, summary: RunSummary) -> None:
        self.summary = summary


def run(job: Job, progress: Callable[[Run], None], *, queue_bytes: int, wait: bool, metrics: str | None) -> RunSummary:
    """Runs the job to its end, or until SIGINT or SIGTERM. KeyboardInterrupt if one came before the run began, or three
    before there was a summary."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload: it must not end us
    ending = Ending()
    follow = _follow(job)
    job.stack.use(ending)
    if follow is not None:
        job.stack.use(follow)
    adaptors = [open_adaptor(url, job.plugins) for url in job.urls]
    for adaptor in adaptors:
        job.stack.add_database_adaptor(adaptor, tcp=job.tcp, udp=job.udp)
    spools = (_spool(job.spool, url) for url in job.urls)

    def tick(run: Run) -> None:
        if all(getattr(adaptor, "ended", False) for adaptor in adaptors):
            run.stop()  # `| head` has what it wants
        if follow is not None:
            follow.tick(run)
        progress(run)

    with ExitStack() as stack:
        if follow is not None:
            stack.callback(follow.close)
        # Stores are attached in the order of their URLs, so the spools come in that order.
        running = Run(
            job.stack,
            job.source,
            plugins=job.plugins,
            progress=tick,
            queue_bytes=queue_bytes,
            spool=lambda _name: next(spools),
            wait=wait,
        )
        if metrics is not None:
            stack.callback(_serve(metrics, running))
        stack.enter_context(_signals(running))
        try:
            return running.run()
        except KeyboardInterrupt:
            if ending.summary is None:
                raise
            return ending.summary


def _follow(job: Job) -> Follow | None:
    if not job.source.follow:
        return None
    from aicore.cli.follow import Follow

    stack = job.stack
    hold = max(stack.idle_tcp, stack.idle_udp, stack.half_open, stack.linger)
    return Follow(job.source.names, job.ledgers, hold)


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


def _spool(base: Path | None, url: AdaptorURL) -> Spool | None:
    """The store's spool: one that nobody else has open, rather one in which rows wait. None for stores that end with
    this process."""
    if base is None or url.path == "-" or url.scheme == "memory":
        return None
    first = spool_path(base, url)
    slots = [first, *(first.with_name(f"{first.name}.{number}") for number in range(2, _SPOOLS + 1))]
    for path in sorted(slots, key=lambda slot: not any(slot.glob("*.seg"))):
        spool = _opened(path)
        if spool is not None:
            with suppress(OSError):  # only `aicore spool list` looks at it
                absolute = url.hosts or url.path.startswith("/")
                shown = url.redacted if absolute else f"{url.redacted} (in {os.getcwd()})"
                (path / STORE).write_text(shown, encoding="utf-8", errors="backslashreplace")
            return spool
    raise UsageError(f"all {_SPOOLS} spools of {url.redacted} in {base} are in use; --spool DIR names another place")


def _opened(path: Path) -> Spool | None:
    try:
        return Spool(path)
    except SpoolInUse:
        return None
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"the spool {path} cannot be used: {reason}; see --spool and --no-spool") from error


def _serve(address: str, run: Run) -> Callable[[], None]:
    from aicore.delivery.prometheus import serve

    def collect() -> dict[str, Any]:
        return {"run": run.counters(), "adaptors": {a.name: vars(a) for a in run.adaptors()}}

    return serve(address, collect)


def exit_code(summary: RunSummary, *, live: bool) -> Exit:
    """What the run means for the shell; the worst of what happened."""
    counters = [adaptor.counters for adaptor in summary.adaptors]
    if any(found["lost"] or found["dead_letters_unwritten"] for found in counters):
        return Exit.LOST
    if summary.error is not None:
        return Exit.INTERFACE_GONE if live else Exit.FAILED
    if any(adaptor.state == "fatal" for adaptor in summary.adaptors):
        return Exit.FAILED
    if any(plugin.set_aside is not None for plugin in summary.plugins):
        return Exit.FAILED
    if any(found["spooled"] or found["dead_lettered"] for found in counters):
        return Exit.KEPT
    return Exit.OK

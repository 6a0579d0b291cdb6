# SPDX-License-Identifier: Apache-2.0
"""One run: the engine, the plugins, the deliveries, and the loop that joins them.

`PacketDispatcher`, `aicore.flows` and the command line all stand on it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from aicore import _core
from aicore.delivery import SpoolSettings
from aicore.errors import UsageError
from aicore.plugins.discovery import Plugins
from aicore.plugins.options import Wait
from aicore.record.batch import FlowBatch, Kind
from aicore.run import exiting
from aicore.run.context import AdaptorSummary, BrokenFile, RunContext, RunSummary
from aicore.run.deliveries import Deliveries
from aicore.run.follow import Follow
from aicore.run.isolation import Interrupted
from aicore.run.loading import Chain
from aicore.run.source import Source
from aicore.run.stack import TCP, UDP, StackLan
from aicore.run.stores import Needs, Store, check_detections
from aicore.run.versions import Versions
from aicore.run.workers import SHOWN

logger = logging.getLogger("aicore")

#: How long a call into the core may wait. Python looks at signals between two calls.
PULL_MS = 100
#: Seconds between two calls of a progress callback.
PROGRESS = 0.1
#: Seconds between two times that a live run gives back what bursts left in the heap: 8 % in a flood (measured).
TRIM = 10.0
#: What an interrupted run gives its stores to take the last events, in seconds.
INTERRUPT_DEADLINE = 10.0
_WARNINGS = 1000  # kept for the summary, and broken files; all of them are logged

#: Code that nothing cuts short.
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep

_KINDS: tuple[Kind, ...] = ("insert", "update", "remove")


class Run:
    """Runs a stack on a source, once. `stop`, `reload`, `counters`, `progress_info`, `adaptors` may be called from any
    thread; everything else belongs to the thread that calls run().

    No lock is taken in `stop`, `reload` and `interrupt`, which a signal handler may call amid any of the others."""

    def __init__(
        self,
        stack: StackLan,
        source: Source,
        *,
        plugins: Plugins | None = None,
        events: Collection[str] = (),
        top: bool = True,
        progress: Callable[[Run], None] | None = None,
        spool: Path | None = None,
        spool_settings: SpoolSettings | None = None,
        ledgers: Path | None = None,
        queue_bytes: int = 64 << 20,
        wait: Wait | None = None,
        workers: int = 1,
    ) -> None:
        """Opens plugins and source. `events`: kinds that the caller of next_batch() wants itself. `top`: keep the lists
        of the summary. `spool`: directory of the stores' spools, `spool_settings` theirs. `ledgers`: directory in which
        a source that follows remembers what was read. `queue_bytes`: memory of each store. `wait`: how long a
        store that takes nothing is waited for, unless its URL says it. `workers`: engines, on a thread each."""
        self.source = source
        self.summary: RunSummary | None = None  # once it is over, also if run() raised
        self._progress = progress
        self._started = time.monotonic()
        self._next_progress = 0.0
        self._next_trim = self._started + TRIM
        self._warnings: list[str] = []
        self._broken_files: list[BrokenFile] = []
        self._running = False
        self._interrupts = 0
        self._stopped = False
        self._reload = False
        self._final_counters: dict[str, int] | None = None

        plugins = plugins or Plugins()
        self.chain = Chain(plugins, stack.uses, limit=stack.plugin_limit)
        self._hooks = self.chain.hooks
        self._warnings += self.chain.problems
        options = stack.engine_options()
        options.setdefault("sensor", source.sensor)
        stores = [Store.of(one, plugins, at_rest=source.at_rest) for one in stack.attached()]
        check_detections(stores, {field.name for field in self.chain.fields})
        self._versions = Versions() if stores else None
        self._rows = 0  # of all batches
        version_base = self._versions.start if self._versions else time.time_ns() // 1000
        updates = any(map(self._hooks.wanted, ("flow_batch", "flow_update")))
        needs = Needs.of(stores, {TCP: stack.every_tcp, UDP: stack.every_udp}, hooks=updates)
        try:
            self._engine = exiting.call(
                _core.Engine,
                self.chain.registry.core,
                **options,
                tcp=TCP in needs.transports,
                udp=UDP in needs.transports,
                every_tcp=needs.every[TCP],
                every_udp=needs.every[UDP],
                thinned=needs.thinned,
                events=self._events({*events, *(["remove"] if stores else ())}, needs.all_events),
                version_base=version_base,
                top=top,
                workers=workers,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        self.context = RunContext(
            run_id=str(version_base),
            version_base=version_base,
            sensor=options["sensor"],
            source=source.names,
            live=source.live,
            fields=self.chain.fields,
            counters=self.counters,
            logger=logger,
        )
        self._stores = Deliveries()
        self._follow: Follow | None = None
        try:
            if source.follow:
                hold = max(stack.idle_tcp, stack.idle_udp, stack.half_open, stack.linger)
                self._follow = Follow(self._engine, source.names, ledgers, hold)
            for store in stores:
                self._stores.add(
                    store,
                    needs.selection(store),
                    plugins,
                    self.context,
                    spool=spool,
                    settings=spool_settings or SpoolSettings(),
                    queue_bytes=queue_bytes,
                    wait=wait,
                )
            source.open(self._engine, workers)
            for line in source.left_out:
                self._warn(line)
        except BaseException:
            self._give_back()
            raise
        stack._counters = self.counters

    def _events(self, wanted: set[str], everything: bool) -> list[str]:
        """The kinds that somebody looks at; the engine does not make the others."""
        if everything or self._hooks.wanted("flow_batch"):
            return list(_KINDS)
        return [kind for kind in _KINDS if kind in wanted or self._hooks.wanted(f"flow_{kind}")]

    def _give_back(self) -> None:
        """What was opened for a run that does not begin."""
        self._stores.abort()
        if self._follow is not None:
            self._follow.close()
        exiting.call(self._engine.close)
        self._end_versions()

    def _end_versions(self) -> None:
        if self._versions is not None:
            self._versions.close(self.context.version_base + self._rows)

    def run(self) -> RunSummary:
        """Runs until the source has ended or stop() was called, and the deliveries have drained.

        SIGINT is taken as interrupt() says, and raises KeyboardInterrupt at the end: on the main thread, and unless the
        program has a handler of its own. Errors of plugins and adaptors stand in the summary; so does what ended the
        input early.
        """
        with self._sigint():
            try:
                self.start()
                while self.next_batch() is not None:
                    pass
                self._stores.drain(self._tick)
            except BaseException:
                self._abort()
                raise
            summary = self._finish()
            if self._interrupts:
                raise KeyboardInterrupt
            return summary

    @contextmanager
    def _sigint(self) -> Iterator[None]:
        ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if ours:
            signal.signal(signal.SIGINT, self.interrupt)
        try:
            yield
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(self, _signal: int, frame: FrameType | None) -> None:
        """A signal handler for the thread of run(). The first call ends the input and gives the stores
        INTERRUPT_DEADLINE. At the second they have no more time, what is not delivered goes to the spools, and a plugin
        that is at work is cut short. The third raises KeyboardInterrupt wherever it falls."""
        # An exception between two bytecodes of the loop could lose the batch in hand (seen), or leave a lock taken.
        self._interrupts += 1
        self.stop(INTERRUPT_DEADLINE if self._interrupts == 1 else 0)
        if self._interrupts > 2:
            raise KeyboardInterrupt
        if (
            self._interrupts == 2
            and self.chain.guard.calling
            and frame
            and not frame.f_code.co_filename.startswith(_PACKAGE)
        ):
            raise Interrupted

    def stop(self, seconds: float | None = None) -> None:
        """Ends the input; run() then delivers what was read and returns. The stores get `seconds` for it, or as long as
        they need. Safe from any thread and signal handler."""
        self._stopped = True
        self._engine.stop()
        if seconds is not None:
            self._stores.hurry(seconds)

    def reload(self) -> None:
        """Has the reload hooks called, meters made anew, and adaptors look at their files again, before the next batch.
        Safe from any thread and signal handler."""
        self._reload = True

    def start(self) -> None:
        """Starts hooks, deliveries and engine. With next_batch() and close() for a caller that takes the events itself;
        run() does all of it. Raises what a run_started raised, as `check` does, and the run is over then."""
        self._running = True
        self.chain.guard.start()
        try:
            self._hooks.start(self.context)
        except BaseException:
            self._abort()
            raise
        self._stores.start()
        self._engine.start()
        if self._stopped:
            self._engine.stop()

    def next_batch(self) -> FlowBatch | None:
        """The next batch, after hooks and deliveries; None at the end."""
        while True:
            core = exiting.call(self._engine.pull, PULL_MS)
            self._tick()
            batch = None
            if core is not None:
                batch = FlowBatch(core, self.context.fields)
                self._process(batch)
            if self._stores.nobody_left(self.source.live):
                self.stop()
            if batch is not None or self._engine.finished:
                return batch

    def close(self) -> RunSummary | None:
        """Ends a run that was driven by next_batch(), at its end or before; None if it does not run."""
        if not self._running:
            if self.summary is None:
                self._give_back()
            return None
        if not self._engine.finished:
            self.stop()
        self._stores.drain(self._tick)
        return self._finish()

    def counters(self) -> dict[str, int]:
        """The core's counters; those of the end once the run is over."""
        return self._final_counters if self._final_counters is not None else self._engine.counters()

    def worker_counters(self) -> list[dict[str, int]]:
        """Counters of each worker; `packets` are those of its flows."""
        return self._engine.worker_counters()

    def progress_info(self) -> dict[str, Any]:
        """See Engine.progress()."""
        return self._engine.progress()

    def adaptors(self) -> list[AdaptorSummary]:
        """Where the output goes, and how far it is."""
        return self._stores.summaries()

    def _process(self, batch: FlowBatch) -> None:
        hooks, context = self._hooks, self.context
        self._rows += len(batch)
        if self._versions is not None:
            self._versions.reach(context.version_base + self._rows)
        self.chain.protocols.inspect(batch, self._engine)
        hooks.call("flow_enrich", units=len(batch), flows=batch, context=context)
        batch.seal()
        for kind in _KINDS:
            hook = f"flow_{kind}"
            rows = batch.kind(kind) if hooks.wanted(hook) else None
            if rows is not None:
                rows.seal()  # a field that a hook added would be in a copy that nobody else sees
                hooks.call(hook, units=len(rows), flows=rows, context=context)
        hooks.call("flow_batch", units=len(batch), flows=batch, context=context)
        self._stores.put(batch)

    def _tick(self) -> None:
        """What is due now and then: reload, warnings, progress."""
        if self._reload:
            self._reload = False
            self._hooks.call("reload", context=self.context)
            self.chain.meters.reload(self._engine)
            self._stores.reload()
        now = time.monotonic()
        if now < self._next_progress:
            return
        self._next_progress = now + PROGRESS
        if self.source.live and now >= self._next_trim:
            self._next_trim = now + TRIM
            _core.trim_memory()
        self._take_warnings()
        if self._follow is not None:
            self._follow.tick(self._stores.summaries)
        if self._progress is not None:
            self._progress(self)

    def _take_warnings(self) -> None:
        for warning in self._engine.warnings():
            self._warn(warning)
        for path, error in self._engine.broken_files():
            logger.warning("%s", error)
            if len(self._broken_files) < _WARNINGS:
                self._broken_files.append(BrokenFile(path, error))

    def _warn(self, line: str) -> None:
        logger.warning("%s", line)
        if len(self._warnings) < _WARNINGS:
            self._warnings.append(line)

    def _error(self) -> str | None:
        """Why input is missing. A followed folder goes on whatever comes into it."""
        error = self._engine.error
        if error is None and self._broken_files and not self.source.follow:
            error = self._broken_files[0].error
            if len(self._broken_files) > 1:
                error += f" (and {self.counters()['files_broken'] - 1} more broken files)"
        return error

    def _finish(self) -> RunSummary:
        """After the last event was delivered: counters, the last hook, the summary."""
        self._running = False
        self._take_warnings()
        self._final_counters = self._engine.counters()
        progress = self._engine.progress()
        summary = RunSummary(
            seconds=time.monotonic() - self._started,
            counters=self._final_counters,
            workers=_of_several(self.worker_counters()),
            adaptors=self.adaptors(),
            plugins=list(self.chain.guard.stats.values()),
            top=self._engine.top(),
            warnings=self._warnings,
            broken_files=self._broken_files,
            error=self._error(),
            interrupted=self._interrupts > 0,
            partial=not (self.source.live or self.source.follow or progress["ended"]),
            bytes_read=progress["bytes_read"],
            bytes_total=progress["bytes_total"] or None,
        )
        self.summary = summary
        self._hooks.call("run_finished", always=True, context=self.context, summary=summary)
        if self._follow is not None:
            self._follow.finish(summary.counters["batches"], summary.adaptors)
            self._follow.close()
        exiting.call(self._engine.close)
        self._end_versions()
        self.chain.guard.close()
        return summary

    def _abort(self) -> None:
        """After an exception that ends the run: nothing is waited for, spools take what they can."""
        if not self._running:
            return
        self._engine.stop()
        self._stores.abort()
        self._finish()


def _of_several(workers: list[dict[str, int]]) -> list[dict[str, int]]:
    """What a summary tells of them; of one, the counters of the run say it all."""
    return [{name: one[name] for name in SHOWN if name in one} for one in workers] if len(workers) > 1 else []

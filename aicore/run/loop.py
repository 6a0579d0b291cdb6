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
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from aicore import _core
from aicore.delivery import Delivery
from aicore.errors import UsageError
from aicore.plugins import hookspecs
from aicore.plugins.adaptor import events_of, threads_of
from aicore.plugins.discovery import Plugins, open_adaptor
from aicore.plugins.url import AdaptorURL
from aicore.record.batch import FlowBatch, Kind
from aicore.run.context import AdaptorSummary, RunContext, RunSummary
from aicore.run.isolation import Interrupted
from aicore.run.loading import Chain
from aicore.run.source import Source
from aicore.run.stack import TCP, UDP, Attached, StackLan

if TYPE_CHECKING:
    from aicore.delivery import Spool

logger = logging.getLogger("aicore")

#: How long a call into the core may wait. Python looks at signals between two calls.
PULL_MS = 100
#: Seconds between two calls of a progress callback.
PROGRESS = 0.1
#: Seconds between two times that a live run gives back what bursts left in the heap: 8 % in a flood (measured).
TRIM = 10.0
#: What an interrupted run gives its stores to take the last events, in seconds.
INTERRUPT_DEADLINE = 10.0
_WARNINGS = 1000  # kept for the summary; all of them are logged

#: Code that nothing cuts short.
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep

_KINDS: tuple[Kind, ...] = ("insert", "update", "remove")


class _DeliveryHook:
    """A delivery as the plugin that its adaptor is in the plugin manager."""

    delivery: Delivery

    @hookspecs.hookimpl(trylast=True)
    def flow_batch(self, flows: FlowBatch) -> None:
        with suppress(Interrupted):  # the delivery has the batch, and no more time for it
            self.delivery.put(flows)


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
        spool: Callable[[str], Spool | None] | None = None,
        **delivery: Any,
    ) -> None:
        """Opens plugins and source. `events`: kinds that the caller of next_batch() wants itself. `top`: keep the lists
        of the summary. `spool` gives each adaptor, by name, its spool. `delivery`: queue_bytes, spool_always, wait, as
        Delivery takes them."""
        self.source = source
        self._progress = progress
        self._started = time.monotonic()
        self._next_progress = 0.0
        self._next_trim = self._started + TRIM
        self._warnings: list[str] = []
        self._running = False
        self._interrupts = 0
        self._stopped = False
        self._reload = False
        self._full: set[str] = set()
        self._full_lock = threading.Lock()
        self._final_counters: dict[str, int] | None = None

        plugins = plugins or Plugins()
        self.chain = Chain(plugins, stack.uses)
        self._hooks = self.chain.hooks
        self._warnings += self.chain.problems
        self._deliveries: list[tuple[Delivery, str]] = []
        version_base = time.time_ns() // 1000
        options = stack.engine_options()
        options.setdefault("sensor", source.sensor)
        attached = stack.attached()
        transports = {number for one in attached for number in one.transports} or {TCP, UDP}
        try:
            self._engine = _core.Engine(
                self.chain.registry.core,
                **options,
                tcp=TCP in transports,
                udp=UDP in transports,
                events=self._events(set(events), bool(attached)),
                version_base=version_base,
                top=top,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        try:
            for one in attached:
                self._attach(plugins, one, spool, delivery)
            source.open(self._engine)
        except BaseException:
            self._engine.close()
            raise
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
        stack._counters = self.counters

    def _events(self, wanted: set[str], adaptors: bool) -> list[str]:
        """The kinds that somebody looks at; the engine does not make the others."""
        if adaptors or self._hooks.wanted("flow_batch"):
            return list(_KINDS)
        return [kind for kind in _KINDS if kind in wanted or self._hooks.wanted(f"flow_{kind}")]

    def _attach(
        self,
        plugins: Plugins,
        attached: Attached,
        spool: Callable[[str], Spool | None] | None,
        options: dict[str, Any],
    ) -> None:
        adaptor = attached.adaptor
        if isinstance(adaptor, str):
            adaptor = open_adaptor(adaptor, plugins)
        given = getattr(adaptor, "url", None)
        url = given if isinstance(given, AdaptorURL) else None
        own = type(adaptor).__name__
        hook = _DeliveryHook()
        registered = plugins.register(f"adaptor:{url.scheme if url else own.lower()}", hook)
        name = registered.partition(":")[2]
        hook.delivery = Delivery(
            name,
            adaptor,
            live=self.source.live,
            events=events_of(adaptor),
            transports=attached.transports,
            spool=spool(name) if spool else None,
            url=url,
            on_full=lambda full: self._on_full(name, full),
            **options,
        )
        self._hooks.trust(registered)
        self._deliveries.append((hook.delivery, url.redacted if url else own))

    def _on_full(self, name: str, full: bool) -> None:
        """No new flows while any store is full. Called on threads of deliveries too."""
        with self._full_lock:
            if full:
                self._full.add(name)
            else:
                self._full.discard(name)
            self._engine.admit(not self._full)

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
                self._drain()
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
        calling = self.chain.guard.calling or any(one.calling for one, _ in self._deliveries)
        if self._interrupts == 2 and calling and frame and not frame.f_code.co_filename.startswith(_PACKAGE):
            raise Interrupted

    def stop(self, seconds: float | None = None) -> None:
        """Ends the input; run() then delivers what was read and returns. The stores get `seconds` for it, or as long as
        they need. Safe from any thread and signal handler."""
        self._stopped = True
        self._engine.stop()
        if seconds is not None:
            for delivery, _ in self._deliveries:
                delivery.hurry(seconds)

    def add_files(self, paths: Sequence[str]) -> None:
        """Further captures for a source that follows. Safe from any thread."""
        self._engine.add_files(paths)

    def finished_files(self) -> list[tuple[str, int, int]]:
        """Those that ended since the last call; see Engine.finished_files()."""
        return self._engine.finished_files()

    @property
    def finished(self) -> bool:
        """The input has ended, and all of its events were pulled."""
        return self._engine.finished

    def reload(self) -> None:
        """Has the reload hooks called before the next batch. Safe from any thread and signal handler."""
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
        for delivery, _ in self._deliveries:
            delivery.start()
        self._engine.start()
        if self._stopped:
            self._engine.stop()

    def next_batch(self) -> FlowBatch | None:
        """The next batch, after hooks and deliveries; None at the end."""
        while True:
            core = self._engine.pull(PULL_MS)
            self._tick()
            batch = None
            if core is not None:
                batch = FlowBatch(core)
                self._process(batch)
            if not self.source.live and self._deliveries and all(one.state == "fatal" for one, _ in self._deliveries):
                self.stop()  # nobody is left to read the files for
            if batch is not None or self._engine.finished:
                return batch

    def close(self) -> RunSummary | None:
        """Ends a run that was driven by next_batch(), at its end or before; None if it does not run."""
        if not self._running:
            self._engine.close()
            return None
        if not self._engine.finished:
            self.stop()
        self._drain()
        return self._finish()

    def counters(self) -> dict[str, int]:
        """The core's counters; those of the end once the run is over."""
        return self._final_counters if self._final_counters is not None else self._engine.counters()

    def progress_info(self) -> dict[str, Any]:
        """See Engine.progress()."""
        return self._engine.progress()

    def adaptors(self) -> list[AdaptorSummary]:
        """Where the output goes, and how far it is."""
        return [
            AdaptorSummary(
                delivery.name, target, delivery.state, delivery.error, delivery.lag_seconds, delivery.counters()
            )
            for delivery, target in self._deliveries
        ]

    def _process(self, batch: FlowBatch) -> None:
        hooks, context = self._hooks, self.context
        self.chain.protocols.inspect(batch, self._engine)
        hooks.call("flow_enrich", units=len(batch), flows=batch, context=context)
        batch.seal()
        for kind in _KINDS:
            hook = f"flow_{kind}"
            rows = batch.kind(kind) if hooks.wanted(hook) else None
            if rows is not None:
                hooks.call(hook, units=len(rows), flows=rows, context=context)
        hooks.call("flow_batch", units=len(batch), flows=batch, context=context)

    def _tick(self) -> None:
        """What is due now and then: reload, warnings, progress."""
        if self._reload:
            self._reload = False
            self._hooks.call("reload", context=self.context)
        now = time.monotonic()
        if now < self._next_progress:
            return
        self._next_progress = now + PROGRESS
        if self.source.live and now >= self._next_trim:
            self._next_trim = now + TRIM
            _core.trim_memory()
        self._take_warnings()
        if self._progress is not None:
            self._progress(self)

    def _take_warnings(self) -> None:
        for warning in self._engine.warnings():
            logger.warning("%s", warning)
            if len(self._warnings) < _WARNINGS:
                self._warnings.append(warning)

    def _drain(self) -> None:
        """Waits for the deliveries, all at once, and for as long as stop() or an interrupt said."""
        threads = [
            threading.Thread(target=delivery.finish, args=(None,), name="aicore-finish", daemon=True)
            for delivery, _ in self._deliveries
            if threads_of(delivery.adaptor) != "caller"
        ]
        for thread in threads:
            thread.start()
        for delivery, _ in self._deliveries:
            if threads_of(delivery.adaptor) == "caller":
                delivery.finish(None)
        for thread in threads:
            while thread.is_alive():
                thread.join(PULL_MS / 1000)
                self._tick()

    def _finish(self) -> RunSummary:
        """After the last event was delivered: counters, the last hook, the summary."""
        self._running = False
        self._take_warnings()
        self._final_counters = self._engine.counters()
        summary = RunSummary(
            seconds=time.monotonic() - self._started,
            counters=self._final_counters,
            adaptors=self.adaptors(),
            plugins=list(self.chain.guard.stats.values()),
            top=self._engine.top(),
            warnings=self._warnings,
            error=self._engine.error,
            interrupted=self._interrupts > 0,
        )
        self._hooks.call("run_finished", always=True, context=self.context, summary=summary)
        self._engine.close()
        self.chain.guard.close()
        return summary

    def _abort(self) -> None:
        """After an exception that ends the run: nothing is waited for, spools take what they can."""
        if not self._running:
            return
        self._engine.stop()
        for delivery, _ in self._deliveries:
            delivery.abort()
        self._finish()

# SPDX-License-Identifier: Apache-2.0
"""The hooks: what a plugin may implement, marked with `aicore.hookimpl`.

All of them are called on the thread that called run() or iterates `aicore.flows`, never concurrently; where flows are
read as an Arrow stream, on one thread of its own. An implementation takes any subset of the arguments, by name. Plugins
are called in the order in which the run names them. Return values are ignored.

An error, unless a hook says otherwise: the exception is logged and counted by plugin, every other plugin is called all
the same, and after five errors in a row the plugin is set aside for the rest of the run. So is one that takes more CPU
time than `plugin_limit` of the stack, 1 ms per row over 100 calls by default. With AICORE_STRICT=1 an error ends the
run. The first SIGINT ends the run cleanly, and no hook sees it; a second one cuts the call short that is at work, with
a KeyboardInterrupt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from aicore.plugins.protocol import ProtocolRegistry
    from aicore.record.batch import FlowBatch
    from aicore.run.context import RunContext, RunSummary

hookspec = pluggy.HookspecMarker("aicore")
hookimpl = pluggy.HookimplMarker("aicore")


@hookspec(historic=True)
def register_protocols(registry: ProtocolRegistry) -> None:
    """Adds protocols that are made at run time.

    When: once, as the plugin is opened, before the source is. Thread: the caller of run().
    May raise: anything; `registry.add` raises UsageError for a protocol that cannot be added.
    An error keeps the run from starting, because the plugin was asked for and would be missing silently.
    """


@hookspec
def check() -> None:
    """Whether the plugin can work with `self.config`: files that can be read, options that go together.

    When: once, before the source is opened; `aicore check` asks it, too, and no run follows. Thread: the caller of
    run(). May raise: UsageError, whose text is one line for the user.
    An error keeps the run from starting: exit code 2 of `aicore run`, 1 for anything but a UsageError.
    """


@hookspec
def run_started(context: RunContext) -> None:
    """The source is open, the first packet not yet read, no store connected. The place to open what the run needs.

    When: once. Thread: the caller of run(). May raise: anything.
    An error keeps the run from starting, because the run named the plugin: exit code as for `check`. The others get
    their run_started all the same, and all get run_finished.
    """


@hookspec
def flow_enrich(flows: FlowBatch, context: RunContext) -> None:
    """Adds fields: `flows.add(name, values)`, one value a row, None for absent.

    When: for every batch, first; afterwards the batch is sealed and add() raises. Fields are not remembered by the
    flow: they are added to every batch, from a cache of the plugin if they are costly.
    A run without a store and without a flow_batch makes only the events that the other hooks take.
    Thread: the caller of run(). May raise: anything. After an error the columns added so far stay.
    """


@hookspec
def flow_insert(flows: FlowBatch, context: RunContext) -> None:
    """New flows: the rows of a batch whose event is insert.

    When: for every batch that has such rows, before flow_update. Pair with flow_remove by flow_id: keys repeat.
    Thread: the caller of run(). May raise: anything, see above.
    """


@hookspec
def flow_update(flows: FlowBatch, context: RunContext) -> None:
    """Discoveries, and every N-th packet for each N of the stack and its stores: the rows of a batch whose event is
    update.

    When: for every batch that has such rows, between flow_insert and flow_remove.
    Thread: the caller of run(). May raise: anything, see above.
    """


@hookspec
def flow_remove(flows: FlowBatch, context: RunContext) -> None:
    """Ended flows with their final record: the rows of a batch whose event is remove.

    When: for every batch that has such rows, after flow_update.
    Thread: the caller of run(). May raise: anything, see above.
    """


@hookspec
def flow_detected(flows: FlowBatch, context: RunContext) -> None:
    """Flows in which a rule matched that had not matched them before: the rows whose events say so.

    When: for every batch that has such rows, after flow_remove. A flow comes again when another rule matches it.
    Thread: the caller of run(). May raise: anything, see above.
    """


@hookspec
def flow_batch(flows: FlowBatch, context: RunContext) -> None:
    """Every event in order of seq, enriched and sealed. The stores get the batch afterwards.

    When: for every batch, after flow_detected. The batch may be kept.
    Thread: the caller of run(). May raise: anything, see above.
    """


@hookspec
def reload(context: RunContext) -> None:
    """Read configuration and data files again (SIGHUP of the command line, Run.reload()).

    When: between two batches, after it was asked for. Thread: the caller of run(). May raise: anything, see above.
    """


@hookspec
def run_finished(context: RunContext, summary: RunSummary) -> None:
    """The last event was delivered. Called also after errors, and for plugins that were set aside: the place to close.

    When: once for every plugin whose run_started was due. Thread: the caller of run(). May raise: anything, see above.
    """

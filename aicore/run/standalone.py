# SPDX-License-Identifier: Apache-2.0
"""What an adaptor that works without a run is told: when dead letters are replayed, a configuration is checked, or a
program writes batches of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from aicore.plugins.discovery import Plugins
from aicore.record.schema import Field, Schema
from aicore.run.context import RunContext
from aicore.run.loading import Chain
from aicore.run.stack import Use


def record_fields(plugins: Iterable[Any] = ()) -> Schema:
    """The fields of the record: the core's, those of every installed protocol, and of these hook plugins and meters
    (names, as in `aicore.flows`, or objects)."""
    return Chain(Plugins(), [Use(plugin, {}) for plugin in plugins]).fields


def standalone_context(fields: Iterable[Field] | None = None) -> RunContext:
    """A context for `DatabaseAdaptor.context`, with `record_fields()` unless others are given."""
    version_base = time.time_ns() // 1000
    return RunContext(
        run_id=str(version_base),
        version_base=version_base,
        sensor="",
        source=(),
        live=False,
        fields=record_fields() if fields is None else Schema(fields),
        counters=dict,
        logger=logging.getLogger("aicore"),
    )

# SPDX-License-Identifier: Apache-2.0
"""The meters of one run."""

from __future__ import annotations

import logging

from aicore import _core
from aicore.errors import UsageError
from aicore.plugins.meter import Meter, native_part
from aicore.plugins.secrets import one_line
from aicore.run.isolation import Guard

logger = logging.getLogger("aicore")


class RunMeters:
    """Adds meters to a run's core, and makes them anew on reload. For the thread of run() alone."""

    def __init__(self, registry: _core.Registry, guard: Guard) -> None:
        self._registry = registry
        self._guard = guard
        self._meters: dict[str, Meter] = {}  # by label; a capsule alone has nothing to read again

    def add(self, meter: object, name: str | None = None) -> str:
        """Behind all protocols, in the order of the calls. Returns the label, `meter:NAME`. `name`: what its native
        structure must be named. UsageError for what the core refuses."""
        label = f"meter:{name or type(meter).__name__.lower()}"
        part = native_part(label, meter)
        try:
            given = self._registry.add_meter(*part)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{label} cannot be used: {error}") from None
        if name is not None and given != name:
            raise UsageError(f"{label} cannot be used: its native structure is named {given!r}")
        label = f"meter:{given}"
        if isinstance(meter, Meter):
            self._meters[label] = meter
        return label

    def reload(self, engine: _core.Engine) -> None:
        """What fails is counted, and the instance in use stays."""
        for label, meter in self._meters.items():
            stats = self._guard.account(label)
            stats.calls += 1
            try:
                engine.reload_meter(*native_part(label, meter))
            except Exception as error:
                stats.errors += 1
                if self._guard.strict:
                    raise
                logger.error("%s cannot be reloaded, what is in use stays: %s", label, one_line(error))

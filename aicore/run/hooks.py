# SPDX-License-Identifier: Apache-2.0
"""Calling hooks: one implementation after the other, so that one that raises stops no other.

pluggy's own call stops at the first exception; this loop goes over the public get_hookimpls() in the same order.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pluggy

from aicore.errors import AicoreError, PluginError
from aicore.plugins.secrets import one_line
from aicore.run.isolation import Guard

if TYPE_CHECKING:
    from aicore.run.context import RunContext

logger = logging.getLogger("aicore")


class HookRunner:
    """Calls the hooks of a plugin manager under a guard. For the thread of run() alone."""

    def __init__(self, manager: pluggy.PluginManager, guard: Guard) -> None:
        self._manager = manager
        self._guard = guard

    def wanted(self, hook: str) -> bool:
        """Whether somebody who is still called implements it."""
        return any(self._called(impl) for impl in self._impls(hook))

    def call(self, hook: str, *, units: int = 1, always: bool = False, **arguments: Any) -> None:
        """Calls every implementation. `always` also those that were set aside."""
        for impl in reversed(self._impls(hook)):  # pluggy keeps the list the other way round than it calls
            values = [arguments[name] for name in impl.argnames]
            if always or self._called(impl):
                self._guard.call(self._guard.account(impl.plugin_name), hook, units, impl.function, *values)

    def start(self, context: RunContext) -> None:
        """Calls run_started of every plugin, then raises what the first one that failed raised: an AicoreError as it
        is, anything else as a PluginError."""
        failed: list[tuple[str, BaseException]] = []
        for impl in reversed(self._impls("run_started")):
            values = [context for _ in impl.argnames]

            def attempt(impl: pluggy.HookImpl = impl, values: list[RunContext] = values) -> None:
                try:
                    impl.function(*values)
                except (Exception, SystemExit) as error:
                    failed.append((impl.plugin_name, error))

            self._guard.call(self._guard.account(impl.plugin_name), "run_started", 1, attempt)
        for name, error in failed[1:]:
            logger.error("%s: run_started raised %s", name, one_line(error))
        if failed:
            name, error = failed[0]
            if isinstance(error, AicoreError) or self._guard.strict:
                raise error
            raise PluginError(f"{name}: run_started raised {one_line(error)}") from error

    def _impls(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()

    def _called(self, impl: pluggy.HookImpl) -> bool:
        stats = self._guard.stats.get(impl.plugin_name)
        return stats is None or stats.set_aside is None

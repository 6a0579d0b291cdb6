# SPDX-License-Identifier: Apache-2.0
"""Calling hooks: one implementation after the other, so that one that raises stops no other.

pluggy's own call stops at the first exception; this loop goes over the public get_hookimpls() in the same order.
"""

from __future__ import annotations

from typing import Any

import pluggy

from aicore.run.isolation import Guard


class HookRunner:
    """Calls the hooks of a plugin manager under a guard. For the thread of run() alone."""

    def __init__(self, manager: pluggy.PluginManager, guard: Guard) -> None:
        self._manager = manager
        self._guard = guard
        self._trusted: set[str] = set()

    def trust(self, name: str) -> None:
        """What this plugin raises goes to the caller: the deliveries isolate their adaptors themselves."""
        self._trusted.add(name)

    def wanted(self, hook: str) -> bool:
        """Whether somebody who is still called implements it."""
        return any(self._called(impl) for impl in self._impls(hook))

    def call(self, hook: str, *, units: int = 1, always: bool = False, **arguments: Any) -> None:
        """Calls every implementation. `always` also those that were set aside."""
        for impl in reversed(self._impls(hook)):  # pluggy keeps the list the other way round than it calls
            values = [arguments[name] for name in impl.argnames]
            if impl.plugin_name in self._trusted:
                impl.function(*values)
            elif always or self._called(impl):
                self._guard.call(self._guard.account(impl.plugin_name), hook, units, impl.function, *values)

    def _impls(self, hook: str) -> list[pluggy.HookImpl]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller.get_hookimpls()

    def _called(self, impl: pluggy.HookImpl) -> bool:
        stats = self._guard.stats.get(impl.plugin_name)
        return stats is None or stats.set_aside is None

# SPDX-License-Identifier: Apache-2.0
"""The plugins of one run, opened: protocols and meters in the core's registry, hooks in the plugin manager."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from collections.abc import Sequence
from typing import Any

from aicore import _core
from aicore.errors import AicoreError, UsageError
from aicore.plugins.discovery import Plugins, check_hooks, run_check
from aicore.plugins.meter import Meter
from aicore.plugins.options import check_options, config_of, parse_plugin
from aicore.plugins.protocol import Protocol, ProtocolRegistry, ProtocolRunner
from aicore.record import schema
from aicore.run.hooks import HookRunner
from aicore.run.isolation import LIMIT, Guard
from aicore.run.meters import RunMeters
from aicore.run.stack import Use

logger = logging.getLogger("aicore")


class Chain:
    """Opens what a run uses: every protocol that is not blocked, and the plugins of `uses`.

    A protocol that nobody named and that cannot be used is logged and left out; what was named must work, so it raises.
    """

    def __init__(self, plugins: Plugins, uses: Sequence[Use], *, limit: float = LIMIT) -> None:
        self.plugins = plugins
        self.guard = Guard(strict=plugins.strict, limit=limit)
        self.hooks = HookRunner(plugins.manager, self.guard)
        self.registry = ProtocolRegistry()
        self.meters = RunMeters(self.registry.core, self.guard)
        #: Protocols that were left out, and why.
        self.problems: list[str] = []

        wanted: dict[str, dict[str, Any]] = {}
        hooks: list[tuple[str, object]] = []
        objects: list[object] = []
        meters: list[tuple[str | None, object]] = []
        for use in uses:
            if not isinstance(use.plugin, str):
                kind, name, plugin = _own(use)
                if kind == "protocol":
                    objects.append(plugin)
                elif kind == "meter":
                    meters.append((None, plugin))
                else:
                    hooks.append((name, plugin))
                continue
            text, query = parse_plugin(use.plugin)
            kind, name = plugins.resolve(text, ("hook", "meter", "protocol"))
            options = {**query, **use.options}
            if kind == "protocol":
                wanted[name] = options
            elif kind == "meter":
                meters.append((name, plugins.make("meter", name, options)))
            else:
                hooks.append((f"hook:{name}", plugins.make("hook", name, options)))

        for name in plugins.names("protocol"):
            if name in wanted:
                self._add_protocol(name, plugins.make("protocol", name, wanted[name]))
            elif not plugins.is_blocked("protocol", name):
                try:
                    self._add_protocol(name, plugins.make("protocol", name, {}))
                except AicoreError as error:
                    if plugins.strict:
                        raise
                    self.problems.append(str(error))
                    logger.warning("left out: %s", error)
        for plugin in objects:
            if isinstance(plugin, Protocol):
                run_check(f"protocol:{plugin.name}", plugin.check)
            self.registry.add(plugin)

        # Called before there is an implementation: each gets its call as it is registered, under its own name.
        plugins.manager.hook.register_protocols.call_historic(kwargs={"registry": self.registry})
        # pluggy calls the last registered first; this way they are called as they were named.
        declared: list[schema.Field] = []
        for name, plugin in reversed(hooks):
            registered = plugins.register(name, plugin)
            self.guard.account(registered)
            declared += [
                dataclasses.replace(field, protocol=registered)
                for field in reversed(schema.declared_fields(registered, getattr(plugin, "fields", ())))
            ]
        for expected, meter in meters:  # behind all protocols, also those that hook plugins have added
            plugins.register(self.meters.add(meter, expected), meter)
        try:
            for field in reversed(declared):
                self.registry.core.declare(schema.as_native(field))
        except ValueError as error:
            raise UsageError(str(error)) from None
        for impl in reversed(plugins.manager.hook.check.get_hookimpls()):
            run_check(impl.plugin_name, impl.function)
        self.protocols = ProtocolRunner(self.registry.python, self.guard)

    def _add_protocol(self, name: str, protocol: object) -> None:
        if isinstance(protocol, Protocol):
            run_check(f"protocol:{name}", protocol.check)
        self.registry.add(protocol)
        self.plugins.register(f"protocol:{name}", protocol)

    @property
    def fields(self) -> schema.Schema:
        """The record: the core's fields, the protocols', the meters', and those that hook plugins declare."""
        return schema.Schema((*schema.CORE, *schema.of_native(self.registry.core.fields())))


def _own(use: Use) -> tuple[str, str, Any]:
    """Kind, name and object of a plugin that a program gave as an object or a class."""
    given = use.plugin
    if type(given).__name__ == "PyCapsule":
        kind = "meter" if _core.is_meter(given) else "protocol"
        check_options(f"the {kind}", {}, use.options)
        return kind, "", given
    plugin: Any = given() if inspect.isclass(given) else given
    label = type(plugin).__name__.lower()
    if isinstance(plugin, Protocol):
        kind, name = "protocol", f"protocol:{plugin.name}"
    elif isinstance(plugin, Meter):
        kind, name = "meter", f"meter:{label}"
    elif inspect.ismodule(plugin):
        raise UsageError(f"use() takes a plugin's name or object, not the module {plugin.__name__}")
    else:
        kind, name = "hook", f"hook:{label}"
        check_hooks(name, plugin)
    # An object that has its values, from its program or an earlier run, keeps them.
    if use.options or "config" not in getattr(plugin, "__dict__", {}):
        config = config_of(name, plugin, use.options)
        if config:
            plugin.config = config
    return kind, name, plugin

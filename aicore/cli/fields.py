# SPDX-License-Identifier: Apache-2.0
"""`aicore fields`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aicore.cli.terminal import dump, say, table, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aicore.plugins.discovery import Plugins
    from aicore.record.schema import Field


@click.command("fields", short_help="List the fields of a record.")
@click.option("--json", "as_json", is_flag=True, help="A list of JSON objects.")
@click.option("--no-plugin", "blocked", multiple=True, metavar="NAME", help="Leave a plugin out, as in a run.")
@click.option("--only-plugin", "only", multiple=True, metavar="NAME", help="Leave all others out, as in a run.")
def command(as_json: bool, blocked: tuple[str, ...], only: tuple[str, ...]) -> None:
    """List the fields of a record: the core's, and what the installed protocols, meters and hook plugins declare.

    Those of meters and hook plugins are in a run that names the plugin; NEEDS says how.
    """
    from aicore.plugins.discovery import Plugins
    from aicore.record import schema
    from aicore.run.loading import Chain

    plugins = Plugins(blocked, only=only)
    chain = Chain(plugins, [])
    for problem in chain.problems:
        warn(f"warning: left out: {problem}")
    fields = [*chain.fields, *_meter_fields(plugins), *_hook_fields(plugins)]
    if as_json:
        dump([{**as_dict, "needs": _needs(as_dict["protocol"])} for as_dict in schema.as_dicts(fields)])
        return
    rows = [
        (field.name, field.type, field.unit, field.protocol, _needs(field.protocol), field.ecs, field.meaning)
        for field in fields
    ]
    for line in table(("NAME", "TYPE", "UNIT", "FROM", "NEEDS", "ECS", "MEANING"), rows):
        say(line)


def _needs(origin: str) -> str | None:
    """What a run needs on its command line to have a field; None for fields of every run."""
    kind, colon, name = origin.partition(":")
    return f"--plugin {name}" if colon and kind in ("meter", "hook") else None


def _meter_fields(plugins: Plugins) -> Iterator[Field]:
    """Of each meter with its options at their defaults."""
    from aicore import _core
    from aicore.errors import AicoreError
    from aicore.record.schema import of_native
    from aicore.run.isolation import Guard
    from aicore.run.meters import RunMeters

    for name in plugins.names("meter"):
        if plugins.is_blocked("meter", name):
            continue
        registry = _core.Registry()
        try:
            RunMeters(registry, Guard(strict=False)).add(plugins.make("meter", name, {}), name)
        except AicoreError as error:
            warn(f"warning: left out: {error}")
            continue
        yield from of_native(registry.fields())


def _hook_fields(plugins: Plugins) -> Iterator[Field]:
    from dataclasses import replace

    from aicore.errors import PluginError

    for name in plugins.names("hook"):
        if plugins.is_blocked("hook", name):
            continue
        try:
            plugin = plugins.load("hook", name)
        except PluginError as error:
            warn(f"warning: left out: {error}")
            continue
        fields = getattr(plugin, "fields", ())
        if not isinstance(fields, tuple | list):  # a property, say: known only once the plugin is in use
            warn(f"warning: left out: hook {name}: its class has no list of fields")
            continue
        yield from (replace(field, protocol=f"hook:{name}") for field in fields)

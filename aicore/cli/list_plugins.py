# SPDX-License-Identifier: Apache-2.0
"""`aicore list-plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from aicore.cli.exits import Exit
from aicore.cli.terminal import dump, safe, say, table

if TYPE_CHECKING:
    from aicore.plugins.discovery import PluginRow


def _hooks() -> list[str]:
    from aicore.plugins import hookspecs

    return [hook for hook, value in vars(hookspecs).items() if hasattr(value, "aicore_spec")]


def _complete_hooks(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in _hooks() if name.startswith(incomplete)]


@click.command("list-plugins")
@click.option("--json", "as_json", is_flag=True, help="A list of JSON objects.")
@click.option("--no-load", is_flag=True, help="What the installed packages say; no plugin is imported.")
@click.option("--hook", metavar="NAME", shell_complete=_complete_hooks, help="Only plugins that implement this hook.")
@click.option("--no-plugin", "blocked", multiple=True, metavar="NAME", help="Block a plugin, as in a run.")
@click.option("--only-plugin", "only", multiple=True, metavar="NAME", help="Block all others, as in a run.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a plugin cannot be used.")
def command(
    as_json: bool, no_load: bool, hook: str | None, blocked: tuple[str, ...], only: tuple[str, ...], strict: bool
) -> int:
    """List the installed plugins. The names are those that --no-plugin takes.

    Every run has the protocols; adaptors, meters and hooks are in those that name them, with --to or --plugin.

    \b
    STATUS  ok
            blocked       by --no-plugin or AICORE_DISABLE_PLUGINS, or not named by
                          --only-plugin or AICORE_ONLY_PLUGINS
            error         it cannot be loaded
            incompatible  made for another version of the plugin interface
            duplicate     two packages give the same name
    """
    from dataclasses import asdict

    if hook is not None:
        if no_load:
            raise click.UsageError("--hook needs the plugins loaded: leave --no-load out")
        _check_hook(hook)
    from aicore.plugins.discovery import list_plugins

    rows = list_plugins(blocked, only=only, load=not no_load)
    if hook is not None:
        rows = [row for row in rows if hook in row.hooks]
    if as_json:
        dump([{**asdict(row), "use": _use(row)} for row in rows])
    else:
        cells = [
            (row.name, row.kind, row.status, row.version, row.api, row.distribution, ", ".join(row.hooks))
            for row in rows
        ]
        for line in table(("NAME", "KIND", "STATUS", "VERSION", "API", "DISTRIBUTION", "HOOKS"), cells):
            say(line)
        for row in rows:
            if row.error:
                say(safe(f"{row.status}: {row.error}"))
        if any(row.kind in ("meter", "hook") for row in rows):
            say("Meters and hooks are only in runs that name them: --plugin NAME.")
    return Exit.FAILED if strict and any(row.status not in ("ok", "blocked") for row in rows) else Exit.OK


def _use(row: PluginRow) -> str | None:
    """What a run needs on its command line to have the plugin; None for protocols, which every run has."""
    name = row.name.partition(":")[2]
    return {"adaptor": f"--to {name}:...", "protocol": None}.get(row.kind, f"--plugin {name}")


def _check_hook(name: str) -> None:
    from aicore.plugins.options import nearest

    if name not in _hooks():
        raise click.UsageError(f"no hook {name!r}; {nearest(name, _hooks())}")

# SPDX-License-Identifier: Apache-2.0
"""`aicore spool`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from aicore.cli.exits import Exit
from aicore.cli.terminal import count, dump, safe, say, size, table
from aicore.run.state import default_spool


@click.group("spool", no_args_is_help=True)
@click.option("--spool", "directory", metavar="DIR", type=click.Path(path_type=Path), help="As in the run.")
@click.pass_context
def command(ctx: click.Context, /, directory: Path | None) -> None:
    """Look at what waits for stores, check it, drop it.

    The next run into a store delivers what waits for it first.
    """
    ctx.obj = directory or default_spool()


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="A list of JSON objects.")
@click.pass_obj
def list_(directory: Path, /, as_json: bool) -> None:
    """List the spools in which something waits, or that need a look; --json names the empty ones too."""
    from aicore.delivery import spool_list

    spools = spool_list(directory)
    if as_json:
        dump(spools)
        return
    shown = [(one, ", ".join(_remarks(one))) for one in spools]
    shown = [(one, remarks) for one, remarks in shown if one["rows"] or remarks]
    rows = [
        (
            one["name"],
            count(one["rows"]),
            size(one["bytes"]),
            _time(one["oldest"]),
            one["store"],
            remarks,
        )
        for one, remarks in shown
    ]
    for line in table(("NAME", "RECORDS", "SIZE", "SINCE", "STORE", ""), rows, right=(1, 2)):
        say(line)
    if empty := len(spools) - len(shown):
        say(f"{count(empty, 'spool')} more, empty")


def _remarks(one: dict[str, Any]) -> Iterator[str]:
    if one["in_use"]:
        yield "in use"
    if one["unreadable"]:
        yield f"{count(one['unreadable'], 'file')} unreadable"


def _time(seconds: Any) -> str:
    from datetime import datetime

    return "" if seconds is None else f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


@command.command("check")
@click.pass_obj
def check(directory: Path, /) -> int:
    """Read every spool and say what is damaged. Exits with 1 if something is."""
    from aicore.delivery import spool_check

    problems = spool_check(directory)
    for problem in problems:
        say(safe(problem))
    return Exit.FAILED if problems else Exit.OK


def _complete_names(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    directory = (ctx.parent.params.get("directory") if ctx.parent else None) or default_spool()
    names = sorted(lock.parent.name for lock in directory.glob("*/lock"))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@command.command("drop")
@click.argument("name", shell_complete=_complete_names)
@click.pass_obj
def drop(directory: Path, /, name: str) -> None:
    """Delete a spool with all that waits in it."""
    from aicore.delivery import spool_drop

    say(f"{count(spool_drop(directory, name), 'record')} dropped")

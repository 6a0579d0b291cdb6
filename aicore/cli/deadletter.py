# SPDX-License-Identifier: Apache-2.0
"""`aicore deadletter`."""

from __future__ import annotations

from pathlib import Path

import click

from aicore.cli.exits import Exit
from aicore.cli.terminal import count, dump, say, size, table
from aicore.run.state import default_spool


@click.group("deadletter", no_args_is_help=True, short_help="Records that a store refused for good.")
def command() -> None:
    """Look at records that a store refused for good, and give them to it again."""


@command.command("list")
@click.option("--spool", "directory", metavar="DIR", type=click.Path(path_type=Path), help="As in the run.")
@click.option("--json", "as_json", is_flag=True, help="A list of JSON objects.")
def list_(directory: Path | None, as_json: bool) -> None:
    """List the files of dead letters, with the commonest reasons."""
    from aicore.delivery import deadletter_list

    files = deadletter_list((directory or default_spool()) / "deadletter")
    if as_json:
        dump(files)
        return
    rows = [
        (
            file["path"],
            file["store"] or file["adaptor"],
            count(file["rows"]),
            size(file["bytes"]),
            f"cannot be read: {file['error']}" if file["error"] else next(iter(file["reasons"]), ""),
        )
        for file in files
    ]
    for line in table(("FILE", "STORE", "RECORDS", "SIZE", "COMMONEST REASON"), rows, right=(2, 3)):
        say(line)


@command.command("replay")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("url")
@click.option("--force", is_flag=True, help="Also over newer records of the store.")
def replay(file: Path, url: str, force: bool) -> int:
    """Give the records of FILE to the store at URL. Records that the store has newer ones of are left alone.

    The file stays. Exits with 1 if a record was refused again or not delivered. A store that cannot tell which of two
    records is the newer one is left out, exit code 2, unless --force is there.
    """
    from aicore.cli import logs
    from aicore.run.replay import deadletter_replay

    logs.set_up(0, False, False)
    done = deadletter_replay(file, url, force=force)
    refused, missing = done["refused"], done["not_delivered"]
    delivered = count(done["delivered"], "record")
    say(f"{delivered} delivered, {count(refused)} refused again, {count(missing)} not delivered")
    return Exit.FAILED if refused or missing else Exit.OK

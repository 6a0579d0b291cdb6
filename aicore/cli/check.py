# SPDX-License-Identifier: Apache-2.0
"""`aicore check`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from aicore.cli.exits import Exit
from aicore.cli.options import JobCommand, job_options
from aicore.cli.terminal import dump, safe, say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aicore.cli.run_setup import Job


@click.command("check", short_help="Check a configuration without running it.", cls=JobCommand)
@job_options
@click.option("--connect", is_flag=True, help="Connect to the stores, and close again.")
@click.option("--json", "as_json", is_flag=True, help="A list of JSON objects.")
@click.pass_context
def command(ctx: click.Context, /, connect: bool, as_json: bool, **options: Any) -> int:
    """Check a configuration without running it: takes what `run` takes.

    Options, plugins, URLs and, with --connect, the stores; that files can be read and interfaces opened. Secrets are
    not shown. Exits with 1 if something would fail.
    """
    from aicore.cli import logs, run_setup

    logs.set_up(0, False, False)
    findings = list(_check(run_setup.make(ctx, options), connect))
    if as_json:
        dump([{"what": what, "name": name, "ok": not error, "error": error} for what, name, error in findings])
    else:
        for what, name, error in findings:
            say(safe(f"{'FAILED' if error else 'ok':6}  {what:8}  {name}{f': {error}' if error else ''}"))
    return Exit.FAILED if any(error for _, _, error in findings) else Exit.OK


def _check(job: Job, connect: bool) -> Iterator[tuple[str, str, str | None]]:
    """What, its name, and what is wrong with it."""
    from aicore import _core
    from aicore.errors import AicoreError
    from aicore.plugins.discovery import open_adaptor
    from aicore.record import schema
    from aicore.run.loading import Chain
    from aicore.run.standalone import standalone_context

    options = {"sensor": job.source.sensor, **job.stack.engine_options()}
    engine, problem, fields = None, None, schema.CORE
    try:
        chain = Chain(job.plugins, job.stack.uses)
        problem, fields = "; ".join(chain.problems) or None, chain.fields
        engine = _core.Engine(chain.registry.core, **options)  # which makes the meters
    except (AicoreError, ValueError) as error:
        problem = str(error)
    yield "plugins", ", ".join(str(use.plugin).partition("?")[0] for use in job.stack.uses) or "protocols", problem
    for url in job.urls:
        try:
            adaptor = open_adaptor(url, job.plugins)
            adaptor.context = standalone_context(fields)
            problem = _connect(adaptor) if connect else None
        except AicoreError as error:
            problem = str(error)
        yield "store", url.redacted, problem
    if job.spool is not None:
        yield "spool", str(job.spool), _spool_problem(job.spool)
    try:
        engine = engine or _core.Engine(_core.Registry(), **options)
        job.source.open(engine)
        engine.close()
        problem = None
    except (AicoreError, ValueError) as error:
        problem = str(error)
    yield "source", ", ".join(job.source.names), problem


def _connect(adaptor: Any) -> str | None:
    from aicore.plugins.secrets import scrub

    try:
        adaptor.connect(adaptor.url)
    except Exception as error:  # whatever a driver raises
        return scrub(" ".join(str(error).split())) or type(error).__name__
    finally:
        adaptor.close()
    return None


def _spool_problem(directory: Path) -> str | None:
    from aicore.delivery import spool_check

    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        return f"{there} is not a directory that can be written to"
    return "; ".join(spool_check(directory)) or None

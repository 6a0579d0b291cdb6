# SPDX-License-Identifier: Apache-2.0
"""`aicore check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aicore.cli.exits import Exit
from aicore.cli.options import JobCommand, job_options
from aicore.cli.terminal import dump, safe, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aicore.cli.job import Job


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
    from aicore.cli import job as jobs
    from aicore.cli import logs

    logs.set_up(0, False, False)
    findings = list(_check(jobs.make(ctx, options), connect))
    if as_json:
        dump([{"what": what, "name": name, "ok": not error, "error": error} for what, name, error in findings])
    else:
        for what, name, error in findings:
            say(safe(f"{'FAILED' if error else 'ok':6}  {what:8}  {name}{f': {error}' if error else ''}"))
    return Exit.FAILED if any(error for _, _, error in findings) else Exit.OK


def _check(job: Job, connect: bool) -> Iterator[tuple[str, str, str | None]]:
    """What, its name, and what is wrong with it."""
    from aicore import _core
    from aicore.chain import Chain
    from aicore.errors import AicoreError
    from aicore.plugins import open_adaptor
    from aicore.url import scrub

    def tried(call: Any) -> str | None:
        try:
            call()
        except Exception as error:
            return scrub(" ".join(str(error).split())) or type(error).__name__
        return None

    chain: list[Chain] = []
    error = tried(lambda: chain.append(Chain(job.plugins, job.stack.uses)))
    yield "plugins", ", ".join(_names(job)) or "protocols", error or "; ".join(chain[0].problems) or None
    for url in job.urls:
        try:
            adaptor = open_adaptor(url.text, job.plugins)
        except AicoreError as failure:
            yield "store", url.redacted, str(failure)
            continue
        yield "store", url.redacted, tried(lambda: _connect(adaptor, url.text)) if connect else None  # noqa: B023
    if not chain:
        return
    options = job.stack.engine_options()
    options.setdefault("sensor", job.source.sensor)
    try:
        engine = _core.Engine(chain[0].registry.core, **options)
    except ValueError as failure:
        yield "bounds", "stack", str(failure)
        return
    yield "source", ", ".join(job.source.names), tried(lambda: job.source.open(engine))
    engine.close()


def _names(job: Job) -> list[str]:
    return [str(use.plugin).partition("?")[0] for use in job.stack.uses]


def _connect(adaptor: Any, url: str) -> None:
    try:
        adaptor.connect(url)
    finally:
        adaptor.close()

# SPDX-License-Identifier: Apache-2.0
"""`aicore run`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from aicore.cli import streams
from aicore.cli.exits import epilog
from aicore.cli.options import JobCommand, job_options, run_options
from aicore.cli.terminal import dump, say

if TYPE_CHECKING:
    from aicore.cli.progress import Progress
    from aicore.cli.run_setup import Job
    from aicore.run.context import RunSummary


@click.command("run", cls=JobCommand, epilog=epilog())
@job_options
@run_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Read captures or interfaces and deliver their flows.

    SOURCE is a capture file, - for standard input, or a directory, whose captures are read in the natural order of
    their names, with --follow as others drop them there. Several are one input. The summary goes to standard output,
    or to standard error where a store writes there.

    \b
    aicore run capture.pcap
    sudo aicore run -i eth0 --udp --every 16 --to 'redis://localhost/0?ended=keep'
    aicore run captures/ --follow --to sqlite:flows.db
    """
    from aicore.cli import logs

    logs.set_up(options["verbose"], options["quiet"], options["log_json"])
    from aicore.cli import run_control, run_setup

    if options["user"]:
        from aicore.cli.privileges import become

        become(options["user"])
    job = run_setup.make(ctx, options)
    if options["user"]:
        from aicore.cli.privileges import open_and_drop

        job = replace(job, source=open_and_drop(job.source, options["workers"]))
    if options["as_json"] and job.writes_stdout:
        raise click.UsageError("--json and a store on standard output exclude each other")
    summary, code = run_control.run(
        job,
        _display(job, options),
        queue_bytes=options["queue"] << 20,
        wait=options["wait"],
        metrics=options["metrics"],
        workers=options["workers"],
    )
    try:
        _tell(summary, job, options)
    except BrokenPipeError:
        pass  # whoever read it has enough
    except OSError as error:
        if not job.writes_stdout:
            return streams.unwritten(error, code)
    return code


def _tell(summary: RunSummary, job: Job, options: dict[str, Any]) -> None:
    if options["as_json"]:
        dump(summary.to_dict())
    elif not options["quiet"]:
        from aicore.cli.summary import lines

        for line in lines(summary, job):
            say(line, sys.stderr if job.writes_stdout else sys.stdout)
    sys.stdout.flush()


def _display(job: Job, options: dict[str, Any]) -> Progress:
    from aicore.cli.progress import Progress, on_terminal

    terminal = on_terminal()
    if options["live"]:
        if not terminal or job.writes_stdout:
            raise click.UsageError("--live needs a terminal, and stores that write elsewhere")
        from aicore.cli.live import LiveTable

        display = LiveTable()
        job.stack.use(display)
        return display
    return Progress(terminal=terminal and not options["quiet"] and not options["log_json"])

# SPDX-License-Identifier: Apache-2.0
"""The commands. Each is a module of its own, loaded when it is named.

Command modules import nothing heavy at their top: `aicore --help` loads them all, and neither the native core nor
pluggy, stevedore, rich or any plugin is needed for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from aicore.cli import streams
from aicore.cli.exits import Exit
from aicore.cli.terminal import warn

# Name -> module and attribute, in the order of --help.
_COMMANDS = {
    "run": "run",
    "list-plugins": "list_plugins",
    "fields": "fields",
    "check": "check",
    "interfaces": "interfaces",
    "spool": "spool",
    "deadletter": "deadletter",
    "new-plugin": "new_plugin",
    "completion": "completion",
    "version": "version",
}


class _Aicore(click.Group):
    """Finds commands by module, and turns every error into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = import_module(f"aicore.cli.{module}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from aicore.plugins.options import nearest

            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], _COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _output():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _output():
            return super().invoke(ctx)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        extra["standalone_mode"] = False
        code = streams.flushed(_guarded(lambda: super(_Aicore, self).main(args, *rest, **extra)))
        if args is None:  # the process is ours
            _leave(code)
        sys.exit(code)


def _leave(code: Exit) -> None:
    """Ends the process, without the interpreter's own end, where that would bring it down: see `unfinished`."""
    sender = sys.modules.get("aicore.delivery.sender")
    if sender is not None and sender.unfinished():
        os._exit(code)


@contextmanager
def _output() -> Iterator[None]:
    """Whoever has read enough of our output is no error; click would exit with 1."""
    try:
        yield
    except BrokenPipeError as error:
        if streams.reader_has_gone(error):
            raise click.exceptions.Exit(Exit.OK) from None
        raise OSError(f"{error.strerror}") from error


def _guarded(call: Any) -> Exit:
    """Runs a command. The one place where errors become words and codes."""
    from aicore.errors import AicoreError, UsageError

    try:
        code = call()
        return Exit(code) if isinstance(code, int) else Exit.OK
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return Exit.OK
    except click.ClickException as error:
        warn(f"error: {_one_line(error.format_message())}")
        return Exit.USAGE
    except UsageError as error:
        warn(f"error: {_one_line(str(error))}")
        return Exit.USAGE
    except click.exceptions.Abort:
        return Exit.INTERRUPTED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        if _wants_tracebacks():
            raise
        if isinstance(error, AicoreError | OSError):
            warn(f"error: {_one_line(_os_error(error))}")
        else:
            warn(
                f"error: internal: {type(error).__name__}: {_one_line(str(error))} (-vv or AICORE_STRICT=1 shows where)"
            )
        return Exit.FAILED


def _os_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error)


def _one_line(text: str) -> str:
    from aicore.plugins.secrets import scrub

    return scrub(" ".join(text.split()))


def _wants_tracebacks() -> bool:
    return os.environ.get("AICORE_STRICT") == "1" or any(arg in ("-vv", "-vvv") for arg in sys.argv)


@click.group(cls=_Aicore, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="aicore", message="aicore %(version)s")
def main() -> None:
    """Packets in, flow records out, live, into the store of your choice."""

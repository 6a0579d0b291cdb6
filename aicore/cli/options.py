# SPDX-License-Identifier: Apache-2.0
"""What `aicore run` and `aicore check` take: one list, in groups, which `--config` fills as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from aicore.cli.config import Config
from aicore.run.stack import EVERY, StackLan

_GROUPS = ("Input", "Stores and plugins", "Flows and bounds", "Output")

#: What belongs to the call rather than to the job, and so not into a file.
_NOT_IN_FILE = frozenset({"config", "connect", "help", "to", "plugin"})

_TYPES = {int: click.INT, float: click.FLOAT, bool: click.BOOL}


class GroupedOption(click.Option):
    """An option that --help shows under its group."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class JobCommand(click.Command):
    """A command with grouped --help, whose options may stand in a file."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {group: [] for group in _GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                groups[getattr(parameter, "group", _GROUPS[-1])].append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.BadParameter as error:
            name = error.param.name if error.param is not None else None
            config = ctx.meta.get("aicore.config")
            if config is not None and name and ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP:
                raise config.error(f"[run] {name.replace('_', '-')}: {error.message}") from None
            raise


@contextmanager
def _bad_parameter(ctx: click.Context, parameter: click.Parameter) -> Iterator[None]:
    """A UsageError is one about this option."""
    from aicore.errors import UsageError

    try:
        yield
    except UsageError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None


def _checked_wait(ctx: click.Context, parameter: click.Parameter, given: str | None) -> Any:
    from aicore.delivery import checked_wait

    with _bad_parameter(ctx, parameter):
        return None if given is None else checked_wait(given)


def _checked_workers(ctx: click.Context, parameter: click.Parameter, given: str) -> int:
    from aicore.run.workers import checked_workers

    with _bad_parameter(ctx, parameter):
        return checked_workers(int(given) if given.isascii() and given.isdigit() else given)


def _load_config(ctx: click.Context, _parameter: click.Parameter, path: str | None) -> str | None:
    if path is not None:
        config = Config(path, _in_file())
        ctx.meta["aicore.config"] = config
        ctx.default_map = config.run
    return path


def _complete_interfaces(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    import socket

    return [CompletionItem(name) for _, name in socket.if_nameindex() if name.startswith(incomplete)]


def _complete_schemes(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from importlib.metadata import entry_points

    names = sorted({entry.name for entry in entry_points(group="aicore.adaptors")})
    return [CompletionItem(f"{name}:", type="nospace") for name in names if name.startswith(incomplete)]


def _complete_plugins(_ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from importlib.metadata import entry_points

    names: set[str] = set()
    for kind in ("hook", "meter", "protocol", *(["adaptor"] if parameter.name != "plugin" else [])):
        for bare in entry_points(group=f"aicore.{kind}s").names:
            full = f"{kind}:{bare}"  # the bare name is as good, so it is completed where it was begun
            names.update(name for name in (full, bare if incomplete else full) if name.startswith(incomplete))
    return [CompletionItem(name) for name in sorted(names)]


def _option(group: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    return click.option(*names, cls=GroupedOption, group=group, **settings)


def _stack_options() -> list[Callable[[Any], Any]]:
    """The settings of a stack. A value that is not given stays None, and the stack's own default holds."""
    options = []
    for name, option in StackLan.settings().items():
        if name == "sensor":
            continue
        text = option.help if option.default in (None, "") else f"{option.help}  [default: {_shown(option.default)}]"
        options.append(
            _option(
                "Flows and bounds",
                f"--{name.replace('_', '-')}",
                type=_TYPES[option.type],  # type: ignore[index]
                metavar={int: "N", float: "SECONDS", bool: "on|off"}[option.type],  # type: ignore[index]
                help=text,
            )
        )
    return options


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"{default:g}" if isinstance(default, float) else str(default)


_OPTIONS = [
    click.argument("source", nargs=-1, type=click.Path()),
    _option(
        "Input", "-i", "--interface", multiple=True, metavar="IFACE", shell_complete=_complete_interfaces,
        help="Capture on this interface, or on any; again for more.",
    ),
    _option(
        "Input", "--follow", is_flag=True,
        help="Read captures as they come into the directory, each once, until a signal.",
    ),
    _option(
        "Input", "--merge", is_flag=True,
        help="Read the files together in order of time, as the directions of a tap need it.",
    ),
    _option("Input", "--filter", metavar="BPF", default="", help="Only packets that this libpcap filter takes."),
    _option("Input", "--tcp", is_flag=True, help="Track TCP only, unless --udp is there too."),
    _option("Input", "--udp", is_flag=True, help="Track UDP only, unless --tcp is there too."),
    _option("Input", "--sensor", metavar="NAME", help="Name of the vantage point.  [default: host/interface]"),
    _option(
        "Input", "--snaplen", type=click.IntRange(64, 262144), metavar="BYTES", default=65535, show_default=True,
        help="Bytes captured of a packet.",
    ),
    _option(
        "Input", "--buffer", type=click.IntRange(1, 2047), metavar="MIB", default=64, show_default=True,
        help="Kernel buffer of an interface, in MiB.",
    ),
    _option("Input", "--no-promiscuous", is_flag=True, help="Only what the interface takes anyway."),
    _option("Input", "--immediate", is_flag=True, help="Packets one by one as they arrive: less delay, more cost."),
    _option("Input", "--user", metavar="USER", help="Give up root for this user once the interface is open."),
    _option(
        "Stores and plugins", "--to", multiple=True, metavar="URL", shell_complete=_complete_schemes,
        help="Where the flows go, scheme:PATH or scheme://HOST/...; ${VAR} is replaced from the environment. Again for "
        "more.  [default: sqlite:flows.db]",
    ),
    _option(
        "Stores and plugins", "--every", type=click.IntRange(0, (1 << 31) - 1), metavar="N", default=EVERY,
        show_default=True, help="An update at every N-th packet of a flow; 0: on discoveries only.",
    ),
    _option(
        "Stores and plugins", "--plugin", multiple=True, metavar="NAME?OPTIONS", shell_complete=_complete_plugins,
        help="Open a hook plugin or a meter, or give a protocol options: 'geoip?db=/x.mmdb'.",
    ),
    _option(
        "Stores and plugins", "--no-plugin", multiple=True, metavar="NAME", shell_complete=_complete_plugins,
        help="Leave a plugin out, by its name in list-plugins.",
    ),
    _option(
        "Stores and plugins", "--only-plugin", multiple=True, metavar="NAME", shell_complete=_complete_plugins,
        help="Leave out every plugin but aicore's own and this one, or those of this distribution.",
    ),
    _option(
        "Stores and plugins", "--config", metavar="FILE", type=click.Path(), is_eager=True, callback=_load_config,
        help="TOML file: [run] with these options, [plugins.NAME], [[to]].",
    ),
    _option(
        "Stores and plugins", "--spool", metavar="DIR", type=click.Path(),
        help="Where records wait for a store that is away.  [default: $XDG_STATE_HOME/aicore/spool]",
    ),
    _option(
        "Stores and plugins", "--spool-size", type=click.IntRange(1, 1 << 30), metavar="MIB", default=1024,
        show_default=True, help="Disk that each store's spool may take, in MiB; its dead letters a 16th, each day.",
    ),
    _option(
        "Stores and plugins", "--spool-free", type=click.FloatRange(0, 100), metavar="PERCENT", default=5.0,
        show_default=True, help="Of the disk, what spools and dead letters leave to others.",
    ),
    _option(
        "Stores and plugins", "--spool-always", is_flag=True,
        help="Everything goes through the spool, so that a kill costs nothing that was taken over.",
    ),
    _option("Stores and plugins", "--no-spool", is_flag=True, help="Keep nothing on disk for a store that is away."),
    _option(
        "Stores and plugins", "--wait", callback=_checked_wait, metavar="SECONDS[,stop]|forever",
        help="How long a store that is away is waited for; then the run goes on without it or, with ,stop, ends.  "
        "[default: 5 at the start, 300 later; forever while the input has no end]",
    ),
    _option(
        "Stores and plugins", "--queue", type=click.IntRange(1, 1 << 20), metavar="MIB", default=64, show_default=True,
        help="Records kept in memory for each store, in MiB.",
    ),
    _option(
        "Flows and bounds", "--workers", default="1", show_default=True, callback=_checked_workers, metavar="N|auto",
        help="Threads that track flows; auto: the cores less one, at most 8. A flow belongs to one of them, and the "
        "bounds below are shared out evenly.",
    ),
    *_stack_options(),
]  # fmt: skip


_RUN_OPTIONS = [
    click.option("--live", is_flag=True, help="A table of flows, protocols and stores on the terminal."),
    click.option("--metrics", metavar="ADDRESS", help="Serve Prometheus at HOST:PORT, or PORT of the loopback."),
    click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object."),
    click.option("--log-json", is_flag=True, help="The log as JSON lines."),
    click.option("-v", "--verbose", count=True, help="Say more; -vv everything, with tracebacks."),
    click.option("-q", "--quiet", is_flag=True, help="Say errors only: no progress, no summary."),
]


def job_options(function: Any) -> Any:
    """Declares the options of a job on a command's function."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def run_options(function: Any) -> Any:
    """Declares what only `aicore run` takes, beside the options of a job."""
    for option in reversed(_RUN_OPTIONS):
        function = option(function)
    return function


def _in_file() -> dict[str, str]:
    """What may stand in [run], and the name of its parameter. `check` takes the file of a run: what only a run has,
    such as --metrics, stands in it all the same."""

    @click.command()
    @job_options
    @run_options
    def everything() -> None: ...

    names = {max(one.opts, key=len).lstrip("-"): one.name for one in everything.params if one.name}
    return {key: name for key, name in names.items() if name not in _NOT_IN_FILE}

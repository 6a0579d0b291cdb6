# SPDX-License-Identifier: Apache-2.0
"""Options that plugins and stacks declare, and the check of what a user gives for them.

A plugin declares `options = {"table": Option(str, default="flows", help="...")}`. Values arrive as text (the query of a
URL, `NAME?table=x`, the command line) or typed (TOML, a program); both are checked here and nowhere else.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from aicore.errors import PluginError, UsageError
from aicore.plugins.secrets import looks_secret, remember_secret

_BOOLEANS = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}


class Wait(NamedTuple):
    """How long a store that takes nothing is waited for, and what then."""

    #: math.inf: for ever.
    seconds: float
    #: The run ends; else it goes on without the store.
    stop: bool = False


def wait(given: Any) -> Wait:
    """Of `30`, `30,stop` or `forever`."""
    if given in ("forever", math.inf):
        return Wait(math.inf)
    text, comma, then = given.partition(",") if isinstance(given, str) else (given, "", "")
    seconds: float = Option(float).check("", text)
    if not 0 <= seconds < math.inf or (comma and then != "stop"):
        raise ValueError
    return Wait(seconds, bool(comma))


_NAMES: Mapping[Callable[[Any], Any], str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "yes or no",
    list: "a comma-separated list",
    wait: "a number of seconds, or forever, or seconds with ,stop behind them",
}


@dataclass(frozen=True)
class Option:
    """One option. `type` is str, int, float, bool, list (of str) or a function that makes the value from text."""

    type: Callable[[Any], Any]
    default: Any = None
    help: str = ""
    choices: Collection[Any] | None = None
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False
    #: Never shown: not in logs, not in errors.
    secret: bool = False
    #: Says how, not what or where: a run with another value goes on with the spool of the store.
    tuning: bool = False

    def check(self, name: str, value: Any) -> Any:
        """The value in the option's type. UsageError says what is wrong with it."""
        shown = "the value given" if self.secret else repr(value)
        try:
            converted = self._convert(value)
        except (TypeError, ValueError) as error:
            if self.type in _NAMES:
                raise UsageError(f"{name} must be {_NAMES[self.type]}, not {shown}") from None
            why = str(error) if isinstance(error, ValueError) and not self.secret else ""
            why = f": {why}" if why else f" ({self.help})" if self.help else ""
            raise UsageError(f"{name} cannot be {shown}{why}") from None
        parts = converted if self.type is list else (converted,)
        if self.choices is not None and any(part not in self.choices for part in parts):
            raise UsageError(f"{name} must be one of {', '.join(map(str, self.choices))}, not {shown}")
        if self.minimum is not None and converted < self.minimum:
            raise UsageError(f"{name} must be at least {self.minimum}, not {shown}")
        if self.maximum is not None and converted > self.maximum:
            raise UsageError(f"{name} must be at most {self.maximum}, not {shown}")
        return converted

    def _convert(self, value: Any) -> Any:
        if self.type is bool:
            if isinstance(value, str):
                value = _BOOLEANS.get(value.lower())
            if not isinstance(value, bool):
                raise ValueError
            return value
        if self.type is list:
            if isinstance(value, str):
                parts = [part for part in (text.strip() for text in value.split(",")) if part]
                if not parts:
                    raise ValueError
                return parts
            if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
                raise ValueError
            return list(value)
        if isinstance(value, bool) and self.type in (int, float, str):
            raise ValueError
        if self.type is str and not isinstance(value, str):
            raise ValueError
        if self.type is int and isinstance(value, float):
            raise ValueError
        # Python reads digits of every script, and underscores between them.
        if self.type in (int, float) and isinstance(value, str) and ("_" in value or not value.isascii()):
            raise ValueError
        converted = self.type(value)
        if self.type is float and converted != converted:  # NaN passes every bound
            raise ValueError
        return converted


#: What the URL of every adaptor takes beside the adaptor's own options: settings of its delivery.
DELIVERY_OPTIONS: Mapping[str, Option] = {
    "only": Option(
        list,
        default=[],
        choices=("all", "ended", "detected", "tcp", "udp", "other"),
        help="ended: final records alone, as of capture files; all: every event, also of those; detected: flows in "
        "which a rule matched; tcp, udp, other: flows of these",
    ),
    "every": Option(
        int, minimum=0, maximum=(1 << 31) - 1, help="an update at every N-th packet of a flow; 0: on discoveries only"
    ),
    "queue": Option(int, minimum=1, maximum=1 << 20, help="MiB of records kept in memory for this store"),
    "wait": Option(
        wait,
        help="seconds for which this store is waited for while it takes nothing, before the run goes on without it or, "
        "with ,stop behind them, ends; or forever",
    ),
    "spool": Option(
        str, choices=("full", "always"), help="what goes through the spool: what memory has no room for, or everything"
    ),
    "spool_size": Option(int, minimum=1, maximum=1 << 30, help="MiB of the spool; dead letters have a 16th, each day"),
    "spool_free": Option(
        float, minimum=0, maximum=100, help="percent of the disk that spool and dead letters leave to others"
    ),
}


@dataclass(frozen=True)
class DeliveryOptions:
    """The checked values of DELIVERY_OPTIONS; None, or nothing, leaves it to the run."""

    only: frozenset[str] = frozenset()
    every: int | None = None
    #: MiB
    queue: int | None = None
    wait: Wait | None = None
    #: Everything goes through the spool.
    spool_always: bool | None = None
    #: MiB
    spool_size: int | None = None
    #: Percent
    spool_free: float | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> DeliveryOptions:
        return cls(
            frozenset(values["only"]),
            values["every"],
            values["queue"],
            values["wait"],
            None if values["spool"] is None else values["spool"] == "always",
            values["spool_size"],
            values["spool_free"],
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean X?` for a name close to a known one, else what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(known)}" if known else "there is none"


def declared_options(owner: str, plugin: type) -> Mapping[str, Option]:
    """`options` of a plugin's class. PluginError unless it is a dict of options."""
    declared: object = getattr(plugin, "options", {})
    if isinstance(declared, Mapping) and all(isinstance(option, Option) for option in declared.values()):
        return declared
    raise PluginError(f"{owner}: options must be a dict of names and aicore.Option, not {declared!r:.100}")


def check_options(owner: str, declared: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every declared option with its value or default. UsageError for an unknown, wrong or missing one. Nothing shows a
    secret one from then on."""
    for name in given:
        if name not in declared:
            raise UsageError(f"{owner} has no option {name!r}; {nearest(name, declared)}")
    values = {}
    for name, option in declared.items():
        if name in given:
            values[name] = option.check(f"{owner}: option {name}", given[name])
            if (option.secret or looks_secret(name)) and isinstance(given[name], str):
                remember_secret(given[name])
        else:
            values[name] = option.default
        if option.required and values[name] in (None, "", []):
            raise UsageError(f"{owner} needs the option {name}" + (f" ({option.help})" if option.help else ""))
    return values


def config_of(owner: str, plugin: object, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `plugin.config` is to hold: the values of the options that its class declares. Read-only."""
    return MappingProxyType(check_options(owner, declared_options(owner, type(plugin)), given))


def parse_query(owner: str, query: str) -> dict[str, str]:
    """`a=1&b=2`. UsageError for a repeated option or one without a value."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(f"{owner}: options are written as name=value, joined by &") from None
    options: dict[str, str] = {}
    for name, value in pairs:
        if name in options:
            raise UsageError(f"{owner}: option {name!r} is given twice")
        options[name] = value
    return options


def parse_plugin(text: str) -> tuple[str, dict[str, str]]:
    """`NAME?option=value&...` as in `--plugin 'geoip?db=/x.mmdb'`."""
    name, _, query = text.partition("?")
    return name, parse_query(name, query)

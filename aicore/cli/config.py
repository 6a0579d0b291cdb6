# SPDX-License-Identifier: Apache-2.0
"""`--config FILE.toml`: the options of a run, the options of plugins, and the stores.

    [run]                       # long options of `aicore run`, with - or _
    source = ["a.pcap"]
    every = 16
    [plugins.geoip]             # opens the plugin, as --plugin 'geoip?db=/x.mmdb'
    db = "/x.mmdb"
    [[to]]                      # as --to 'redis://localhost/0?ended=keep'
    url = "redis://localhost/0"
    ended = "keep"

What the command line says wins over [run]; plugins and stores of both are joined.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from aicore.plugins.options import nearest


class Config:
    """A file that was read and whose keys are known. UsageError of click for everything that is wrong in it."""

    def __init__(self, path: str, run_options: Mapping[str, str]) -> None:
        """`run_options`: what may stand in [run], and the name of its parameter."""
        self.path = path
        data = _read(path)
        self._known(data, ("run", "plugins", "to"), "")
        #: Parameter name -> value, for click's default_map.
        self.run: dict[str, Any] = {}
        for key, value in self._table(data, "run").items():
            name = run_options.get(key.replace("_", "-"))
            if name is None and key in ("to", "plugin", "plugins"):
                table = "[[to]]" if key == "to" else "[plugins.NAME]"
                raise self.error(f"{key} does not stand in [run]; write {table}")
            if name is None:
                self._unknown(key, "[run]", run_options)
            self.run[name] = value
        self.plugins: list[tuple[str, dict[str, Any]]] = [
            (name, dict(self._mapping(options, f"[plugins.{name}]")))
            for name, options in self._table(data, "plugins").items()
        ]
        stores = data.get("to", [])
        if not isinstance(stores, list):
            raise self.error("to must be written as [[to]]")
        #: A URL and further options of each store.
        self.to = [self._store(self._mapping(store, "[[to]]")) for store in stores]

    def error(self, text: str) -> click.UsageError:
        return click.UsageError(f"{self.path}: {text}")

    def _known(self, table: Mapping[str, Any], known: Collection[str], where: str) -> None:
        for key in table:
            if key not in known:
                self._unknown(key, where, known)

    def _unknown(self, key: str, where: str, known: Collection[str]) -> NoReturn:
        raise self.error(f"unknown key {key!r}{f' in {where}' if where else ''}; {nearest(key, known)}")

    def _table(self, data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        return self._mapping(data.get(name, {}), f"[{name}]")

    def _mapping(self, value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self.error(f"{where} must be a table")
        return value

    def _store(self, store: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        url = store.get("url")
        if not isinstance(url, str):
            raise self.error("[[to]] needs a url")
        return url, {name: _text(value) for name, value in store.items() if name != "url"}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def _read(path: str) -> dict[str, Any]:
    toml: Any = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        data: dict[str, Any] = toml.loads(Path(path).read_text(encoding="utf-8"))
        return data
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    except (toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: {error}") from None

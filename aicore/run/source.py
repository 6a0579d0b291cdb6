# SPDX-License-Identifier: Apache-2.0
"""Where packets come from: interfaces by name, capture files, standard input."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aicore import _core
from aicore.errors import SourceError, UsageError
from aicore.plugins.options import Option, nearest

SourceLike = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

#: What can be set of an interface, beside its filter.
_CAPTURE: Mapping[str, Option] = {
    "snaplen": Option(int, minimum=64, maximum=262144),
    "buffer_bytes": Option(int, minimum=1 << 16, maximum=(1 << 31) - 1),
    "promiscuous": Option(bool),
    "immediate": Option(bool),
}

# First four bytes of pcap (µs, ns, modified; both byte orders) and pcapng files.
_MAGIC = frozenset(
    bytes.fromhex(magic)
    for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1", "0a0d0d0a")
)


@dataclass(frozen=True)
class Source:
    """A checked source. `capture` holds the options of LiveSource. `follow`: the names are directories, whose captures
    are read as they come, until the run is stopped."""

    names: tuple[str, ...]
    live: bool
    filter: str = ""
    capture: dict[str, Any] = field(default_factory=dict)
    follow: bool = False
    #: The interfaces, where they were opened ahead of the run.
    opened: _core.LiveSource | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, *sources: SourceLike, filter: str = "", live: bool | None = None, follow: bool = False, **capture: Any
    ) -> Source:
        """An existing interface wins, else a path; "-" is standard input; several files are read in the given order; a
        directory is the captures in it, in the order of their names, or with `follow` those that will come, too.
        `live` settles it where a file and an interface have the same name. SourceError if there is no such thing,
        UsageError for what is no source or setting."""
        for name in capture:  # checked for files too, which need none: a typing error must not pass unseen
            if name not in _CAPTURE:
                raise UsageError(f"a source has no setting {name!r}; {nearest(name, _CAPTURE)}")
            capture[name] = _CAPTURE[name].check(name, capture[name])
        Option(str).check("filter", filter)
        follow = Option(bool).check("follow", follow)
        if live is not None:
            live = Option(bool).check("live", live)
        names = tuple(name for source in sources for name in _names(source))
        if not names or not all(names):
            raise UsageError("a source is an interface or a capture file; none was given")
        if follow:
            return cls(_followed(names), False, filter, follow=True)
        if live is None:
            known = {name for _, name in socket.if_nameindex()} | {"any"}
            kinds = {name in known for name in names}
            if len(kinds) > 1:
                raise UsageError(f"interfaces and files cannot be mixed: {', '.join(names)}")
            live = kinds.pop()
        if not live:
            for name in names:
                if name != "-" and not Path(name).exists():
                    raise SourceError(f"{name}: neither an interface nor a file of that name exists")
            names = tuple(path for name in names for path in _captures(name))
        return cls(names, live, filter, capture)

    @property
    def at_rest(self) -> bool:
        """Files that are read to their end, rather than interfaces, standard input, pipes or a followed folder."""
        return not self.live and not self.follow and all(map(os.path.isfile, self.names))

    @property
    def sensor(self) -> str:
        """The default name of the vantage point."""
        return f"{socket.gethostname()}/{'+'.join(self.names)}" if self.live else ""

    @property
    def shown(self) -> str:
        """For a repr."""
        more = len(self.names) - 1
        return self.names[0] + (f" and {more} more" if more else "")

    def open(self, engine: _core.Engine) -> None:
        """SourceError with one clear line."""
        try:
            if self.live:
                engine.open(self.opened or self.open_live())
            elif self.follow:
                engine.follow_files(self.filter)
            else:
                engine.open_files(self.names, self.filter)
        except (OSError, ValueError) as error:
            raise SourceError(str(error)) from error

    def open_live(self) -> _core.LiveSource:
        """The interfaces, ready to read. SourceError with one clear line."""
        try:
            return _core.LiveSource(self.names, self.filter, **self.capture)
        except (OSError, ValueError) as error:
            raise SourceError(str(error)) from error


def _names(source: object) -> Iterator[str]:
    if isinstance(source, str | os.PathLike):
        given: Iterable[object] = [source]
    elif isinstance(source, Iterable) and not isinstance(source, bytes | bytearray):
        given = source
    else:
        given = [None]
    for one in given:
        name = os.fspath(one) if isinstance(one, str | os.PathLike) else None
        if not isinstance(name, str):
            raise UsageError(f"a source is an interface or a path, or a list of them, not {source!r:.100}")
        yield name


def begins_as_capture(start: bytes) -> bool:
    """The first bytes of a file are those of a pcap or pcapng file."""
    return start[:4] in _MAGIC


def _followed(paths: Iterable[str]) -> tuple[str, ...]:
    """The directories, each once."""
    for path in paths:
        if not os.path.isdir(path):
            what = "standard input" if path == "-" else path
            raise UsageError(f"what is followed are directories, and {what} is none")
        if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            raise SourceError(f"{path}: no permission to read it")
    return tuple({os.path.realpath(path): path for path in paths}.values())


def _captures(path: str) -> list[str]:
    """The path, or, of a directory, the captures in it."""
    if not os.path.isdir(path):
        return [path]
    try:
        names = sorted(entry.path for entry in os.scandir(path) if entry.is_file())
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    found = [name for name in names if _is_capture(name)]
    if not found:
        raise SourceError(f"{path}: no capture file in this directory")
    return found


def _is_capture(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return begins_as_capture(file.read(4))
    except OSError:
        return True  # opening it says what is wrong

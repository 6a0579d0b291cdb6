# SPDX-License-Identifier: Apache-2.0
"""Where packets come from: interfaces by name, capture files, standard input."""

from __future__ import annotations

import os
import re
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
_CAPTURES = ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1", "0a0d0d0a")
# First bytes of compressed files: gzip, zstd, a skippable frame of it, xz, lz4, its old format, bzip2, compress. The
# core says of the last three that it cannot read them.
_COMPRESSED = ("1f8b08", "28b52ffd", "502a4d18", "fd377a585a00", "04224d18", "02214c18", "425a68", "1f9d")
_MAGIC = tuple(bytes.fromhex(magic) for magic in (*_CAPTURES, *_COMPRESSED))
#: Bytes that begins_as_capture() looks at.
MAGIC_BYTES = max(map(len, _MAGIC))
_PACKED = re.compile(r"\.(gz|zst|xz|lz4|bz2|Z)$")
_NO_MERGE = "merge is for capture files: several interfaces are merged anyway, a followed directory never is"
_NAMED = 5  # files that a message names of those that are left out


@dataclass(frozen=True)
class Source:
    """A checked source. `capture` holds the options of LiveSource. `follow`: the names are directories, whose captures
    are read as they come, until the run is stopped."""

    names: tuple[str, ...]
    live: bool
    filter: str = ""
    capture: dict[str, Any] = field(default_factory=dict)
    follow: bool = False
    #: Files of one time: read together in order of time stamps.
    merge: bool = False
    #: Those of the names that a folder held.
    found: tuple[str, ...] = ()
    #: What of folders is not read, a line each.
    left_out: tuple[str, ...] = ()
    #: The interfaces, where they were opened ahead of the run.
    opened: _core.LiveSource | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        *sources: SourceLike,
        filter: str = "",
        live: bool | None = None,
        follow: bool = False,
        merge: bool = False,
        **capture: Any,
    ) -> Source:
        """An existing interface wins, else a path; "-" is standard input; several files are read in the given order; a
        directory is the captures in it, in the natural order of their names, or with `follow` those that will come,
        too. Captures may be compressed. `merge`: files of one time are read together, in order of their packets' time
        stamps. `live` settles it where a file and an interface have the same name. SourceError if there is no such
        thing, UsageError for what is no source or setting."""
        for name in capture:  # checked for files too, which need none: a typing error must not pass unseen
            if name not in _CAPTURE:
                raise UsageError(f"a source has no setting {name!r}; {nearest(name, _CAPTURE)}")
            capture[name] = _CAPTURE[name].check(name, capture[name])
        Option(str).check("filter", filter)
        follow = Option(bool).check("follow", follow)
        merge = Option(bool).check("merge", merge)
        if live is not None:
            live = Option(bool).check("live", live)
        names = tuple(name for source in sources for name in _names(source))
        if not names or not all(names):
            raise UsageError("a source is an interface or a capture file; none was given")
        if merge and (follow or live):
            raise UsageError(_NO_MERGE)
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
            return cls._of_files(names, filter, merge, capture)
        if merge:
            raise UsageError(_NO_MERGE)
        return cls(names, live, filter, capture)

    @classmethod
    def _of_files(cls, names: Iterable[str], filter: str, merge: bool, capture: dict[str, Any]) -> Source:
        """The files, and for a directory the captures in it."""
        paths: list[str] = []
        found: list[str] = []
        left_out: list[str] = []
        for name in names:
            if os.path.isdir(name):
                captures, others = _captures(name)
                paths += captures
                found += captures
                left_out += others
            else:
                paths.append(name)
        return cls(tuple(paths), False, filter, capture, merge=merge, found=tuple(found), left_out=tuple(left_out))

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

    def open(self, engine: _core.Engine, workers: int = 1) -> None:
        """`workers`: those of the engine. SourceError with one clear line."""
        try:
            if self.live:
                engine.open(self.opened or self.open_live(workers))
            elif self.follow:
                engine.follow_files(self.filter)
            else:
                engine.open_files(self.names, self.filter, self.found, self.merge)
        except (OSError, ValueError) as error:
            raise SourceError(str(error)) from error

    def open_live(self, workers: int = 1) -> _core.LiveSource:
        """The interfaces, ready to read by so many workers. SourceError with one clear line."""
        try:
            return _core.LiveSource(self.names, self.filter, **self.capture, workers=workers)
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
    """The first MAGIC_BYTES of a file are those of a pcap or pcapng file, or of a compressed file that may hold one."""
    return start.startswith(_MAGIC)


def unpacked_name(name: str) -> str:
    """Without the ending of a compressed file."""
    return _PACKED.sub("", name)


def natural_order(name: str) -> tuple[list[Any], str]:
    """To sort names by the numbers in them: cap.pcap, cap.pcap2.gz, cap.pcap10."""
    parts = re.split(r"([0-9]+)", unpacked_name(name))
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], name


def _followed(paths: Iterable[str]) -> tuple[str, ...]:
    """The directories, each once."""
    for path in paths:
        if not os.path.isdir(path):
            what = "standard input" if path == "-" else path
            raise UsageError(f"what is followed are directories, and {what} is none")
        if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            raise SourceError(f"{path}: no permission to read it")
    return tuple({os.path.realpath(path): path for path in paths}.values())


def _captures(folder: str) -> tuple[list[str], list[str]]:
    """The captures in a directory, and what to say of what else is there."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: natural_order(entry.name))
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror}") from None
    found, others = [], []
    for entry in entries:
        if entry.is_file() and _is_capture(entry.path):
            found.append(entry.path)
        else:
            others.append(entry.name + ("/" if entry.is_dir() else ""))
    if not found:
        raise SourceError(f"{folder}: no capture file in this directory")
    if not others:
        return found, []
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return found, [f"{folder}: left out, as they are no capture files: {', '.join(others[:_NAMED])}{more}"]


def _is_capture(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return begins_as_capture(file.read(MAGIC_BYTES))
    except OSError:
        return True  # opening it says what is wrong

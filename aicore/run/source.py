# SPDX-License-Identifier: Apache-2.0
"""Where packets come from: interfaces by name, capture files, standard input."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aicore import _core
from aicore.errors import SourceError, UsageError

SourceLike = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Source:
    """A checked source. `capture` holds the options of LiveSource. `follow`: the names are folders, and
    Run.add_files() gives the captures in them, until the run is stopped."""

    names: tuple[str, ...]
    live: bool
    filter: str = ""
    capture: dict[str, Any] = field(default_factory=dict)
    follow: bool = False
    #: The interfaces, where they were opened ahead of the run.
    opened: _core.LiveSource | None = field(default=None, repr=False)

    @classmethod
    def of(cls, source: SourceLike, *, filter: str = "", live: bool | None = None, **capture: Any) -> Source:
        """An existing interface wins, else a path; "-" is standard input; several files are read in the given order.
        `live` settles it where a file and an interface have the same name. SourceError if there is no such thing."""
        given = [source] if isinstance(source, str | os.PathLike) else list(source)
        names = tuple(os.fspath(name) for name in given)
        if not names or not all(names):
            raise UsageError("a source is an interface or a capture file; none was given")
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
        return cls(names, live, filter, capture)

    @property
    def sensor(self) -> str:
        """The default name of the vantage point."""
        return f"{socket.gethostname()}/{'+'.join(self.names)}" if self.live else ""

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

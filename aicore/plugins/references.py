# SPDX-License-Identifier: Apache-2.0
"""References in URLs, `${VAR}` and `${file:PATH}`, and what they stand for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, unquote

from aicore.errors import UsageError

_FILE = re.compile(r"\$\{file:([^{}]+)\}")
# Names of files are quoted before a URL is split, as they hold slashes. A variable's name holds no %.
_QUOTED_FILE = "file%3A"
REFERENCE = re.compile(rf"\$\{{([A-Za-z_][A-Za-z0-9_]*|{_QUOTED_FILE}[^{{}}]+)\}}", re.ASCII)
# More is no password, key or URL, and a device would never end.
_FILE_BYTES = 1 << 16


class Values(Mapping[str, str]):
    """What variables and files hold, each asked once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.used: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """KeyError for a variable that is not set, UsageError for a file that holds nothing."""
        if name not in self.used:
            held = name.startswith(_QUOTED_FILE) and name not in self._environ
            self.used[name] = _first_line(_file(name)) if held else self._environ[name]
        return self.used[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.used)

    def __len__(self) -> int:
        return len(self.used)


def with_quoted_files(url: str) -> str:
    """The URL as REFERENCE reads it."""
    return _FILE.sub(lambda match: f"${{{_QUOTED_FILE}{quote(match[1], safe='')}}}", url)


def read_again(used: Mapping[str, str]) -> dict[str, str]:
    """What the files of these hold now; one that cannot be read, as while it is replaced, holds what it held. Nobody
    waits for a pipe."""
    now = dict(used)
    for name in now:
        if name.startswith(_QUOTED_FILE) and os.path.isfile(_file(name)):
            with suppress(UsageError):
                now[name] = _first_line(_file(name))
    return now


def _file(name: str) -> str:
    """The path of a reference to a file."""
    return os.path.expanduser(unquote(name.removeprefix(_QUOTED_FILE)))


def written(name: str) -> str:
    """As it is written in a URL."""
    return f"${{{unquote(name)}}}"


def is_text(value: str) -> bool:
    """Whether all bytes of what the environment or the command line held are UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first_line(path: str) -> str:
    """UsageError for a file that cannot be read, or whose first line is empty."""
    try:
        with open(path, "rb") as file:
            line = file.readline(_FILE_BYTES + 1).decode()
    except OSError as error:
        raise UsageError(f"the file {path} of the URL cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"the file {path} of the URL cannot be read: it is no text") from None
    line = line.rstrip("\r\n")
    if not line or len(line.encode()) >= _FILE_BYTES or "\0" in line:
        raise UsageError(f"the first line of the file {path} of the URL is {'too long or binary' if line else 'empty'}")
    return line

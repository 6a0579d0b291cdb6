# SPDX-License-Identifier: Apache-2.0
"""The adaptors that come with aicore, registered by entry points like everybody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aicore.errors import UsageError
from aicore.plugins.options import Option

if TYPE_CHECKING:
    from aicore.plugins.adaptor import DatabaseAdaptor


def path_of(connection_str: str, scheme: str) -> str:
    """The PATH of `scheme:PATH?options`; `scheme:///abs` is absolute, and a bare path is taken as it is.

    UsageError where there is none. Of percent escapes only `%3F` and `%25` are read, which a name with a question
    mark needs: any other path works as the shell completed it.
    """
    path = connection_str
    if path.startswith(f"{scheme}:"):
        path = path[len(scheme) + 1 :].partition("?")[0]
        if path.startswith("///"):
            path = path[2:]
        path = path.replace("%3F", "?").replace("%3f", "?").replace("%25", "%")
    if not path:
        raise UsageError(f"no path in {connection_str!r}: write {scheme}:PATH")
    return path


def option(adaptor: DatabaseAdaptor, name: str) -> Any:
    """The value of an option, or its default in an object that a program made and connected itself."""
    value: Any = adaptor.options[name]
    return value.default if isinstance(value, Option) else value

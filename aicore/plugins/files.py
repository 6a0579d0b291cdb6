# SPDX-License-Identifier: Apache-2.0
"""For adaptors whose store is a file: its path, and whether it can be written, before anything is read."""

from __future__ import annotations

import os
import stat

from aicore.errors import UsageError
from aicore.plugins.url import AdaptorURL

_KINDS = {stat.S_IFBLK: "disk", stat.S_IFCHR: "device", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}


def path_of(connection_str: str, scheme: str) -> str:
    """The PATH of `scheme:PATH?options`; `scheme:///abs` is absolute, and a bare path is taken as it is.

    UsageError where there is none."""
    url = AdaptorURL.of(connection_str, f"{scheme}:")
    if url.hosts:
        raise UsageError(f"{scheme}: a file is written as {scheme}:PATH or {scheme}:///PATH, without a host")
    if not url.path:
        raise UsageError(f"no path in {url.redacted!r}: write {scheme}:PATH")
    return url.path


def check_file(url: AdaptorURL, *, stdout: bool = False, beside: bool = False, magic: bytes = b"", at: int = 0) -> None:
    """For `check` of an adaptor: UsageError for a path where no file can be written. Changes nothing.

    `stdout`: `-` is standard output. `beside`: the store makes files beside its own, so that no pipe or device will do.
    `magic`: bytes of a file of the right kind, `at` this offset; a file may also be empty.
    """
    path = path_of(url, url.scheme)
    if path == "-":
        if not stdout:
            raise UsageError(f"{url.scheme}: it cannot be written to standard output")
        return
    if problem := _problem(path, beside, magic, at):
        raise UsageError(f"{url.scheme}: {path}: {problem}")


def _problem(path: str, beside: bool, magic: bytes, at: int) -> str | None:
    directory = os.path.dirname(os.path.abspath(path))
    if "\0" in path:
        return "a path cannot hold a NUL"
    if beside and path.startswith(":memory:"):  # as SQLite and DuckDB mean it
        return "a database in memory would be lost with the run; a file of that name is ./:memory:"
    if not os.path.isdir(directory):
        return f"there is no directory {directory}"
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        return error.strerror
    if mode is not None and stat.S_ISDIR(mode):
        return "it is a directory"
    if mode is not None and (stat.S_ISBLK(mode) or stat.S_ISSOCK(mode) or (beside and not stat.S_ISREG(mode))):
        return f"it is a {_KINDS[stat.S_IFMT(mode)]}, not a file"
    if mode is not None and not _may(path, os.W_OK):
        return "no permission to write it"
    if (mode is None or beside) and not _may(directory, os.W_OK | os.X_OK):
        return f"no permission to write in {directory}"
    if mode is not None and stat.S_ISREG(mode) and magic:
        try:
            with open(path, "rb") as file:
                begin = file.read(at + len(magic))
        except OSError as error:
            return error.strerror
        if begin and begin[at:] != magic:
            return "it is a file of another kind"
    return None


def _may(path: str, rights: int) -> bool:
    return os.access(path, rights, effective_ids=True)

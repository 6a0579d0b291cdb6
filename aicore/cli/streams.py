# SPDX-License-Identifier: Apache-2.0
"""Standard input, output and error: closed ones, full disks behind them, and readers that have gone."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any

from aicore.cli.exits import Exit

_NAME = "standard output"


def complete() -> None:
    """Opens the streams that whoever started us has closed, so that no file of ours gets their numbers and with it what
    is written there. Using such an input or output fails as it does with a closed one; messages go nowhere."""
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        if not _is_open(number):
            os.open(os.devnull, mode)  # gets the lowest free number, which is this one
    old = sys.stdout  # None if it was closed
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(1, "w", closefd=False)),
        encoding=old.encoding if old else None,
        errors=old.errors if old else None,
        line_buffering=os.isatty(1),
    )
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class _Output(io.FileIO):
    """Standard output, which names itself in errors."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, _NAME) from None


def reader_has_gone(error: Exception) -> bool:
    """The error says that nobody reads standard output any more, as after `| head`."""
    return isinstance(error, BrokenPipeError) and error.filename == _NAME


def flushed(code: Exit) -> Exit:
    """Writes out what standard output and error hold, before Python does, which exits with 120 where it cannot. Returns
    `code`; FAILED instead of OK if standard output could not be written, unless its reader has gone."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _discard(1)
        if code == Exit.OK and not reader_has_gone(error):
            code = unwritten(error, code)
    try:
        sys.stderr.flush()
    except OSError:
        _discard(2)
    return code


def unwritten(error: OSError, code: Exit) -> Exit:
    """Says that standard output cannot be written. Returns `code`, or FAILED instead of OK."""
    from aicore.cli.terminal import warn

    _discard(1)
    warn(f"error: {_NAME}: {error.strerror}")
    return code or Exit.FAILED


def _discard(number: int) -> None:
    """What is still to be written there goes nowhere."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)

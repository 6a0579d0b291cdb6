# SPDX-License-Identifier: Apache-2.0
"""What the commands print: text made safe for a terminal, numbers for people, plain tables."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import IO, Any

# C0, DEL, C1, bidi controls and marks, line and paragraph separators, and surrogates that no encoding takes.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(value: object) -> str:
    """Text that came from packets, files or other people's programs, fit for one line of a terminal.

    Control characters become `\\x1b` text, so they can neither move the cursor nor hide what stands there."""
    return _UNSAFE.sub(lambda match: _escape(ord(match[0])), str(value))


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def say(text: str, file: IO[str] | None = None) -> None:
    """One line of our own making with `safe` parts in it; what the encoding of the stream lacks is escaped too."""
    file = file or sys.stdout
    encoding = getattr(file, "encoding", None) or "utf-8"
    file.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def warn(text: str) -> None:
    """A line on standard error, behind what standard output has got. Where there is none, or it is full, nobody is
    left to tell."""
    for write in (sys.stdout.flush, lambda: say(f"aicore: {safe(text)}", sys.stderr)):
        with suppress(OSError):
            write()


def dump(value: Any, *, indent: int | None = 2) -> None:
    """JSON for programs, on standard output. Escaped to ASCII, so no character of a packet reaches a terminal."""
    say(json.dumps(value, indent=indent))


def table(header: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> list[str]:
    """Aligned columns, two spaces apart; `right` names the columns of numbers. Cells are made safe."""
    cells = [list(header), *([safe("" if cell is None else cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def count(number: int, noun: str = "", plural: str = "") -> str:
    """1234 -> 1,234; with a noun "1 flow", "1,234 flows"."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(number: float) -> str:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def rate(number: float) -> str:
    """A rate for people: 1.2 M, 34.5 k, 120."""
    if number >= 1e6:
        return f"{number / 1e6:.2f} M"
    if number >= 1e4:
        return f"{number / 1e3:.1f} k"
    return f"{number:,.0f}"

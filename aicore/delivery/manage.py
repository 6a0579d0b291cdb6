# SPDX-License-Identifier: Apache-2.0
"""What the command line does with spools and dead letters: look, check, drop, replay."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aicore.delivery.deadletter import read_letters
from aicore.delivery.delivery import Delivery
from aicore.delivery.recovery import read_cursor, segment_files
from aicore.delivery.segment import MAGIC, Frame, scan
from aicore.errors import UsageError
from aicore.plugins.adaptor import DatabaseAdaptor, events_of
from aicore.plugins.discovery import open_adaptor
from aicore.plugins.options import nearest
from aicore.record.batch import FlowBatch

#: File in a spool that says, for people, which store it belongs to: the URL without secrets.
STORE = "store"
_REPLAY_ROWS = 1000


def _spools(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from sorted(path for path in directory.iterdir() if (path / "lock").is_file())


def _in_use(path: Path) -> bool:
    try:
        fd = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(fd)


def spool_list(directory: Path | str) -> list[dict[str, Any]]:
    """The spools of a directory: name, store (its URL without secrets, if known), rows, bytes, segments, oldest
    (seconds since the epoch or None), in_use, damaged_bytes (those kept in `.bad` files). Reads only."""
    found = []
    for path in _spools(Path(directory)):
        rows = size = segments = 0
        oldest: float | None = None
        for segment, begin in _waiting(path):
            with segment.open("rb") as file:
                info = os.fstat(file.fileno())
                parts = list(_rows(file.fileno(), begin, info.st_size))
            if parts:
                segments += 1
                rows += sum(parts)
                oldest = min(oldest or info.st_mtime, info.st_mtime)
            size += info.st_size
        bad = sum(file.stat().st_size for file in path.glob("*.bad"))
        found.append(
            {
                "name": path.name,
                "store": _store(path),
                "rows": rows,
                "bytes": size,
                "segments": segments,
                "oldest": oldest,
                "in_use": _in_use(path),
                "damaged_bytes": bad,
            }
        )
    return found


def _store(path: Path) -> str:
    try:
        return (path / STORE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def spool_check(directory: Path | str) -> list[str]:
    """One line for each thing that is wrong in the spools of a directory. Reads only; a run repairs what it can."""
    problems = []
    for path in _spools(Path(directory)):
        in_use = _in_use(path)
        files = segment_files(path)
        for index, (segment, _, _) in enumerate(files):
            with segment.open("rb") as file:
                head = file.read(len(MAGIC))
                if head[:3] == MAGIC[:3] and head != MAGIC:
                    problems.append(f"{path.name}: {segment.name} is of version {head[3:].decode(errors='replace')}")
                    continue
                for part in scan(file.fileno(), 0, os.fstat(file.fileno()).st_size):
                    if isinstance(part, Frame) or (in_use and index == len(files) - 1 and part.tail):
                        continue
                    what = "end in a torn frame" if part.tail else "are damaged"
                    problems.append(
                        f"{path.name}: {segment.name}: {part.end - part.start} bytes at {part.start} {what}"
                    )
        problems += [f"{path.name}: {bad.name}: damaged bytes, kept" for bad in sorted(path.glob("*.bad"))]
        problems += [f"{path.name}: {other.name}: of another version" for other in sorted(path.glob("*.seg-v*"))]
    return problems


def spool_drop(directory: Path | str, name: str) -> int:
    """Deletes a spool and returns how many rows it held. UsageError if there is none of that name, or a run has it."""
    names = [path.name for path in _spools(Path(directory))]
    if name not in names:
        raise UsageError(f"no spool {name!r} in {directory}; {nearest(name, names)}")
    if _in_use(Path(directory) / name):
        raise UsageError(f"the spool {name} is in use by another process")
    rows = next(int(entry["rows"]) for entry in spool_list(directory) if entry["name"] == name)
    shutil.rmtree(Path(directory) / name)
    return rows


def deadletter_replay(
    path: Path | str, url: str, *, force: bool = False, seconds: float | None = 60.0
) -> dict[str, int]:
    """Gives the rows of a dead-letter file to the adaptor of a URL, and returns the delivery's counters.

    The store keeps what it has where that is newer: it compares versions. With `force` the rows get new versions and so
    win. Rows that are refused again stay in the file only. UsageError for an adaptor that cannot compare.
    """
    adaptor = open_adaptor(url)
    assert adaptor.url is not None  # open_adaptor sets it
    if not force and isinstance(adaptor, DatabaseAdaptor) and type(adaptor).write is DatabaseAdaptor.write:
        raise UsageError(f"{adaptor.url.scheme} cannot tell which rows are older than its own; --force writes them all")
    delivery = Delivery(
        f"replay-{adaptor.url.scheme}",
        adaptor,
        live=False,
        events=events_of(adaptor),
        transports={6, 17},
        url=adaptor.url,
    )
    delivery.start()
    try:
        for records in _letters(Path(path), force):
            delivery.put(FlowBatch.from_rows(records))
    finally:
        delivery.finish(seconds)
    return delivery.counters()


def _letters(path: Path, force: bool) -> Iterator[list[dict[str, Any]]]:
    version = time.time_ns() // 1000
    records: list[dict[str, Any]] = []
    for entry in read_letters(path):
        record = dict(entry["record"])
        if force:
            version += 1
            record["version"] = version
        records.append(record)
        if len(records) == _REPLAY_ROWS:
            yield records
            records = []
    if records:
        yield records


def _waiting(path: Path) -> Iterator[tuple[Path, int]]:
    """Segments with rows that are not delivered, and where those begin."""
    name, offset, expected = read_cursor(path)
    done = expected if name == "-" else int(name[:20] or 0)
    for segment, head, first in segment_files(path):
        if head or first >= done:
            yield segment, offset if segment.name == name else 0


def _rows(fd: int, begin: int, size: int) -> Iterator[int]:
    return (part.rows for part in scan(fd, begin, size) if isinstance(part, Frame))

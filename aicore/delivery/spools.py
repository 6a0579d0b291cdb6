# SPDX-License-Identifier: Apache-2.0
"""The spools of a directory: which belongs to which store, what waits in them, what is damaged."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from aicore.delivery.cursor import read_cursor
from aicore.delivery.recovery import other_version, segment_files, segment_size
from aicore.delivery.segment import Frame, scan
from aicore.delivery.smallfile import read_small, replace_small
from aicore.delivery.spool import Spool
from aicore.delivery.spoolfiles import SpoolInUse
from aicore.errors import UsageError
from aicore.plugins.options import DeliveryOptions, nearest
from aicore.plugins.url import AdaptorURL

log = logging.getLogger("aicore.delivery")

# File in a spool that says, for people, which store it belongs to: the URL without secrets.
_STORE = "store"
# Runs of one host into one store, each with a spool of its own.
_SLOTS = 64
# Seconds for which spools that are in use are tried again, all together: `aicore spool` has each for a moment, and so
# has what a run that was killed was about to start.
_PATIENCE = 0.2


def spool_path(base: Path, url: AdaptorURL) -> Path:
    """Where the spool of that store lies: rows for one must not be replayed into another, or in another form.

    User and password play no part, so that a new password finds the old rows.
    """
    return base / f"{url.scheme}-{hashlib.sha256(url.identity.encode()).hexdigest()[:8]}"


def store_shown(url: AdaptorURL) -> str:
    """The store for people who look later, perhaps from another directory: its URL without secrets."""
    absolute = url.hosts or url.path.startswith("/")
    return url.redacted if absolute else f"{url.redacted} (in {os.getcwd()})"


@dataclass(frozen=True)
class SpoolSettings:
    """What a spool may take of its disk, and what goes through it. The dead letters of a store have a 16th of the size,
    each day, and leave the same share free."""

    #: Bytes
    size: int = 1 << 30
    #: Share of the disk
    free: float = 0.05
    #: Everything, and not only what memory has no room for: a kill then costs nothing that was taken over.
    always: bool = False

    def of(self, options: DeliveryOptions) -> SpoolSettings:
        """Those of one store, as its URL says."""
        return SpoolSettings(
            self.size if options.spool_size is None else options.spool_size << 20,
            self.free if options.spool_free is None else options.spool_free / 100,
            self.always if options.spool_always is None else options.spool_always,
        )


class StoreSpools(NamedTuple):
    """What a delivery takes: a spool of its own, those that earlier runs into the store have left, the oldest first,
    and how many could not be opened."""

    own: Spool
    earlier: tuple[Spool, ...] = ()
    unusable: int = 0


def open_spools(base: Path, url: AdaptorURL, settings: SpoolSettings = SpoolSettings()) -> StoreSpools | None:
    """All spools of the store that nobody else has open and in which rows wait; one where there is none. None for
    stores that end with this process. UsageError if there is none to be had."""
    if url.path == "-" or url.scheme == "memory":
        return None
    first = spool_path(base, url)
    slots = [first, *(first.with_name(f"{first.name}.{number}") for number in range(2, _SLOTS + 1))]
    waiting = [slot for slot in slots if any(slot.glob("*.seg"))]
    problems: list[str] = []
    patience = time.monotonic() + _PATIENCE
    found = [spool for slot in waiting if (spool := _opened(slot, settings, problems, patience))]
    found.sort(key=lambda spool: -spool.age)
    others = iter(slot for slot in slots if slot not in waiting)
    while not found:
        path = next(others, None)
        if path is None:
            raise UsageError(problems[0] if problems else _all_in_use(base, url))
        if spool := _opened(path, settings, problems, patience):
            found.append(spool)
    for problem in problems:
        log.error("%s", problem)
    own = found.pop()
    with suppress(OSError):  # only spool_list() looks at it
        replace_small(own.path / _STORE, store_shown(url).encode(errors="backslashreplace"))
    return StoreSpools(own, tuple(found), len(problems))


def _opened(path: Path, settings: SpoolSettings, problems: list[str], patience: float) -> Spool | None:
    while True:
        try:
            return Spool(path, max_bytes=settings.size, min_free=settings.free)
        except SpoolInUse:
            if time.monotonic() >= patience:
                return None
        except OSError as error:
            problems.append(f"the spool {path} cannot be used: {error.strerror or error}")
            return None
        time.sleep(_PATIENCE / 10)


def _all_in_use(base: Path, url: AdaptorURL) -> str:
    return f"all {_SLOTS} spools of {url.redacted} in {base} are in use; another spool directory has others"


def _spools(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from sorted(path for path in directory.iterdir() if _is_spool(path))


def _is_spool(path: Path) -> bool:
    """Also one that cannot be opened any more: rows may wait there."""
    return path.is_dir() and ((path / "lock").exists() or any(path.glob("*.seg")))


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
    (seconds since the epoch or None), in_use, damaged_bytes (those kept in `.bad` files), unreadable (files, of which
    nothing else is known). Reads only."""
    return [_listed(path) for path in _spools(Path(directory))]


def _listed(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"name": path.name, "store": _store(path), "rows": 0, "bytes": 0, "segments": 0}
    oldest: list[float] = []
    unreadable = damaged = 0
    for segment, begin in _waiting(path):
        try:
            with segment.open("rb") as file:
                info = os.fstat(file.fileno())
                size = segment_size(info)
                rows = [part.rows for part in scan(file.fileno(), begin, size) if isinstance(part, Frame)]
        except FileNotFoundError:  # delivered in the meantime
            continue
        except OSError:
            unreadable += 1
            continue
        if rows:
            found["segments"] += 1
            found["rows"] += sum(rows)
            oldest.append(info.st_mtime)
        found["bytes"] += info.st_size
    for bad in path.glob("*.bad"):
        with suppress(OSError):
            damaged += bad.stat().st_size
    return found | {
        "oldest": min(oldest, default=None),
        "in_use": _in_use(path),
        "damaged_bytes": damaged,
        "unreadable": unreadable,
    }


def _store(path: Path) -> str:
    try:
        return read_small(path / _STORE).decode()
    except (OSError, UnicodeDecodeError):
        return ""


def spool_check(directory: Path | str) -> list[str]:
    """One line for each thing that is wrong in the spools of a directory. Reads only; a run repairs what it can."""
    problems = []
    for path in _spools(Path(directory)):
        in_use = _in_use(path)
        files = _segments(path)
        for index, segment in enumerate(files):
            try:
                found = list(_problems(segment, written=in_use and index == len(files) - 1))
            except FileNotFoundError:  # delivered in the meantime
                continue
            except OSError as error:
                found = [f" cannot be read: {error.strerror}"]
            problems += [f"{path.name}: {segment.name}{problem}" for problem in found]
        problems += [f"{path.name}: {bad.name}: damaged bytes, kept" for bad in sorted(path.glob("*.bad"))]
        problems += [f"{path.name}: {other.name}: of another version" for other in sorted(path.glob("*.seg-v*"))]
    return problems


def _problems(segment: Path, *, written: bool) -> Iterator[str]:
    """What follows the segment's name. `written`: by a run, at this moment."""
    with segment.open("rb") as file:
        size = segment_size(info := os.fstat(file.fileno()))
        if info.st_size > size:
            yield f" is too large: {info.st_size} bytes"
        if version := other_version(file.fileno(), size):
            yield f" is of version {version}"
            return
        for part in scan(file.fileno(), 0, size):
            if isinstance(part, Frame) or (written and part.tail):
                continue
            what = "end in a torn frame" if part.tail else "are damaged"
            yield f": {part.end - part.start} bytes at {part.start} {what}"


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


def _waiting(path: Path) -> Iterator[tuple[Path, int]]:
    """Segments with rows that are not delivered, and where those begin."""
    cursor = read_cursor(path)
    with suppress(OSError):
        for one in segment_files(path):
            if not one.done(cursor):
                yield one.path, cursor.offset if one.path.name == cursor.segment else 0


def _segments(path: Path) -> list[Path]:
    with suppress(OSError):
        return [one.path for one in segment_files(path)]
    return []

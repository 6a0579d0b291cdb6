# SPDX-License-Identifier: Apache-2.0
"""The file: open for appending, at rest, and set aside when it is full.

While it is written the tables are not compressed. A chunk that is compressed moves when it grows, and its old place is
given away before the index points to the new one: a process killed there would lose rows that were safe. Chunks that
are not compressed are rewritten where they stand, with the same bytes for the rows that they had. So a file is
compressed when it is closed, into a copy that then takes its place, and unpacked the same way to be appended to.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import tables

from aicore.errors import Fatal
from aicore_hdf5.columns import Layout

# HDF5 and PyTables may be used by one thread at a time, and every adaptor has a thread of its own.
LOCK = threading.RLock()

TCP, UDP = 6, 17
TABLES = {TCP: "table_tcp", UDP: "table_udp"}
# 850 KB: a chunk stays within the library's cache of 1 MiB, so that a flush writes it once.
_CHUNK_ROWS = 256
# Beside its rows an append takes a begun chunk, and some KiB of index.
_SLACK_CHUNKS = 2
_COPY_ROWS = 16 * _CHUNK_ROWS
# A run waits 5 s for an adaptor to close, and then ends without it.
_CLOSE_SECONDS = 3.0


class FlowFile:
    """An HDF5 file with the tables of a layout. Not thread-safe: hold `LOCK`."""

    def __init__(self, path: Path, layout: Layout, level: int, limit: int, *, adopt: bool = False) -> None:
        """Opens or makes it. One of another layout, or of more than `limit` bytes of rows, is set aside first. `adopt`:
        the tables may be added to a file that somebody else has made. OSError, tables.HDF5ExtError."""
        self.path, self._layout, self._level = path, layout, level
        _copy_of(path).unlink(missing_ok=True)  # of a process that was killed
        if _has_content(path):
            self._claim(adopt)
            if not self._ready(limit):
                set_aside(path, level)
        if not _has_content(path):
            self._make()
        self._file = tables.open_file(str(path), "a")
        self._tables = {proto: self._file.root.flows[name] for proto, name in TABLES.items()}

    def _claim(self, adopt: bool) -> None:
        """Refuses a file that is not of flows, or adds the tables, in a copy that then takes its place."""
        with tables.open_file(str(self.path), "r") as file:
            if all(f"/flows/{name}" in file for name in TABLES.values()):
                return
            taken = "/flows" in file
        if taken or not adopt:
            what = "its /flows is not aicore's" if taken else "an HDF5 file, but not of flows; adopt=yes adds them"
            raise Fatal(f"hdf5: {self.path}: {what}")
        copy = _copy_of(self.path)
        shutil.copy(self.path, copy)
        with tables.open_file(str(copy), "a") as file:
            self._add_tables(file)
        os.replace(copy, self.path)

    def _ready(self, limit: int) -> bool:
        """The file can be appended to, and its rows are not compressed any more."""
        with tables.open_file(str(self.path), "r") as file:
            found = [file.root.flows[name] for name in TABLES.values()]
            if any(table.dtype != self._layout.dtype for table in found):
                return False
            size, packed = sum(map(_size, found)), any(table.filters.complevel for table in found)
            mixed = _has_others(file)
        if (limit and size >= limit) or (packed and mixed):
            return False
        if packed:
            repack(self.path, _copy_of(self.path), 0)
        return True

    def _make(self) -> None:
        """Elsewhere, as a file that a killed process has only begun does not open."""
        copy = _copy_of(self.path)
        with tables.open_file(str(copy), "w") as file:
            self._add_tables(file)
        if self.path.exists():  # empty, as logrotate makes it
            os.replace(copy, self.path)
            return
        try:
            os.link(copy, self.path)  # another process may have been faster
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            copy.rename(self.path)
        copy.unlink(missing_ok=True)

    def _add_tables(self, file: tables.File) -> None:
        group = file.create_group("/", "flows", "Flows")
        group._v_attrs.created = time.time()
        group._v_attrs.fields = ",".join(f"{field.name}:{field.type}" for field in self._layout.fields)
        for name in TABLES.values():
            file.create_table(
                group, name, self._layout.dtype, "Flow table", tables.Filters(0), chunkshape=(_CHUNK_ROWS,)
            )

    @property
    def created(self) -> float:
        """Seconds since the epoch."""
        return float(self._file.root.flows._v_attrs.created)

    @property
    def size(self) -> int:
        """Bytes of the rows."""
        return sum(map(_size, self._tables.values()))

    def append(self, proto: int, rows: Any) -> None:
        """OSError, before anything is changed, where the disk has no room: a file that is shorter than its header says,
        as a failed write or a kill in the middle of one would leave it, does not open any more."""
        more = rows.nbytes + _SLACK_CHUNKS * _CHUNK_ROWS * rows.itemsize
        os.posix_fallocate(self._file.fileno(), self._file.get_filesize(), more)
        self._tables[proto].append(rows)

    def flush(self) -> None:
        """What was appended is then the kernel's: it survives the process, and not the machine."""
        self._tables[TCP].flush()  # of the whole file: HDF5 knows no other, and File.flush() asks for it three times

    def close(self, *, pack: bool = True) -> None:
        self._file.close()
        if pack and self._level:
            repack(self.path, _copy_of(self.path), self._level, _CLOSE_SECONDS)

    def abandon(self) -> None:
        """After an error: what is not in the file yet is given up as far as the library lets it go."""
        with suppress(Exception):
            self._file.close()


def _copy_of(path: Path) -> Path:
    """Where copies of the store's files are made."""
    return path.with_name(path.name + ".tmp")


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _size(table: Any) -> int:
    return int(table.nrows) * int(table.rowsize)


def _has_others(file: tables.File) -> bool:
    """Somebody has put more into the file than our tables."""
    ours = {"/flows", *(f"/flows/{name}" for name in TABLES.values())}
    return any(node._v_pathname not in ours for node in file.walk_nodes("/") if node._v_pathname != "/")


def repack(path: Path, copy: Path, level: int, seconds: float = math.inf) -> None:
    """Puts a copy with this level of compression in the file's place, unless the file has more than our tables. If it
    fails the file is as it was: TimeoutError where it takes longer, OSError, tables.HDF5ExtError."""
    until = time.monotonic() + seconds
    try:
        with tables.open_file(str(path), "r") as source, tables.open_file(str(copy), "w") as target:
            if _has_others(source):
                copy.unlink()
                return
            source.root._v_attrs._f_copy(target.root)
            group = target.create_group("/", "flows", "Flows")
            source.root.flows._v_attrs._f_copy(group)
            filters = tables.Filters(level, "blosc:lz4", shuffle=True)
            for table in (source.root.flows[name] for name in TABLES.values()):
                packed = target.create_table(
                    group, table.name, table.dtype, table.title, filters, chunkshape=(_CHUNK_ROWS,)
                )
                table.attrs._f_copy(packed)
                for start in range(0, table.nrows, _COPY_ROWS):
                    packed.append(table.read(start, start + _COPY_ROWS))
                    if time.monotonic() > until:
                        raise TimeoutError(f"it takes longer than {seconds:g} s")
        with open(copy, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(copy, path.stat().st_mode & 0o777)
        os.replace(copy, path)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise


def set_aside(path: Path, level: int) -> Path:
    """Renames a file by the time (UTC), and compresses it. What goes wrong after the renaming is let be: the rows are
    there."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    number = 1
    while (aside := path.with_name(f"{path.stem}-{stamp}-{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    with suppress(OSError, tables.HDF5ExtError):
        with tables.open_file(str(aside), "r") as file:
            packed = file.root.flows.table_tcp.filters.complevel
        if level and not packed:
            repack(aside, _copy_of(path), level)
    return aside


def parts(path: Path) -> list[Path]:
    """The files of a store, oldest first: those set aside, and the one at its path."""
    digit = "[0-9]"
    pattern = f"{_plain(path.stem)}-{digit * 8}T{digit * 6}-*{_plain(path.suffix)}"
    return [*sorted(path.parent.glob(pattern)), *([path] if path.exists() else [])]


def _plain(text: str) -> str:
    """For a pattern of names."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)

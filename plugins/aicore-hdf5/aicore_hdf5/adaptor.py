# SPDX-License-Identifier: Apache-2.0
"""The adaptor: options, life cycle and what errors mean. PyTables is imported in `connect`."""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aicore import AdaptorURL, Fatal, FileStore, Option, UsageError, check_file, record_fields, schema

if TYPE_CHECKING:
    from aicore import FlowBatch
    from aicore_hdf5.file import FlowFile

_log = logging.getLogger("aicore.hdf5")
_TAKEN = ("name", "l7", "layer7info", "version", "cut", "present")
_MIB = 1 << 20


class Hdf5Adaptor(FileStore):
    """See README.md for the tables, and for what a killed process leaves."""

    options = {
        **FileStore.options,
        "fields": Option(list, default=[], help="fields of plugins that get a column"),
        "compress": Option(
            int, default=1, minimum=0, maximum=9, help="level of compression of a closed file; 0: none", tuning=True
        ),
        "rotate_size": Option(
            int,
            default=256,
            minimum=0,
            help="MiB of uncompressed rows after which a new file begins; 0: never",
            tuning=True,
        ),
        "rotate_every": Option(
            int, default=0, minimum=0, help="seconds after which a new file begins; 0: never", tuning=True
        ),
    }
    scheme = "hdf5"
    events = "net"
    aicore_api = 1

    _file: FlowFile | None = None

    def check(self, url: AdaptorURL) -> None:
        check_file(url, beside=True, magic=b"\x89HDF\r\n\x1a\n")
        self._check_fields()

    def connect(self, connection_str: str) -> None:
        """Opens or makes the file. Fatal where the path cannot be written or is no HDF5 file, UsageError for a field
        that cannot have a column; what the library raises where another attempt makes sense."""
        from aicore_hdf5.columns import layout

        self._wanted = self.config["fields"]
        self._check_fields()
        self.cut = 0  # strings of this object's rows that were too long
        self._seen: list[schema.Field] = []
        self._layout, self._unknown = layout(self._wanted, self._fields())
        super().connect(connection_str)

    def open_file(self) -> None:
        self._path = Path(self.path)
        self._check_path()
        self._open_tables()

    def _check_fields(self) -> None:
        for name in self.config["fields"]:
            if name in _TAKEN:
                raise UsageError(f"hdf5: a field cannot be called {name}: the tables have a column of that name")

    def write_file(self, batch: FlowBatch) -> None:
        """Appends the rows and flushes: a process that is killed then loses none of them."""
        if self._unknown:
            self._learn(batch)
        if self._file is None:  # the last write failed
            self._open_tables()
        parts = [(proto, self._layout.rows(rows)) for proto, rows in _by_transport(batch)]
        self._locked(lambda file: self._append(file, parts))
        self.cut += sum(int(rows["cut"].sum()) for _, rows in parts)

    def close_file(self, *, gone: bool) -> None:
        """Compresses the file; if that fails its rows stand in it as they were written, and so they do where it has
        gone: a copy cannot take its place."""
        if self._file is None:
            return
        from tables import HDF5ExtError

        try:
            self._locked(lambda file: file.close(pack=not gone))
        except (OSError, HDF5ExtError, Fatal) as error:
            _log.warning("hdf5: %s is not compressed: %s", self._path, _one_line(error))
        self._file = None
        if self.cut:
            _log.warning("hdf5: %s: %d strings were longer than their columns and are cut", self._path, self.cut)

    def _append(self, file: FlowFile, parts: list[tuple[int, Any]]) -> None:
        rotate_size, rotate_every = self.config["rotate_size"] * _MIB, self.config["rotate_every"]
        full = rotate_size and file.size >= rotate_size
        if file.size and (full or (rotate_every and time.time() - file.created >= rotate_every)):
            file = self._rotated(file)
        for proto, rows in parts:
            file.append(proto, rows)
        file.flush()

    def _rotated(self, file: FlowFile) -> FlowFile:
        from aicore_hdf5.file import set_aside

        self._file = None
        file.close(pack=False)
        set_aside(self._path, self.config["compress"])
        self._file = self._new_file()
        self.watch_file()
        return self._file

    def _learn(self, batch: FlowBatch) -> None:
        """A wanted field that the run does not have has the type that it first comes with."""
        from aicore_hdf5.columns import layout

        found = [field for field in batch.schema if field.name in self._unknown]
        if found:
            self._seen += found
            self._layout, self._unknown = layout(self._wanted, self._fields(), self._seen)
            if self._file is not None:
                self._locked(lambda file: file.close(pack=False))
            self._open_tables()  # the file has another layout now, and is set aside if it has rows

    def _fields(self) -> tuple[schema.Field, ...]:
        """Of the run's records."""
        return self.context.fields if self.context else record_fields()

    def _open_tables(self) -> None:
        from aicore_hdf5.file import LOCK

        self._file = None
        with LOCK:
            self._file = self._judged(self._new_file)
        self.watch_file()

    def _new_file(self) -> FlowFile:
        from aicore_hdf5.file import FlowFile

        limit = self.config["rotate_size"] * _MIB
        return FlowFile(self._path, self._layout, self.config["compress"], limit, adopt=self.config["adopt"])

    def _locked(self, do: Callable[[FlowFile], None]) -> None:
        """Whatever fails, the file is opened anew for the next attempt: HDF5 may hold what it could not write."""
        from aicore_hdf5.file import LOCK

        with LOCK:
            file = self._file
            assert file is not None
            try:
                self._judged(lambda: do(file))
            except BaseException:
                self._file = None
                file.abandon()
                raise

    def _judged(self, do: Callable[[], Any]) -> Any:
        from tables import HDF5ExtError

        try:
            return do()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR):
                raise Fatal(f"hdf5: {self._path}: {error.strerror}") from error
            raise
        except HDF5ExtError as error:
            if "truncated file" in str(error):  # of a machine that went down
                raise Fatal(f"hdf5: {self._path}: the file is damaged: it is shorter than its header says") from error
            if found := re.search(r"errno = (\d+)", str(error)):  # of a full disk, for instance
                number = int(found[1])
                why = "another process writes it" if "unable to lock" in str(error) else os.strerror(number)
                raise OSError(number, why, str(self._path)) from error
            raise

    def _check_path(self) -> None:
        """HDF5 says of all that is wrong with a path only that it cannot open it."""
        directory = self._path.absolute().parent
        if not directory.is_dir():
            raise Fatal(f"hdf5: {self._path}: there is no directory {directory}")
        if not self._path.exists():
            if not os.access(directory, os.W_OK):
                raise Fatal(f"hdf5: {self._path}: no right to write in {directory}")
            return
        if self._path.is_dir():
            raise Fatal(f"hdf5: {self._path}: is a directory")
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise Fatal(f"hdf5: {self._path}: no right to read and write it")
        if not self._path.stat().st_size:
            return
        from tables import is_hdf5_file

        from aicore_hdf5.file import LOCK

        with LOCK:
            ours = is_hdf5_file(str(self._path))
        if not ours:
            raise Fatal(f"hdf5: {self._path}: not an HDF5 file")


def _by_transport(batch: FlowBatch) -> list[tuple[int, FlowBatch]]:
    """TCP flows and all others (UDP; nothing else is tracked)."""
    import numpy as np

    tcp = np.asarray(batch.column("proto")) == 6
    if tcp.all():
        return [(6, batch)]
    if not tcp.any():
        return [(17, batch)]
    return [(6, batch.take(np.flatnonzero(tcp).tolist())), (17, batch.take(np.flatnonzero(~tcp).tolist()))]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[-200:]

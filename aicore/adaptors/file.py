# SPDX-License-Identifier: Apache-2.0
"""`file:PATH`: a line for each event, for eyes and grep; `file:-` is standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aicore.adaptors._lines import LineFile
from aicore.errors import Fatal
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.plugins.files import check_file, path_of
from aicore.plugins.lines import is_object

if TYPE_CHECKING:
    from aicore.plugins.url import AdaptorURL
    from aicore.record.batch import FlowBatch

_BEGINS = (b"Insert:[", b"Update:[", b"Remove:[")


def _is_whole(line: bytes) -> bool:
    head, brace, record = line.partition(b" {")
    if line.startswith(b"Update:") and not (brace and is_object(b"{" + record)):
        return False
    return head.endswith(b"]") and head.count(b"[") == head.count(b"]")


class FileAdaptor(DatabaseAdaptor):
    """Appends `Insert:[key]`, `Update:[key] record` and `Remove:[key]`, the record as JSON."""

    events = "all"
    versions = False  # of lines with one flow_id the last counts
    aicore_api = 1

    _file: LineFile | None = None

    @property
    def ended(self) -> bool:
        """The reader of standard output has gone: nothing more can be written, and nobody misses it."""
        return self._file is not None and self._file.ended

    def check(self, url: AdaptorURL) -> None:
        check_file(url, stdout=True)

    def connect(self, connection_str: str) -> None:
        """Fatal where the file cannot be written."""
        self._file = LineFile(path_of(connection_str, "file"), _BEGINS, _is_whole)

    def write(self, batch: FlowBatch) -> None:
        """One write for the batch."""
        if self._file is None:
            raise Fatal("file: not connected")
        updates = batch.kind("update")
        records = iter(updates.json() if updates is not None else ())
        lines = bytearray()
        for event, key in zip(batch.column("event"), batch.keys(), strict=True):
            if event == "update":
                lines += b"Update:[%b] %b\n" % (key.encode(), next(records))
            elif event == "insert":
                lines += b"Insert:[%b]\n" % key.encode()
            else:
                lines += b"Remove:[%b]\n" % key.encode()
        self._file.write(bytes(lines))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

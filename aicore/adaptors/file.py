# SPDX-License-Identifier: Apache-2.0
"""`file:PATH`: a line for each event, for eyes and grep; `file:-` is standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aicore.adaptors._lines import LineStore
from aicore.plugins.lines import is_object

if TYPE_CHECKING:
    from aicore.record.batch import FlowBatch


class FileAdaptor(LineStore):
    """Appends `Insert:[key]`, `Update:[key] record` and `Remove:[key]`, the record as JSON."""

    scheme = "file"
    begins = (b"Insert:[", b"Update:[", b"Remove:[")
    events = "all"
    aicore_api = 1

    @staticmethod
    def is_whole(line: bytes) -> bool:
        head, brace, record = line.partition(b" {")
        if line.startswith(b"Update:") and not (brace and is_object(b"{" + record)):
            return False
        return head.endswith(b"]") and head.count(b"[") == head.count(b"]")

    def write_file(self, batch: FlowBatch) -> None:
        """One write for the batch."""
        assert self.lines is not None
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
        self.lines.write(bytes(lines))

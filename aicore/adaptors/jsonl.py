# SPDX-License-Identifier: Apache-2.0
"""`jsonl:PATH`: one JSON record a line for each finished flow; `jsonl:-` is standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aicore.adaptors._lines import LineFile
from aicore.errors import Fatal
from aicore.plugins.adaptor import DatabaseAdaptor, Events
from aicore.plugins.files import check_file, path_of
from aicore.plugins.lines import is_object
from aicore.plugins.options import Option

if TYPE_CHECKING:
    from aicore.plugins.url import AdaptorURL
    from aicore.record.batch import FlowBatch


class JsonlAdaptor(DatabaseAdaptor):
    """Appends JSON lines. Delivery is at least once: of lines with the same flow_id the last one counts."""

    options = {
        "events": Option(
            str,
            default="ended",
            choices=("ended", "all"),
            help="ended: the record of each finished flow; all: every event, with the members `event` and `version`",
        )
    }
    versions = False  # of lines with one flow_id the last counts
    aicore_api = 1

    _file: LineFile | None = None

    @property
    def events(self) -> Events:  # type: ignore[override]  # depends on the option
        return "all" if self.config["events"] == "all" else "net"

    @property
    def ended(self) -> bool:
        """The reader of standard output has gone: nothing more can be written, and nobody misses it."""
        return self._file is not None and self._file.ended

    def check(self, url: AdaptorURL) -> None:
        check_file(url, stdout=True)

    def connect(self, connection_str: str) -> None:
        """Fatal where the file cannot be written."""
        self._file = LineFile(path_of(connection_str, "jsonl"), (b'{"',), is_object)

    def write(self, batch: FlowBatch) -> None:
        """One write for the batch."""
        if self._file is None:
            raise Fatal("jsonl: not connected")
        if self.events == "all":
            self._file.write(batch.json_lines(meta=True))
        elif (ended := batch.kind("remove")) is not None:
            self._file.write(ended.json_lines())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

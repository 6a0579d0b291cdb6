# SPDX-License-Identifier: Apache-2.0
"""`jsonl:PATH`: one JSON record a line for each finished flow; `jsonl:-` is standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aicore.adaptors._lines import LineStore
from aicore.plugins.adaptor import Events
from aicore.plugins.lines import is_object
from aicore.plugins.options import Option

if TYPE_CHECKING:
    from aicore.record.batch import FlowBatch


class JsonlAdaptor(LineStore):
    """Appends JSON lines. Delivery is at least once: of lines with the same flow_id the last one counts."""

    options = {
        **LineStore.options,
        "events": Option(
            str,
            default="ended",
            choices=("ended", "all"),
            help="ended: the record of each finished flow; all: every event, with the members `event` and `version`",
        ),
    }
    scheme = "jsonl"
    begins = (b'{"key":',)
    is_whole = staticmethod(is_object)
    aicore_api = 1

    @property
    def events(self) -> Events:  # type: ignore[override]  # depends on the option
        return "all" if self.config["events"] == "all" else "net"

    def write_file(self, batch: FlowBatch) -> None:
        """One write for the batch."""
        assert self.lines is not None
        if self.events == "all":
            self.lines.write(batch.json_lines(meta=True))
        elif (ended := batch.kind("remove")) is not None:
            self.lines.write(ended.json_lines())

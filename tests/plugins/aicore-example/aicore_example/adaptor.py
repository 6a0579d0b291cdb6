# SPDX-License-Identifier: Apache-2.0
"""`tally:PATH?by=layer7`: a JSON object in a file, value -> ended flows."""

from __future__ import annotations

import json
from pathlib import Path

import aicore


class Tally(aicore.DatabaseAdaptor):
    options = {"by": aicore.Option(str, default="layer7", help="field to count by")}
    events = "all"

    def connect(self, connection_str: str) -> None:
        self.path = Path(connection_str.partition(":")[2].partition("?")[0])
        self.counts: dict[str, int] = {}

    def write(self, batch: aicore.FlowBatch) -> None:
        for flow in batch:
            if flow.event == "remove":
                value = str(getattr(flow, self.config["by"]))
                self.counts[value] = self.counts.get(value, 0) + 1
        self.path.write_text(json.dumps(self.counts))

    def close(self) -> None:
        self.path.with_suffix(".closed").touch()

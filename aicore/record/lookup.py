# SPDX-License-Identifier: Apache-2.0
"""Looking up texts of a batch, each once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aicore import _core
from aicore.record.batch import FlowBatch


class Lookup:
    """What a costly function says of texts: asked once for each, as long as it is remembered. For one thread.

    `function` gets a text and returns a result, None if it knows nothing. Results are plain values: the garbage
    collector does not see those that are remembered. A batch that finds more than `size` texts remembered begins with
    none."""

    def __init__(self, function: Callable[[str], Any], size: int = 1 << 16) -> None:
        self._function = function
        self._core = _core.Lookup(size)

    def find(self, flows: FlowBatch, name: str) -> tuple[list[Any], Sequence[int]]:
        """The results for a column of strings, and for each row the index of its result. The first result is None, for
        rows without a text and texts of which nothing is known. KeyError for a name that is no column of strings; what
        the function raises is not caught.

        `FlowBatch.add` takes the indexes:

            places, codes = lookup.find(flows, "ipsrc")
            flows.add("srccity", [place and place.city for place in places], codes)
        """
        return self._core.find(flows._core, name, self._function)

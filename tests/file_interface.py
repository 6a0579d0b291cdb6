# SPDX-License-Identifier: Apache-2.0
"""An interface whose packets come from a file: a live run for tests that need no rights."""

from __future__ import annotations

import os
from typing import Any

from aicore.run.source import Source


class FileInterface(Source):
    """What its stores see is a live run; the packets are read as fast as they can be, each once."""

    @classmethod
    def of(cls, source: Any, **_: Any) -> FileInterface:
        """A path, or a list of them."""
        return cls(tuple(source) if isinstance(source, list | tuple) else (os.fspath(source),), live=True)

    def open(self, engine: Any, *_: Any) -> None:
        engine.open_files(self.names, self.filter)

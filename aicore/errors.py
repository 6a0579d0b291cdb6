# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, by kind. The text of every `AicoreError` is one line for a user, which the command line prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["blocked", "error", "incompatible", "duplicate"]


class AicoreError(Exception):
    """Base of what aicore raises on purpose."""


class UsageError(AicoreError, ValueError):
    """A wrong value, option, name or URL, found before anything runs."""


class PluginError(AicoreError):
    """A plugin that cannot be used; `status` is what `aicore list-plugins` shows for it."""

    def __init__(self, message: str, status: Status = "error") -> None:
        super().__init__(message)
        self.status = status


class SourceError(AicoreError):
    """A capture or interface that cannot be opened, or that ended early."""


class Fatal(AicoreError):
    """Raised by an adaptor: it cannot go on and retrying will not help (wrong credentials, wrong schema)."""


class PartialWrite(Exception):
    """Row by row delivery stopped: the first `delivered` rows are safe, `__cause__` says why the next one is not.

    Raised by `write_rows`, understood by the delivery; adaptors with a `write` of their own return
    `RowError`s instead."""

    def __init__(self, delivered: int) -> None:
        if type(delivered) is not int or delivered < 0:
            raise TypeError(f"PartialWrite: delivered is a number of rows, not {delivered!r:.100}")
        super().__init__(f"stopped after {delivered} rows")
        self.delivered = delivered


@dataclass(frozen=True)
class RowError:
    """What became of one row that `write` could not deliver."""

    #: Index in the batch that was given to `write`.
    row: int
    #: retry: later, again. poison: never, set it aside. fatal: the adaptor cannot go on.
    kind: Literal["retry", "poison", "fatal"]
    reason: str

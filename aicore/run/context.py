# SPDX-License-Identifier: Apache-2.0
"""What plugins are told about the run, and what a run says at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from aicore.record.schema import Schema
from aicore.run.isolation import PluginStats

#: name, flows, packets, bytes
TopRow = tuple[str, int, int, int]

#: Counters of a delivery that a summary's repr shows where they are not 0.
_UNDELIVERED = {"spooled": "in the spool", "dead_lettered": "refused for good", "shed": "shed", "lost": "lost"}


@dataclass(frozen=True)
class RunContext:
    """The run, for its hooks and adaptors. The same object everywhere.

    run_id: names this run among all: the start in µs since the epoch.
    version_base: `version` of an event is this plus its seq. It is higher than every version of the earlier runs with
        stores, of this user on this machine, also where the clock has gone back.
    sensor: name of the vantage point; empty for files unless it was set.
    source: files or interfaces, in the order in which they were given; live: they are interfaces.
    fields: the record: core fields, those of the loaded protocols and meters, and those that hook plugins declare.
    counters(): counters of the core as of now.
    logger: aicore's logger; it keeps secrets of URLs out of its lines.
    """

    run_id: str
    version_base: int
    sensor: str
    source: tuple[str, ...]
    live: bool
    fields: Schema
    counters: Callable[[], dict[str, int]] = field(repr=False)
    logger: logging.Logger = field(repr=False)


@dataclass(frozen=True)
class AdaptorSummary:
    """One adaptor's delivery."""

    name: str
    #: The URL without secrets, or the class of an object that a program gave.
    target: str
    state: str
    error: str | None
    lag_seconds: float
    counters: dict[str, int]


@dataclass(frozen=True)
class BrokenFile:
    """A capture that could not be read, or not to its end. What came before the damage was read."""

    file: str
    #: One line that names the file.
    error: str


@dataclass(frozen=True)
class RunSummary:
    """What a run did."""

    seconds: float
    counters: dict[str, int]
    #: Of several workers what each did; `packets` are those of its flows. Empty if there was one.
    workers: list[dict[str, int]]
    adaptors: list[AdaptorSummary]
    #: Hooks and Python protocols: calls, times, errors, and why one was set aside. Meters: reloads and their errors.
    plugins: list[PluginStats]
    #: "protocols", "hosts", "talkers": most bytes first, of ended flows.
    top: dict[str, list[TopRow]]
    warnings: list[str]
    #: In the order in which they were read, at most 1,000; the counter `files_broken` counts them all.
    broken_files: list[BrokenFile]
    #: Why input is missing: the interfaces are gone, or captures are broken. Those of a followed folder are no error.
    error: str | None
    #: A signal came.
    interrupted: bool
    #: The input was not read to its end, because of a signal, stop(), or stores that take nothing more. Interfaces and
    #: followed folders have no end.
    partial: bool
    bytes_read: int
    #: None if it is not known, as of pipes.
    bytes_total: int | None

    def __repr__(self) -> str:
        """What matters at a glance; to_dict() has everything."""
        parts = [f"{self.seconds:.1f} s", f"{self.counters.get('packets', 0)} packets"]
        parts.append(f"{self.counters.get('flows_tcp', 0) + self.counters.get('flows_udp', 0)} flows")
        for one in self.adaptors:
            shown = [f"{one.counters.get('delivered', 0)} delivered"]
            shown += [f"{one.counters[name]} {what}" for name, what in _UNDELIVERED.items() if one.counters.get(name)]
            parts.append(f"{one.name} {one.state}, {', '.join(shown)}")
        parts += [f"{one.name} failed {one.errors} time{'s' * (one.errors != 1)}" for one in self.plugins if one.errors]
        if self.warnings:
            parts.append(f"{len(self.warnings)} warnings")
        if self.interrupted:
            parts.append("interrupted")
        if self.error is not None:
            parts.append(f"error: {self.error}")
        return f"<RunSummary: {'; '.join(parts)}>"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        summary = asdict(self)
        for plugin in summary["plugins"]:
            for private in [name for name in plugin if name.startswith("_")]:
                del plugin[private]
        return summary

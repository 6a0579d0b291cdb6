# SPDX-License-Identifier: Apache-2.0
"""How a run is doing: a line that is kept up to date on a terminal, or a log line now and then."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from aicore.cli.terminal import count, rate, safe, size

if TYPE_CHECKING:
    from rich.live import Live

    from aicore.run.loop import Run

logger = logging.getLogger("aicore")

_EVERY = 5.0  # seconds between two log lines

#: Counters of packets or events that a live run loses, with the words for them.
LOSSES = {
    "kernel_drop": "dropped by the kernel",
    "interface_drop": "dropped by the interface",
    "updates_shed": "updates shed",
    "not_admitted": "packets of flows not admitted",
}


class Progress:
    """A context manager whose object is a run's progress callback: called every 0.1 s on the thread of run()."""

    def __init__(self, *, terminal: bool) -> None:
        self._terminal = terminal
        self._live: Live | None = None
        self._begin = time.monotonic()
        self._next = self._begin + _EVERY
        self._last = (self._begin, 0)
        self._rate = 0.0

    def __enter__(self) -> Progress:
        if self._terminal:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, run: Run) -> None:
        info = run.progress_info()
        now = time.monotonic()
        if self._live is not None:
            from rich.text import Text

            # A plain Text: file names must not be read as markup.
            text = Text(safe(self.line(run, info, now)), no_wrap=True, overflow="ellipsis")
            self._live.update(text, refresh=True)
        elif now >= self._next and logger.isEnabledFor(logging.INFO):
            self._next = now + _EVERY
            logger.info("%s", self.line(run, info, now))

    def line(self, run: Run, info: dict[str, Any], now: float) -> str:
        """One line: where, how much, how fast, what is lost, which store is behind."""
        before, packets = self._last
        if now - before >= 1.0 or packets == 0:
            self._rate = (info["packets"] - packets) / max(now - before, 0.001)
            self._last = (now, info["packets"])
        parts = []
        counters = run.counters()
        if info["current"]:
            parts.append(os.path.basename(info["current"]))
        elif run.source.follow:
            folders = " and ".join(run.source.names)
            parts.append(f"waiting for captures in {folders}, {count(counters.get('files_read', 0))} read")
        if info["bytes_total"]:
            parts.append(f"{min(info['bytes_read'] / info['bytes_total'], 1):.0%} of {size(info['bytes_total'])}")
        parts.append(f"{count(info['packets'], 'packet')}, {rate(self._rate)}/s")
        parts.append(f"{count(info['flows_live_tcp'] + info['flows_live_udp'])} flows live")
        parts += [f"{count(counters[name])} {words}" for name, words in LOSSES.items() if counters.get(name)]
        parts += [
            f"{adaptor.name} {adaptor.state}, {adaptor.lag_seconds:.0f} s behind"
            for adaptor in run.adaptors()
            if adaptor.lag_seconds >= 1
        ]
        return " | ".join(parts)


def on_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"

# SPDX-License-Identifier: Apache-2.0
"""aicore's log on standard error: lines for people, or JSON lines for programs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone

from aicore.cli.terminal import safe, say


class _Lines(logging.Handler):
    """Asks for sys.stderr anew at each line: a live display puts a stream of its own in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = f"aicore: {record.levelname.lower()}: {record.getMessage()}"
            say(safe(text), sys.stderr)
            if record.exc_text or record.exc_info:
                trace = record.exc_text or logging.Formatter().formatException(record.exc_info)  # type: ignore[arg-type]
                for line in trace.splitlines():
                    say(safe(line), sys.stderr)
        except Exception:
            self.handleError(record)


class _JsonLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            entry = {
                "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
            }
            if record.exc_text or record.exc_info:
                entry["trace"] = record.exc_text or logging.Formatter().formatException(record.exc_info)  # type: ignore[arg-type]
            say(json.dumps(entry), sys.stderr)
        except Exception:
            self.handleError(record)


def set_up(verbose: int, quiet: bool, as_json: bool) -> None:
    """Warnings and errors by default, with -v what a run does, with -vv everything, with -q errors alone."""
    from aicore.plugins.secrets import ScrubFilter

    logger = logging.getLogger("aicore")
    for old in [handler for handler in logger.handlers if isinstance(handler, _Lines | _JsonLines)]:
        logger.removeHandler(old)
    handler = _JsonLines() if as_json else _Lines()
    # On the handler, because a logger's own filters do not see what its children log.
    handler.addFilter(ScrubFilter())
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)])

# SPDX-License-Identifier: Apache-2.0
"""Dead letters: rows that a store will never take, kept with the reason, to be looked at and replayed.

One JSON object a line: time, adaptor, store (its URL without secrets), reason, version, attempts, record (with `event`,
`new` and `version` in it).
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from aicore.plugins.lines import is_object, mend_last_line
from aicore.plugins.secrets import scrub

log = logging.getLogger("aicore.delivery")


class DeadLetters:
    """`<directory>/<file>-<date>.jsonl`, mode 0600; `file` belongs to one store. At most max_bytes a day, and nothing
    while less than the share `min_free` of the disk is free: a flood must not fill it."""

    def __init__(
        self,
        directory: Path | str,
        adaptor: str,
        *,
        file: str | None = None,
        store: str = "",
        max_bytes: int = 64 << 20,
        min_free: float = 0.0,
    ) -> None:
        self.directory = Path(directory)
        self.adaptor = adaptor
        self.file = file or adaptor
        self.store = store
        self.max_bytes = max_bytes
        self.min_free = min_free

    def write(self, records: Iterable[tuple[bytes, str, int]]) -> int:
        """(record as JSON, reason, attempts) each; returns how many could not be written."""
        now = datetime.now(timezone.utc)
        lines = [self._line(now, *record) for record in records]
        path = self.directory / f"{self.file}-{now:%Y-%m-%d}.jsonl"
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.error("dead letters cannot be written to %s: %s", path, error.strerror)
            return len(lines)
        index = 0
        try:
            with suppress(OSError):  # another run writes now, and what looks torn may be its
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mend_last_line(path, fd, (b'{"time": ',), is_object)
            size = os.fstat(fd).st_size
            for index, line in enumerate(lines):
                if size + len(line) > self.max_bytes:
                    log.error("%s has reached its %d bytes: dead letters are only counted now", path, self.max_bytes)
                    return len(lines) - index
                if self._disk_is_full(len(line)):
                    log.error(
                        "less than %.0f%% of the disk of %s is free: dead letters are only counted now",
                        100 * self.min_free,
                        path,
                    )
                    return len(lines) - index
                written = os.write(fd, line)
                if written != len(line):
                    os.ftruncate(fd, size)
                    raise OSError(0, "no space left")
                size += written
        except OSError as error:
            log.error("dead letters cannot be written to %s: %s", path, error.strerror)
            return len(lines) - index
        finally:
            os.close(fd)
        return 0

    def _disk_is_full(self, size: int) -> bool:
        disk = os.statvfs(self.directory)
        return disk.f_bavail * disk.f_frsize - size < self.min_free * disk.f_blocks * disk.f_frsize

    def _line(self, now: datetime, record: bytes, reason: str, attempts: int) -> bytes:
        try:
            version = json.loads(record).get("version")
            body = record.decode()
        except (ValueError, AttributeError):
            version, body = None, json.dumps(record.decode(errors="backslashreplace"))
        head = {
            "time": now.isoformat(),
            "adaptor": self.adaptor,
            "store": self.store,
            "reason": scrub(reason),
            "version": version,
            "attempts": attempts,
        }
        return f'{json.dumps(head)[:-1]}, "record": {body}}}\n'.encode()


def deadletter_list(directory: Path | str) -> list[dict[str, Any]]:
    """Per file: path, adaptor, store (its URL without secrets), rows, bytes, the reasons with how often each, most
    frequent first; error: why it, or the rest of it, cannot be read, or ""."""
    found = []
    for path in sorted(Path(directory).glob("*.jsonl")):
        reasons: dict[str, int] = {}
        rows = 0
        adaptor = path.stem[: -len("-YYYY-MM-DD")]
        store = error = ""
        size = 0
        try:
            size = path.stat().st_size
            for entry in read_letters(path):
                rows += 1
                adaptor, store = str(entry.get("adaptor", adaptor)), str(entry.get("store", store))
                reason = str(entry.get("reason"))
                reasons[reason] = reasons.get(reason, 0) + 1
        except OSError as problem:
            error = problem.strerror or str(problem)
        top = dict(sorted(reasons.items(), key=lambda item: -item[1])[:10])
        found.append(
            {"path": str(path), "adaptor": adaptor, "store": store, "rows": rows, "bytes": size, "reasons": top}
            | {"error": error}
        )
    return found


def read_letters(path: Path | str) -> Iterator[dict[str, Any]]:
    """The letters of a file, in order; lines that are none (a torn last one) are skipped. OSError if it is no file that
    can be read."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # nobody waits for a pipe
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("record"), dict):
                yield entry

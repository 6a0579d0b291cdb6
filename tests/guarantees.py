# SPDX-License-Identifier: Apache-2.0
"""The tables for operators in docs/guarantees.md, and what runs into a store on a server show of them."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from captures.build import dns
from captures.files import Capture, talks
from commandline import start

PAGE = Path(__file__).resolve().parent.parent / "docs" / "guarantees.md"
#: Stores whose rows are run by the tests of their plugins.
SERVERS = ("cassandra", "elasticsearch", "opensearch", "postgres", "redis")
FLOWS = 30  # of visits()

T = TypeVar("T")


class Row(NamedTuple):
    what: str
    stores: tuple[str, ...]
    seen: tuple[str, ...]
    code: int


class Seen(NamedTuple):
    code: int
    text: str


def table(heading: str) -> list[Row]:
    """That of a section: what happens, in one table the stores, what is lost, what is seen, the exit code."""
    text = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [
        Row(what, tuple(stores[0].split(", ")) if stores else (), tuple(re.findall("`([^`]+)`", seen)), int(code))
        for what, *stores, _, seen, code in lines[1:]
    ]


def rows_of(*stores: str) -> list[tuple[Row, str]]:
    """Of the table of servers, for each of these stores."""
    return [(row, store) for row in table("Stores on a server") for store in row.stores if store in stores]


def scenarios(known: Mapping[str, T], row: Row) -> list[T]:
    """Of those that are known by the first words of rows, what makes this row happen: one, or the page has changed."""
    return [do for words, do in known.items() if row.what.startswith(words)]


def check(row: Row, seen: Seen) -> None:
    assert seen.code == row.code, seen.text
    for words in row.seen:
        assert re.search(".*".join(map(re.escape, words.split("..."))), seen.text), (words, seen.text)


def visits() -> Capture:
    return talks(*(dns(40_000 + n) for n in range(FLOWS)))


class Run:
    """A run whose input is open: `feed` gives it packets, `end` ends that, `said` is its log so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        self._lines.extend(iter(self._process.stderr.readline, ""))

    @property
    def said(self) -> str:
        return "".join(list(self._lines))

    def feed(self, capture: Capture) -> None:
        assert self._process.stdin is not None
        self._process.stdin.buffer.write(capture.pcap())
        self._process.stdin.buffer.flush()

    def end(self) -> None:
        """Of the input: what is left of its flows comes now."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def seen(self) -> Seen:
        """Once the run has ended."""
        assert self._process.stdout is not None
        out = self._process.stdout.read()
        code = self._process.wait(120)
        self._reader.join()
        return Seen(code, out + self.said)

    def close(self) -> None:
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def until_it_says(self, words: str) -> None:
        until(lambda: words in self.said or self._process.poll() is not None)
        assert words in self.said, self.said


@contextlib.contextmanager
def running(folder: Path, url: str, *options: object) -> Iterator[Run]:
    process = start(folder, "run", "-", "-v", "--to", url, *options, stdin=subprocess.PIPE)
    one = Run(process)
    try:
        yield one
    finally:
        process.kill()
        process.wait()
        one.close()


class Records(NamedTuple):
    """Of how many flows the store has a record, and of how many the last one."""

    all: Callable[[], int]
    ended: Callable[[], int]


def harmed(
    folder: Path, url: str, records: Records, harm: Callable[[], None], heal: Callable[[], None], says: str = "retrying"
) -> Seen:
    """A run whose store has the first records when harm is done to it, and is healed once the run has said so."""
    with running(folder, url, "--wait", "forever") as one:
        one.feed(visits())
        until(lambda: records.all() == FLOWS)
        harm()
        one.end()
        one.until_it_says(says)
        heal()
        seen = one.seen()
    assert records.ended() == FLOWS, seen.text
    return seen


def started_later(folder: Path, url: str, records: Records, start_server: Callable[[], None]) -> Seen:
    """A run whose server does not listen yet."""
    with running(folder, url) as one:
        one.feed(visits())
        one.end()
        one.until_it_says("retrying")
        start_server()
        seen = one.seen()
    assert records.ended() == FLOWS, seen.text
    return seen


def until(condition: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)

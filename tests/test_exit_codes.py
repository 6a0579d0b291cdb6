# SPDX-License-Identifier: Apache-2.0
"""The exit codes of docs/guarantees.md, whenever a signal comes and whatever the standard streams are."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from captures.build import dns
from captures.files import Capture, talks
from commandline import environment, start

from aicore.cli.exits import MEANINGS, Exit

FLOWS = 30  # of the fixture `visits`
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

#: Tells when the process takes signals itself: what comes before is Python's own start.
PROGRAM = """
import os
from aicore.cli import main, signals
signals.begin()
os.write(2, b".")
main()
"""


class Shot:
    """A short run that gets a signal so many seconds after it has begun to take them."""

    def __init__(self, folder: Path, number: signal.Signals, after: float) -> None:
        begun = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "run", "visits.pcap", "--to", "sqlite:flows.db", "--to", "jsonl:lines"],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stderr is not None
            assert process.stderr.read(1) == b"."
            begun = time.monotonic()
            time.sleep(after)
            self.late = process.poll() is not None
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        self.seconds = time.monotonic() - begun
        self.code, self.out, self.err = process.returncode, out.decode(), err.decode()

    def delivered(self) -> list[int]:
        return [int(number) for number in re.findall(r"^store: .*: (\d+) records delivered$", self.out, re.MULTILINE)]


def stored(folder: Path) -> list[int]:
    """Records that each store has; what a run into it left is gone then."""
    found = [0, 0]
    if (folder / "flows.db").exists():
        store = sqlite3.connect(folder / "flows.db")
        if store.execute("SELECT 1 FROM sqlite_master WHERE name = 'flows'").fetchone():
            found[0] = store.execute("SELECT count(*) FROM flows").fetchone()[0]
        store.close()
    if (folder / "lines").exists():
        found[1] = len((folder / "lines").read_text().splitlines())
    for path in [*folder.glob("flows.db*"), *folder.glob("lines")]:
        path.unlink()
    return found


def shoot(folder: Path, number: signal.Signals, after: float) -> Shot:
    shot = Shot(folder, number, after)
    where = f"{number.name} after {after * 1000:.0f} ms: {shot.code}\n{shot.out}\n{shot.err}"
    assert shot.err == "", where
    found = stored(folder)
    assert shot.code in (Exit.OK, Exit.INTERRUPTED), where
    if number == signal.SIGHUP:
        assert shot.code == Exit.OK, where
    if shot.code == Exit.OK:
        assert found == [FLOWS, FLOWS], where
        assert "the result is partial" not in shot.out, where
    if f"store: jsonl:lines: {found[1]} records delivered\n" in shot.out:
        assert shot.delivered() == found, where
        assert (shot.code == Exit.INTERRUPTED) == ("the result is partial" in shot.out), where
    elif shot.code == Exit.INTERRUPTED:
        assert (shot.out, found) == ("", [0, 0]), where
    return shot


@pytest.fixture
def folder(tmp_path: Path, visits: Capture) -> Path:
    visits.write(tmp_path / "visits.pcap")
    return tmp_path


@pytest.mark.timing
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_time_of_a_short_run(folder: Path, number: signal.Signals) -> None:
    whole = shoot(folder, signal.SIGHUP, 0).seconds
    codes = [shoot(folder, number, whole * step / 10).code for step in range(11)]
    if number != signal.SIGHUP:
        assert codes[0] == Exit.INTERRUPTED


@pytest.mark.fault
@pytest.mark.timeout(900)
@pytest.mark.timing
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_each_millisecond_of_a_short_run(folder: Path, number: signal.Signals) -> None:
    step = 0
    while not shoot(folder, number, step / 1000).late:
        step += 1
    assert step > 50


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_commands_other_than_run_end_at_once(number: signal.Signals) -> None:
    program = PROGRAM.replace("main()", "import time; time.sleep(30)")
    with subprocess.Popen([sys.executable, "-c", program, "fields"], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.read(1) == b"."
        process.send_signal(number)
        assert process.stderr.read() == b""
    assert process.returncode == Exit.INTERRUPTED


def test_after_the_summary_a_signal_changes_nothing(folder: Path) -> None:
    """The summary waits in a pipe that is full, and the signal ends that wait, with the code of the run."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    process = start(folder, "run", "visits.pcap", stdout=writer)
    os.close(writer)
    deadline = time.monotonic() + 20
    while "pipe_write" not in (where := Path(f"/proc/{process.pid}/wchan").read_text()):
        if where == "0" and time.monotonic() > deadline - 17:  # the kernel does not tell
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    os.close(reader)
    assert (process.returncode, err) == (Exit.OK, "")
    assert stored(folder)[0] == FLOWS


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupted_file_does_not_look_complete(tmp_path: Path, as_json: bool) -> None:
    talks(*(dns(1024 + n) for n in range(5_000))).write(tmp_path / "many.pcap")
    # Small batches, so that the file is not read long before its records are delivered.
    options = ["--batch-rows", "2", "--to", "jsonl:lines?events=all", *["--json"] * as_json]
    process = start(tmp_path, "run", "many.pcap", *options)
    while not (tmp_path / "lines").exists() or not (tmp_path / "lines").stat().st_size:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    size = (tmp_path / "many.pcap").stat().st_size
    if as_json:
        summary = json.loads(out)
        assert (summary["interrupted"], summary["partial"], summary["bytes_total"]) == (True, True, size)
        assert 0 < summary["bytes_read"] < size
    else:
        words = r"^interrupted: read ([\d,]+) of ([\d,]+) bytes \(([\d,]+) packets\); the result is partial$"
        found = re.search(words, out, re.MULTILINE)
        assert found is not None, out + err
        assert int(found[2].replace(",", "")) == size
    assert (process.returncode, err) == (Exit.INTERRUPTED, "")


COMMANDS = [
    ["fields"],
    ["fields", "--json"],
    ["list-plugins"],
    ["deadletter", "list"],
    ["spool", "list"],
    ["interfaces"],
    ["version"],
    ["completion", "bash"],
    ["--help"],
    ["run", "--help"],
    ["run", "visits.pcap", "--to", "memory:"],
    ["run", "visits.pcap", "--to", "jsonl:-"],
    ["run", "visits.pcap", "--to", "memory:", "--json"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_that_has_gone_is_no_error(folder: Path, command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(folder, *command, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=30)
    assert process.returncode == Exit.OK
    assert "Error" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("how", ["closed", "full"])
def test_an_output_that_cannot_be_written_is_one_line(folder: Path, command: list[str], how: str) -> None:
    with open("/dev/full", "w") as full:
        process = start(folder, *command, stdout=full, preexec_fn=(lambda: os.close(1)) if how == "closed" else None)
        _, err = process.communicate(timeout=30)
    assert process.returncode == (Exit.LOST if "jsonl:-" in command else Exit.FAILED)
    reason = "Bad file descriptor" if how == "closed" else "No space left on device"
    assert reason in err
    assert "Traceback" not in err
    if "jsonl:-" not in command:
        assert err == f"aicore: error: standard output: {reason}\n"


def test_lines_for_a_closed_output_are_not_tried_again(folder: Path) -> None:
    process = start(folder, "run", "visits.pcap", "--to", "jsonl:-?wait=forever", preexec_fn=lambda: os.close(1))
    _, err = process.communicate(timeout=30)
    assert process.returncode == Exit.LOST
    assert "stopped: Fatal: cannot write standard output: Bad file descriptor" in err
    assert "retrying" not in err


def test_what_the_run_has_to_say_wins_over_an_output_that_cannot_be_written(folder: Path) -> None:
    with open("/dev/full", "w") as full:
        process = start(folder, "run", "visits.pcap", "--to", "exec:false?wait=0.2", "--no-spool", stdout=full)
        _, err = process.communicate(timeout=30)
    assert process.returncode == Exit.LOST
    assert "standard output: No space left on device" in err


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2), (0,)])
def test_closed_streams_do_no_harm_to_files(folder: Path, closed: tuple[int, ...]) -> None:
    def close() -> None:
        for number in closed:
            os.close(number)

    process = start(folder, "run", "visits.pcap", "--to", "jsonl:lines", "-vv", preexec_fn=close)
    process.communicate(timeout=30)
    assert process.returncode == (Exit.FAILED if 1 in closed else Exit.OK)
    lines = (folder / "lines").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == FLOWS


@pytest.mark.parametrize("where", ["/dev/full", "closed pipe"])
def test_messages_that_nobody_can_get_change_no_code(folder: Path, where: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full:
        stderr = full if where == "/dev/full" else writer
        failed = start(folder, "run", "nothing.pcap", stderr=stderr)
        assert failed.communicate(timeout=30)[0] == ""
        process = start(folder, "run", "visits.pcap", "-vv", stderr=stderr)
        assert "30 flows" in process.communicate(timeout=30)[0]
    os.close(writer)
    assert (failed.returncode, process.returncode) == (Exit.FAILED, Exit.OK)


def test_the_page_has_every_code() -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "guarantees.md"
    section = page.read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    told = {int(code): words for code, words in re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)}
    assert told == {code.value: meaning.replace("--follow", "`--follow`") for code, meaning in MEANINGS.items()}

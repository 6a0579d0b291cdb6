# SPDX-License-Identifier: Apache-2.0
"""docs/guarantees.md: each row of its table for operators is made to happen, and shows what the row says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from captures.build import dns
from captures.files import Capture, talks
from commandline import invoke, start
from file_interface import FileInterface
from guarantees import SERVERS, Row, Seen, check, table

from aicore.delivery import DeadLetters, Spool
from aicore.run import versions
from aicore.testing import make_batch

FLOWS = 30  # of the fixture `visits`
SECTION = "From the record to the store"

#: A store that takes records while there is a file `up`; with a file `once` ten of them, and then no more.
STORE = """
[ -e up ] || exit 1
while read -r line; do
    if [ -n "$line" ]; then printf '%s\\n' "$line" >> batch; continue; fi
    if [ -e once ]; then
        rm up once
        head -10 batch >> log
        rows=$(seq -s , -f '{"row": %g, "kind": "retry"}' 10 $(($(wc -l < batch) - 1)))
        rm batch
        echo "{\\"errors\\": [$rows]}"
        exit 1
    fi
    cat batch >> log
    rm batch
    echo '{}'
    [ -e up ] || exit 1
done
"""
AWAY = "exec:sh store.sh?wait=0.3"
#: The same one, where it is there: a busy machine takes long to start it.
THERE = "exec:sh store.sh?wait=30"


def run(*arguments: object) -> Seen:
    result = invoke("run", *arguments, "-v")
    return Seen(result.exit_code, result.stdout + result.stderr)


def waiting() -> list[int]:
    return [one["rows"] for one in json.loads(invoke("spool", "list", "--json").stdout)]


def logged() -> int:
    """Flows of which the store has the final record."""
    rows = map(json.loads, Path("log").read_text().splitlines())
    return len({row["flow_id"] for row in rows if row["event"] == "remove"})


def away(capture: Path) -> Seen:
    seen = run(capture, "--to", AWAY)
    assert waiting() == [FLOWS]
    Path("up").touch()
    assert run(capture, "--to", THERE).code == 0
    assert (waiting(), logged()) == ([0], FLOWS)
    return seen


def without_spool(capture: Path) -> Seen:
    return run(capture, "--to", AWAY, "--no-spool")


def goes_away(capture: Path, *options: object) -> Seen:
    Path("up").touch()
    Path("once").touch()
    seen = run(capture, "--to", "exec:sh store.sh?wait=2", "--batch-rows", 16, *options)
    assert logged() == 10
    return seen


def goes_away_with_a_spool(capture: Path) -> Seen:
    seen = goes_away(capture)
    assert waiting() == [FLOWS - logged()]
    return seen


def no_room(capture: Path) -> Seen:
    return goes_away(capture, "--spool-free", 100)


def one_of_two_away(long_capture: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    monkeypatch.setattr("aicore.cli.run_setup.Source", FileInterface)
    monkeypatch.setattr("aicore.delivery.health.START_SECONDS", 1.0)
    seen = run(long_capture, "--to", "exec:false?queue=1&events=all", "--to", "sqlite:x.db", "--no-spool")
    with sqlite3.connect("x.db") as store:
        assert store.execute("SELECT count(*) FROM flows WHERE end_reason != ''").fetchone() == (5_000,)
    store.close()
    return seen


def ends_the_run(folder: Path, visits: Capture) -> Seen:
    stores = ("--to", "exec:sh store.sh?wait=3,stop", "--to", "sqlite:x.db")
    with start(folder, "run", "-", *stores, stdin=subprocess.PIPE) as one:
        feed(one, visits)  # and more could come
        one.wait(20)
        out, err = one.communicate()
    with sqlite3.connect("x.db") as store:
        assert store.execute("SELECT count(*) FROM flows").fetchone() == (FLOWS,)
    store.close()
    assert sum(waiting()) >= FLOWS, "and with it every event that was read"
    return Seen(one.returncode, out + err)


def clock_back(capture: Path, visits: Capture, monkeypatch: pytest.MonkeyPatch) -> Seen:
    Capture(frames=visits.frames[: len(visits.frames) // 2]).write("half.pcap")
    found = []
    for path, store, days in ((capture, "right.db", 0), ("half.pcap", "x.db", 2), (capture, "x.db", 0)):
        monkeypatch.setattr(versions, "_now", lambda days=days: time.time_ns() // 1000 + days * 86_400_000_000)
        seen = run(path, "--to", f"sqlite:{store}")
        with closing(sqlite3.connect(store)) as rows:
            found.append(rows.execute("SELECT key, packets FROM flows ORDER BY key").fetchall())
    assert found[0] == found[2] != found[1]
    return seen


def two_runs(capture: Path) -> Seen:
    run(capture, "--to", AWAY)
    (first,) = Path("state/aicore/spool").glob("exec-*")
    held = Spool(first)
    run(capture, "--to", AWAY)
    held.close()
    assert waiting() == [FLOWS, FLOWS]
    Path("up").touch()
    seen = run(capture, "--to", THERE)
    assert waiting() == [0, 0]
    assert len(Path("log").read_text().splitlines()) == 3 * FLOWS
    return seen


def spoolful(capture: Path) -> Path:
    """A spool in which rows wait; the store is back."""
    run(capture, "--to", AWAY, "--batch-rows", 16, "--spool-always")  # a frame for each batch
    Path("up").touch()
    (spool,) = Path("state/aicore/spool").glob("exec-*")
    return spool


def not_opened(capture: Path) -> Seen:
    lock = spoolful(capture) / "lock"
    lock.unlink()
    lock.mkdir()
    seen = run(capture, "--to", THERE)
    lock.rmdir()
    assert sorted(waiting()) == [0, FLOWS]
    return seen


def damaged(capture: Path) -> Seen:
    (segment,) = spoolful(capture).glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[100] ^= 1
    segment.write_bytes(data)
    seen = run(capture, "--to", THERE)
    assert logged() == FLOWS
    assert FLOWS < len(Path("log").read_text().splitlines()) < 2 * FLOWS, "only one frame of two is lost"
    return seen


def damaged_before(capture: Path) -> Seen:
    (segment,) = spoolful(capture).glob("*.seg")
    Path("up").unlink()
    data = bytearray(segment.read_bytes())
    data[100] ^= 1
    segment.write_bytes(data)
    first, seen = run(capture, "--to", AWAY), run(capture, "--to", AWAY)
    assert (first.code, "was damaged" in first.text, "lost in a damaged spool" in first.text) == (4, True, True)
    assert "damaged" not in seen.text
    return seen


def another_version(capture: Path) -> Seen:
    (segment,) = spoolful(capture).glob("*.seg")
    segment.with_name(f"{99:020d}.seg").write_bytes(b"AIS9 of another time")
    return run(capture, "--to", THERE)


def deleted(folder: Path, visits: Capture) -> Seen:
    with start(folder, "run", "-", "--to", "exec:tail -n 0?events=all", "--spool-always", stdin=subprocess.PIPE) as one:
        feed(one, visits)
        until(lambda: sum(waiting()) >= FLOWS)
        (spool,) = Path("state/aicore/spool").glob("exec-*")
        for path in spool.iterdir():
            path.unlink()
        spool.rmdir()
        one.send_signal(signal.SIGTERM)
        until(spool.exists)  # the ends of the flows
        one.send_signal(signal.SIGTERM)
        out, err = one.communicate(timeout=20)
    lost = re.search("([0-9]+) lost", out)
    assert lost is not None
    assert int(lost[1]) >= FLOWS
    assert f"{sum(waiting())} waiting in the spool" in out
    return Seen(one.returncode, out + err)


def refused_for_now(capture: Path) -> Seen:
    Path("store.sh").write_text("""
while read -r line; do
    if [ -n "$line" ]; then printf '%s\\n' "$line" >> batch; continue; fi
    rows=$(awk '/40003/ { printf "%s{\\"row\\": %d, \\"kind\\": \\"retry\\"}", comma, NR - 1; comma = "," }' batch)
    grep -v 40003 batch >> log
    rm batch
    echo "{\\"errors\\": [$rows]}"
done
""")
    seen = run(capture, "--to", "exec:sh store.sh?wait=2", "--batch-rows", 2)
    assert (logged(), waiting()) == (FLOWS - 1, [1])
    return seen


def refused(capture: Path) -> Seen:
    Path("store.sh").write_text(
        'while read -r line; do [ -z "$line" ] && echo '
        '\'{"errors": [{"row": 0, "kind": "poison", "reason": "too long"}]}\'; done'
    )
    seen = run(capture, "--to", THERE)
    (file,) = json.loads(invoke("deadletter", "list", "--json").stdout)
    assert (file["rows"], file["store"].partition("?")[0]) == (1, "exec:sh store.sh")
    return seen


def letters(version: int) -> Path:
    assert (
        DeadLetters("letters", "x").write(
            (line, "r", 1) for line in make_batch(3, kind="remove", version=version).json(True)
        )
        == 0
    )
    (path,) = Path("letters").glob("x-*.jsonl")
    return path


def replay(path: Path, url: str) -> Seen:
    result = invoke("deadletter", "replay", path, url)
    return Seen(result.exit_code, result.stdout + result.stderr)


def replayed_over_newer() -> Seen:
    newer = letters(version=1_000)
    replay(newer, "sqlite:flows.db")
    newer.unlink()
    seen = replay(letters(version=10), "sqlite:flows.db")
    with sqlite3.connect("flows.db") as store:
        versions = [version for (version,) in store.execute("SELECT version FROM flows ORDER BY version")]
    store.close()
    assert versions == [1_000, 1_001, 1_002]
    return seen


def replayed_into_lines() -> Seen:
    seen = replay(letters(version=10), "jsonl:flows.jsonl")
    assert not Path("flows.jsonl").exists()
    return seen


def broken_adaptor(capture: Path, install: Callable[..., None]) -> Seen:
    source = """
import aicore

class Broken(aicore.DatabaseAdaptor):
    def connect(self, connection_str):
        pass

    def write(self, batch):
        return len(None)

    def close(self):
        pass
"""
    install("aicore-broken", adaptors={"broken": "broken_adaptor:Broken"}, broken_adaptor=source)
    seen = run(capture, "--to", "broken:x?wait=1", "--to", "sqlite:x.db")
    assert sorted(waiting()) == [0, FLOWS]
    return seen


def reader_goes_away(capture: Path) -> Seen:
    os.mkfifo("pipe")
    Path("none.pcap").write_bytes(capture.read_bytes()[:24])
    with subprocess.Popen(["head", "-c", "1", "pipe"], stdout=subprocess.DEVNULL) as reader:
        # Slowly, so that the pipe is closed before all is written; what is written before is what it held.
        one = start(
            Path.cwd(), "run", "-", "--to", "jsonl:pipe?events=all", "--to", "sqlite:x.db", stdin=subprocess.PIPE
        )
        assert one.stdin is not None
        data = capture.read_bytes()
        one.stdin.buffer.write(data)
        one.stdin.buffer.flush()
        reader.wait(20)
        out, err = one.communicate(timeout=20)
    with sqlite3.connect("x.db") as store:
        assert store.execute("SELECT count(*) FROM flows").fetchone() == (FLOWS,)
    store.close()
    return Seen(one.returncode, out + err)


def nobody_reads(capture: Path) -> Seen:
    os.mkfifo("pipe")
    seen = run(capture, "--to", "jsonl:pipe?wait=0.3", "--to", "sqlite:x.db")
    assert sorted(waiting()) == [0, FLOWS]
    return seen


def head(capture: Path) -> Seen:
    with start(Path.cwd(), "run", capture, "--to", "jsonl:-", "-q") as one:
        assert one.stdout is not None
        assert one.stderr is not None
        one.stdout.close()
        err = one.stderr.read()
    assert err == ""
    return Seen(one.returncode, err)


def command_ends(capture: Path) -> Seen:
    Path("store.sh").write_text(
        "sleep 1000 & echo $! >> pids\n[ -e tried ] || { read -r x; touch tried; exit 1; }\n" + STORE
    )
    Path("up").touch()
    seen = run(capture, "--to", "exec:sh store.sh")
    assert logged() == FLOWS
    assert "; closed" not in seen.text  # an error that was overcome is none of the summary's
    for pid in Path("pids").read_text().split():
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())
    return seen


def interrupted() -> Seen:
    talks(*(dns(1024 + n) for n in range(5_000))).write("many.pcap")
    # Small batches, so that the file is not read long before its records are delivered.
    with start(Path.cwd(), "run", "many.pcap", "--to", "jsonl:log?events=all", "--batch-rows", 2, "-v") as one:
        until(lambda: Path("log").exists() and Path("log").stat().st_size)
        one.send_signal(signal.SIGTERM)
        out, err = one.communicate(timeout=20)
    kinds = Counter(json.loads(line)["event"] for line in Path("log").read_text().splitlines())
    assert kinds["insert"] == kinds["remove"] == logged() < 5_000
    return Seen(one.returncode, out + err)


def torn_line(capture: Path) -> Seen:
    Path("flows.jsonl").write_text('{"key":"whole"}\n{"key":"10.0.0.1:1')
    seen = run(capture, "--to", "jsonl:flows.jsonl")
    keys = [json.loads(line)["key"] for line in Path("flows.jsonl").read_text().splitlines()]
    assert (keys[0], len(keys)) == ("whole", 1 + FLOWS)
    return seen


def killed(folder: Path, visits: Capture, capture: Path) -> Seen:
    with start(
        folder, "run", "-", "--to", "exec:sh store.sh?wait=forever", "--spool-always", stdin=subprocess.PIPE
    ) as one:
        feed(one, visits)
        until(lambda: sum(waiting()) >= FLOWS)
        one.kill()
    Path("up").touch()
    return run(capture, "--to", THERE)


@contextmanager
def running(folder: Path, visits: Capture, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that has written a row for each flow; their ends come when its input does."""
    with start(folder, "run", "-", "--to", f"sqlite:{path}", "-v", stdin=subprocess.PIPE) as one:
        feed(one, visits)
        until(lambda: path.exists() and path.stat().st_size and rows_of(path) == FLOWS)
        yield one
        one.kill()


def rows_of(path: Path, where: str = "") -> int:
    with closing(sqlite3.connect(path)) as store:
        try:
            found = store.execute(f"SELECT count(*) FROM flows {where}").fetchone()[0]
        except sqlite3.OperationalError:  # there is no table yet
            return 0
        assert isinstance(found, int)
        return found


def moved(folder: Path, visits: Capture) -> Seen:
    return rotated(folder, visits, hang_up=True)


def moved_silently(folder: Path, visits: Capture) -> Seen:
    return rotated(folder, visits, hang_up=False)


def rotated(folder: Path, visits: Capture, *, hang_up: bool) -> Seen:
    path, away = Path("flows.db"), Path("away.db")
    with running(folder, visits, path) as one:
        path.rename(away)
        if hang_up:
            one.send_signal(signal.SIGHUP)
            until(lambda: path.exists() and rows_of(path) == 0)
            assert rows_of(away) == FLOWS
        out, err = one.communicate(timeout=20)
    assert (rows_of(away), rows_of(path, "WHERE end_reason IS NOT NULL")) == (FLOWS, FLOWS)
    return Seen(one.returncode, out + err)


def file_deleted(folder: Path, visits: Capture) -> Seen:
    path = Path("flows.db")
    with running(folder, visits, path) as one:
        path.unlink()
        out, err = one.communicate(timeout=20)
    assert rows_of(path, "WHERE end_reason IS NOT NULL") == FLOWS
    return Seen(one.returncode, out + err)


def folder_removed(folder: Path, visits: Capture) -> Seen:
    path = Path("there/flows.db")
    path.parent.mkdir()
    with running(folder, visits, path) as one:
        shutil.rmtree(path.parent)
        assert one.stdin is not None
        one.stdin.close()
        one.stdin = None
        until(lambda: "there is no directory" in one.stderr.readline())
        one.send_signal(signal.SIGINT)  # of two that are alike the second may be lost
        one.send_signal(signal.SIGTERM)
        out, err = one.communicate(timeout=20)
    assert waiting() == [FLOWS]
    return Seen(one.returncode, out + err)


def killed_after_moving(folder: Path, visits: Capture, capture: Path) -> Seen:
    with running(folder, visits, Path("flows.db")) as one:
        Path("flows.db").rename("away.db")
        one.kill()
    seen = run(capture, "--to", "sqlite:flows.db")
    Path("flows.db.1-wal").rename("away.db-wal")
    assert (rows_of(Path("away.db")), rows_of(Path("flows.db"))) == (FLOWS, FLOWS)
    return seen


def somebody_elses(capture: Path) -> Seen:
    with closing(sqlite3.connect("flows.db")) as store:
        store.execute("CREATE TABLE flows (name TEXT)")
    seen = run(capture, "--to", "sqlite:flows.db")
    assert waiting() == [FLOWS]
    assert run(capture, "--to", "sqlite:flows.db?adopt=yes").code == 0
    assert (waiting(), rows_of(Path("flows.db"))) == ([0], FLOWS)
    return seen


def somebody_elses_lines(capture: Path) -> Seen:
    Path("notes").write_text("mine\n")
    seen = run(capture, "--to", "jsonl:notes")
    assert Path("notes").read_text() == "mine\n"
    return seen


def feed(process: subprocess.Popen[str], capture: Capture) -> None:
    assert process.stdin is not None
    process.stdin.buffer.write(capture.pcap())
    process.stdin.buffer.flush()


def until(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


#: By the first words of the rows.
SCENARIOS: dict[str, Callable[..., Seen]] = {
    "the store is away from": away,
    "the same, with `--no-spool`": without_spool,
    "the store goes away later": goes_away_with_a_spool,
    "and the spool has no room": no_room,
    "the same, live": one_of_two_away,
    "a store with `wait=": ends_the_run,
    "the clock goes back": clock_back,
    "two runs at a time": two_runs,
    "a spool of the store cannot": not_opened,
    "the spool is damaged": damaged,
    "the same at the next start": damaged_before,
    "the spool is of another version": another_version,
    "somebody deletes the spool": deleted,
    "the store refuses a record for now": refused_for_now,
    "the store refuses a record for good": refused,
    "dead letters are replayed": replayed_over_newer,
    "the same, and the store cannot tell": replayed_into_lines,
    "the adaptor fails by": broken_adaptor,
    "the reader of a pipe": reader_goes_away,
    "nobody reads": nobody_reads,
    "the reader of standard output": head,
    "the command of `exec:`": command_ends,
    "a file is moved away, then": moved,
    "a file is moved away without": moved_silently,
    "a file is deleted": file_deleted,
    "the folder of a file": folder_removed,
    "an SQLite file is moved": killed_after_moving,
    "the table of the store": somebody_elses,
    "the file begins": somebody_elses_lines,
    "a signal while a file is read": interrupted,
    "`SIGKILL` or a power failure": torn_line,
    "`SIGKILL` of a run with": killed,
}


def scenario(row: Row) -> Callable[..., Seen]:
    (found,) = [function for words, function in SCENARIOS.items() if row.what.startswith(words)]
    return found


def test_every_row_is_run() -> None:
    assert [scenario(row) for row in table(SECTION)] == list(SCENARIOS.values())


def test_the_rows_of_servers_are_of_stores_whose_plugins_run_them() -> None:
    assert {store for row in table("Stores on a server") for store in row.stores} == set(SERVERS)


@pytest.mark.parametrize("row", table(SECTION), ids=lambda row: row.what)
def test_a_row_of_the_table(
    row: Row,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capture_file: Path,
    long_capture: Path,
    visits: Capture,
    install: Callable[..., None],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("store.sh").write_text(STORE)
    function = scenario(row)
    given: dict[str, Any] = {"capture": capture_file, "long_capture": long_capture, "visits": visits}
    given |= {"folder": tmp_path, "monkeypatch": monkeypatch, "install": install}
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    seen = function(**{name: given[name] for name in names})
    check(row, seen)

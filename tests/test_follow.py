# SPDX-License-Identifier: Apache-2.0
"""`aicore run DIR --follow`: finished captures only, each once, also after a restart."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import pty
import select
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from captures.build import dns, http
from captures.files import Capture, talks
from commandline import call, environment, invoke, start

from aicore.run import follow
from aicore.run.ledger import Ledger, Seen

pytestmark = pytest.mark.timing

MAGIC = bytes.fromhex("d4c3b2a1")


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def flow(port: int, at: float = 0.0) -> Capture:
    """A capture of one flow."""
    return Capture().add(dns(port), at)


class Place:
    """A folder `in` that is followed, and what comes of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / "in"
        self.folder.mkdir()
        self._running: list[subprocess.Popen[str]] = []

    def drop(self, name: str, content: Capture | bytes, age: float = 0.0) -> Path:
        """As one does it right: written beside, then renamed."""
        part = self.folder / f"{name}.part"
        part.write_bytes(content.pcap() if isinstance(content, Capture) else content)
        os.utime(part, (time.time() - age,) * 2)
        return part.rename(self.folder / name)

    def start(self, *args: object, **settings: Any) -> subprocess.Popen[str]:
        process = start(self.path, "run", "in", "--follow", "--to", "sqlite:flows.db", *args, **settings)
        self._running.append(process)
        return process

    def plugin(self, name: str, group: str, source: str) -> dict[str, str]:
        """An environment with this plugin."""
        info = self.path / "site" / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}:Plugin\n")
        (info.parent / f"{name}.py").write_text(source)
        return environment(self.path, PYTHONPATH=str(info.parent))

    def stop(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        return out, err

    def kill(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate(timeout=30)

    def end(self) -> None:
        for process in self._running:
            if process.returncode is None:
                self.kill(process)

    def ports(self) -> list[int]:
        """The client's port of each row in the store."""
        if not (self.path / "flows.db").exists():
            return []
        connection = sqlite3.connect(self.path / "flows.db")
        try:
            return sorted(port for (port,) in connection.execute("SELECT portsrc FROM flows"))
        except sqlite3.OperationalError:
            return []  # no table yet
        finally:
            connection.close()

    @property
    def ledger(self) -> Path:
        (path,) = (self.path / "state" / "aicore" / "spool" / "followed").glob("in-*.jsonl")
        return path

    def entered(self) -> list[str]:
        return sorted(json.loads(line)["name"] for line in self.ledger.read_text().splitlines())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = Place(tmp_path)
    yield place
    place.end()


# -- what is read ------------------------------------------------------------------------------------------------------


def test_captures_that_come_until_a_signal(place: Place) -> None:
    place.drop("there.pcap", flow(1))
    process = place.start()
    wait_for(lambda: place.ports() == [1])
    place.drop("b.pcap", flow(2, 1.0))
    place.drop("c.pcapng", flow(3, 2.0).pcapng())
    wait_for(lambda: place.ports() == [1, 2, 3])
    begin = time.monotonic()
    out, err = place.stop(process)
    assert time.monotonic() - begin < 3  # of which Python's own end takes most
    assert err == ""
    assert out.startswith("6 packets, ")
    assert " from 3 captures in in " in out
    assert place.entered() == ["b.pcap", "c.pcapng", "there.pcap"]
    assert place.ledger.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_nothing_comes(place: Place, number: signal.Signals) -> None:
    process = place.start()
    wait_for(lambda: list(place.path.rglob("in-*.jsonl")))
    place.drop("a.pcap", flow(1))
    wait_for(lambda: place.ports() == [1])
    process.send_signal(number)
    out, err = process.communicate(timeout=3)
    assert (process.returncode, err) == (0, "")
    assert "1 flow: 0 TCP, 1 UDP" in out


def test_a_file_that_is_still_written_waits(place: Place) -> None:
    """The other file is newer, so the open one was looked at before it."""
    content = talks(*(dns(port) for port in range(1, 51))).pcap()
    process = place.start()
    with (place.folder / "open.pcap").open("wb", buffering=0) as file:
        for at in range(0, len(content), 4096):
            file.write(content[at : at + 4096])
            place.drop(f"{at}.pcap", flow(1000 + at, 1.0))
            wait_for(lambda at=at: 1000 + at in place.ports())  # type: ignore[misc]
            assert min(place.ports()) >= 1000
    wait_for(lambda: set(range(1, 51)) <= set(place.ports()))
    out, err = place.stop(process)
    assert (err, "files broken" in out) == ("", False)
    assert "open.pcap" in place.entered()


def test_a_flow_that_spans_two_files_is_one(place: Place) -> None:
    whole = talks(http(40000))
    middle = len(whole.frames) // 2
    process = place.start("--to", "jsonl:out")
    place.drop("1.pcap", Capture(frames=whole.frames[:middle]))
    wait_for(lambda: place.ports() == [40000])
    place.drop("2.pcap", Capture(frames=whole.frames[middle:]))
    place.drop("3.pcap", flow(1, 60.0))
    wait_for(lambda: place.ports() == [1, 40000])
    place.stop(process)
    records = [json.loads(line) for line in Path("out").read_text().splitlines()]
    assert [(one["packets"], one["end_reason"]) for one in records if one["portsrc"] == 40000] == [
        (len(whole.frames), "fin")
    ]
    assert len(records) == 2


def test_the_order_is_that_of_modification_and_then_of_names(place: Place) -> None:
    for port, (name, age) in enumerate([("z", 30.0), ("b", 20.0), ("c", 20.0), ("a", 10.0)], 1):
        path = place.drop(f"{name}.pcap", flow(port, port))
        os.utime(path, (1_700_000_000 - age,) * 2)
    process = place.start("--to", "file:out")
    wait_for(lambda: len(place.ports()) == 4)
    place.stop(process)
    inserts = [line for line in Path("out").read_text().splitlines() if line.startswith("Insert:")]
    assert [int(line.split(":")[2]) for line in inserts] == [1, 2, 3, 4]


def test_what_is_left_alone(place: Place) -> None:
    content = flow(1).pcap()
    for name in (".hidden.pcap", "a.tmp", "b.pcap.part", "deeper"):
        (place.folder / name).mkdir() if name == "deeper" else (place.folder / name).write_bytes(content)
    (place.folder / "empty.pcap").touch()
    (place.folder / "notes.txt").write_text("no capture")
    os.mkfifo(place.folder / "pipe")
    (place.folder / "link").symlink_to("nowhere")
    process = place.start()
    place.drop("good.pcap", flow(2, 1.0))
    wait_for(lambda: place.ports() == [2])
    (place.folder / "empty.pcap").write_bytes(flow(3, 2.0).pcap())
    (place.folder / "b.pcap.part").rename(place.folder / "b.pcap")
    wait_for(lambda: place.ports() == [1, 2, 3])
    out, err = place.stop(process)
    assert (err, "from 3 captures" in out) == ("", True)


def test_compressed_captures(place: Place) -> None:
    process = place.start()
    place.drop("1.pcap.gz", gzip.compress(flow(1).pcap()), age=5)
    place.drop("2", lzma.compress(flow(2, 1.0).pcapng()), age=4)
    place.drop("notes.gz", gzip.compress(b"no capture"), age=3)
    wait_for(lambda: place.ports() == [1, 2])
    out, err = place.stop(process)
    assert err == "aicore: warning: in/notes.gz: is not a capture (pcap or pcapng) (unpacked from gzip)\n"
    assert "from 2 captures in in" in out


def test_a_capture_that_gets_compressed_is_read_once(place: Place) -> None:
    """As `tcpdump -z gzip` does it: beside the file, which goes once the copy is whole."""
    process = place.start()
    plain = place.drop("1.pcap", flow(1))
    wait_for(lambda: place.ports() == [1])
    place.drop("1.pcap.gz", gzip.compress(flow(1).pcap()))
    plain.unlink()
    place.drop("2.pcap", flow(2, 1000.0))
    wait_for(lambda: place.ports() == [1, 2])
    out, err = place.stop(process)
    assert (err, "from 2 captures in in" in out) == ("", True)
    assert sqlite3.connect("flows.db").execute("SELECT count(*) FROM flows").fetchone() == (2,)
    process = place.start()
    place.drop("3.pcap", flow(3, 2000.0))
    wait_for(lambda: place.ports() == [1, 2, 3])
    out, err = place.stop(process)
    assert (err, "from 1 capture in in" in out) == ("", True)


def test_a_broken_file_is_named_and_the_others_are_read(place: Place) -> None:
    process = place.start()
    place.drop("1.pcap", flow(1), age=5)
    place.drop("2.pcap", MAGIC + b"rubbish", age=4)
    place.drop("3.pcap", flow(3, 1.0).pcap()[:-1], age=3)
    place.drop("4.pcap", Capture(linktype=147).add(dns(4), 2.0), age=2)
    place.drop("5.pcap", Capture(linktype=101, wrap=lambda packet: packet).add(dns(5), 3.0), age=1)
    wait_for(lambda: place.ports() == [1, 3, 5])
    out, err = place.stop(process)
    assert [line.partition(": in/")[2] for line in err.splitlines()] == [
        "2.pcap: ends inside the capture's header",
        "3.pcap: capture ends inside packet 2; read 1",
        "4.pcap: link type DLT 147 is not known to aicore",
    ]
    assert "noticed: files broken 3" in out
    assert "from 2 captures in in" in out


def test_more_files_than_are_handed_over_at_once(place: Place) -> None:
    for port in range(1, 201):
        place.drop(f"{port:03}.pcap", flow(port, port), age=1000 - port)
    process = place.start()
    wait_for(lambda: len(place.ports()) == 200)
    place.drop("last.pcap", flow(201, 201))
    wait_for(lambda: len(place.ports()) == 201)
    place.stop(process)
    assert len(place.entered()) == 201


def test_a_ring_that_writes_anew_under_an_old_name(place: Place) -> None:
    process = place.start()
    place.drop("ring.pcap", flow(1))
    wait_for(lambda: place.ports() == [1])
    (place.folder / "ring.pcap").write_bytes(talks(dns(2), dns(3)).pcap())  # the same inode
    wait_for(lambda: place.ports() == [1, 2, 3])
    place.stop(process)


# -- each once ---------------------------------------------------------------------------------------------------------


def test_each_once_after_a_signal_and_a_start(place: Place) -> None:
    place.drop("1.pcap", flow(1))
    process = place.start("--to", "jsonl:out")
    wait_for(lambda: place.ports() == [1])
    place.stop(process)
    (place.folder / "1.pcap").rename(place.folder / "renamed.pcap")
    place.drop("2.pcap", flow(2, 1.0))
    process = place.start("--to", "jsonl:out")
    wait_for(lambda: place.ports() == [1, 2])
    out, _ = place.stop(process)
    assert "from 1 capture in in" in out
    assert [json.loads(line)["portsrc"] for line in Path("out").read_text().splitlines()] == [1, 2]


def test_after_a_kill_every_flow_is_in_the_store_once(place: Place) -> None:
    """Nothing was safe yet: all is read again, and gives the same flows."""
    for number in range(5):
        ports = range(number * 20 + 1, number * 20 + 21)
        place.drop(f"{number}.pcap", talks(*map(dns, ports)), age=9 - number)
    process = place.start()
    wait_for(lambda: len(place.ports()) == 100)
    place.kill(process)
    assert place.entered() == []
    process = place.start()
    place.drop("5.pcap", flow(101))
    wait_for(lambda: len(place.ports()) == 101)
    out, _ = place.stop(process)
    assert "from 6 captures in in" in out
    assert place.ports() == list(range(1, 102))
    assert len(place.entered()) == 6


def test_a_file_whose_flows_have_ended_is_entered_while_it_runs(place: Place) -> None:
    """Not read again after a kill. The later one is, as its flow had not ended."""
    place.drop("1.pcap", flow(1), age=5)
    place.drop("2.pcap", flow(2, 100.0), age=4)
    place.drop("3.pcap", flow(3, 320.0), age=3)
    process = place.start()
    wait_for(lambda: place.ports() == [1, 2, 3])
    wait_for(lambda: place.entered() == ["1.pcap"])
    place.kill(process)
    process = place.start()
    place.drop("4.pcap", flow(4, 330.0))
    wait_for(lambda: place.ports() == [1, 2, 3, 4])
    out, _ = place.stop(process)
    assert "from 3 captures in in" in out


STOPPER = """
import os, signal
import aicore

class Plugin:
    stopped = False

    @aicore.hookimpl
    def flow_insert(self, flows):
        if not self.stopped:
            self.stopped = True
            os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_file_that_a_signal_interrupts_is_read_again(place: Place) -> None:
    environ = place.plugin("stopper", "aicore.hooks", STOPPER)
    place.drop("small.pcap", flow(9999), age=5)
    place.drop("big.pcap", talks(*(dns(port) for port in range(1, 2001))))
    few = ("--batch-rows", "2", "--queue-batches", "2")
    process = place.start(*few, "--plugin", "stopper", environ=environ)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert 9999 in place.ports()
    assert len(place.ports()) < 2000
    assert set(place.entered()) <= {"small.pcap"}
    process = place.start()
    wait_for(lambda: len(place.ports()) == 2001)
    place.stop(process)
    assert place.entered() == ["big.pcap", "small.pcap"]


HANGING = """
import time
import aicore

class Plugin(aicore.DatabaseAdaptor):
    def connect(self, url): pass
    def write(self, batch): time.sleep(60)
    def close(self): pass
"""


def test_what_a_store_has_not_taken_is_in_the_spool_and_its_file_is_done(place: Place) -> None:
    """After two signals: the store hangs."""
    environ = place.plugin("hanging", "aicore.adaptors", HANGING)
    process = place.start("--to", "file:out", "--to", "hanging:x", environ=environ)
    place.drop("1.pcap", flow(1))
    wait_for(lambda: place.ports() == [1])
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "Remove:" in Path("out").read_text())  # all events are with the deliveries
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 3
    assert place.entered() == ["1.pcap"]


def test_a_store_that_refuses_at_the_start_ends_the_run(place: Place) -> None:
    place.drop("1.pcap", flow(1))
    code, _, err = call(place.path, "run", "in", "--follow", "--to", "exec:false", "--no-spool")
    assert code == 4
    assert "the store has taken nothing" in err
    assert place.entered() == []  # its record is lost


# -- the ledger --------------------------------------------------------------------------------------------------------


def entries(ledger: Ledger) -> list[str]:
    return [json.loads(line)["name"] for line in ledger.path.read_text().splitlines()]


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "in")
    ledger.add([(Seen(1, 2, 3), "a"), (Seen(4, 5, 6), "b\n\udcff")])
    ledger.close()
    with ledger.path.open("ab") as file:
        file.write(b'{"ino": 1}\n[]\n\xff\n{"ino": 7, "si')
    ledger = Ledger(tmp_path, "in")
    assert Seen(1, 2, 3) in ledger
    assert Seen(4, 5, 6) in ledger
    ledger.add([(Seen(7, 8, 9), "c")])
    assert entries(ledger) == ["a", "b\n\udcff", "c"]
    ledger.close()


def test_files_that_are_gone_leave_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "in")
    ledger.add([(Seen(number, 0, 0), str(number)) for number in range(3000)])
    ledger.keep([])
    assert Seen(0, 0, 0) in ledger  # perhaps not mounted yet
    ledger.keep([Seen(number, 0, 0) for number in range(100)])
    assert Seen(100, 0, 0) not in ledger
    assert entries(ledger) == [str(number) for number in range(100)]
    ledger.close()


def test_one_run_a_folder(place: Place) -> None:
    process = place.start()
    wait_for(lambda: list(place.path.rglob("in-*.jsonl")))
    code, _, err = call(place.path, "run", "in", "--follow")
    assert code == 2
    assert "another run follows in" in err
    assert invoke("check", "in", "--follow").exit_code == 0
    other = place.start("--to", "file:out", "--spool", "own")
    place.drop("1.pcap", flow(1))
    wait_for(lambda: place.ports() == [1] and Path("out").exists() and "Insert:" in Path("out").read_text())
    place.stop(other)
    place.stop(process)


# -- whether a file is finished ----------------------------------------------------------------------------------------


def test_without_a_lease_a_file_must_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(follow, "time", clock)
    monkeypatch.setattr(follow, "_written", lambda _fd: None)
    folder = follow.Folder(str(tmp_path), Ledger(tmp_path / "state", str(tmp_path)))
    path = flow(1).write(tmp_path / "a.pcap")
    assert folder.finished("a.pcap") is None
    clock.now = 9.0
    assert folder.finished("a.pcap") is None
    path.write_bytes(talks(dns(1), dns(2)).pcap())
    clock.now = 12.0
    assert folder.finished("a.pcap") is None
    clock.now = 22.0
    assert folder.finished("a.pcap") == Seen.of(path.stat())
    assert folder.new() == []
    folder.ledger.close()


def test_files_that_cannot_be_opened_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    folder = follow.Folder(str(tmp_path / "in"), Ledger(tmp_path / "state", str(tmp_path)))
    name = "a\udcff.pcap"
    flow(1).write(tmp_path / "in" / name)
    for _ in range(2):
        assert [found for _, found in folder.new()] == [name]
        assert folder.finished(name) is None
    (tmp_path / "in").rename(tmp_path / "away")
    assert folder.new() == []
    assert folder.new() == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/in/a\\xff.pcap: its name is not UTF-8",
        f"{tmp_path}/in: No such file or directory",
    ]
    folder.ledger.close()


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([], "--follow needs a directory"),
        (["-i", "lo"], "--follow reads captures in directories"),
        (["in", "-i", "lo"], "--follow reads captures in directories"),
        (["-"], "standard input is none"),
        (["in", "a.pcap"], "a.pcap is none"),
        (["nowhere"], "nowhere is none"),
    ],
)
def test_what_cannot_be_followed(place: Place, args: list[str], error: str) -> None:
    flow(1).write(place.path / "a.pcap")
    result = invoke("run", *args, "--follow")
    assert result.exit_code == 2
    assert error in result.stderr


@pytest.mark.usefixtures("place")
def test_a_slip_in_the_filter_is_told_at_once() -> None:
    result = invoke("run", "in", "--follow", "--filter", "prot 53")
    assert result.exit_code == 1
    assert "filter 'prot 53'" in result.stderr


@pytest.mark.usefixtures("place")
def test_in_a_configuration() -> None:
    Path("aicore.toml").write_text('[run]\nsource = ["in"]\nfollow = true\n')
    result = invoke("check", "--config", "aicore.toml")
    assert (result.exit_code, "ok      source    in\n" in result.stdout) == (0, True)
    Path("aicore.toml").write_text('[run]\nsource = ["aicore.toml"]\nfollow = true\n')
    assert "aicore.toml is none" in invoke("check", "--config", "aicore.toml").stderr


def test_progress_says_what_is_waited_for(place: Place) -> None:
    terminal, end = pty.openpty()
    process = place.start(stderr=end, environ=environment(place.path, TERM="xterm", COLUMNS="200"))
    os.close(end)
    place.drop("1.pcap", flow(1))
    seen = b""
    while b"waiting for captures in in, 1 read | 2 packets" not in seen:
        assert select.select([terminal], [], [], 20)[0]
        seen += os.read(terminal, 4096)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    os.close(terminal)
    assert process.returncode == 0

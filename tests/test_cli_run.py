# SPDX-License-Identifier: Apache-2.0
"""`aicore run`: sources, stores, summary, signals, and what it does with bad input."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from captures.build import CAPTURES, dns, http, midstream, tls
from captures.files import Capture, talks
from commandline import call, environment, invoke, start
from conftest import Install

from aicore.delivery import Spool

FLOWS = 30  # of the fixture `visits`


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs happen in a folder of their own: the default store is ./flows.db."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def stored(path: str = "flows.db") -> int:
    connection = sqlite3.connect(path)
    try:
        (rows,) = connection.execute("SELECT count(*) FROM flows").fetchone()
    finally:
        connection.close()
    return int(rows)


# -- sources, stores, summary ------------------------------------------------------------------------------------------


def test_a_capture_goes_to_flows_db_and_is_summed_up(capture_file: Path, visits: Capture) -> None:
    result = invoke("run", capture_file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert stored() == FLOWS
    text = result.stdout
    assert text.startswith(f"{len(visits.frames)} packets, ")
    assert "\n30 flows: 20 TCP, 10 UDP; " in text
    assert re.search(r"^store: sqlite:flows.db: 30 records delivered$", text, re.MULTILINE)
    assert "; 30 events\n" in text, "nobody watches a file's flows live: final records alone"
    for section, row in (("LAYER 7", "http"), ("HOST", "www.example.org"), ("TALKER", "192.168.1.10")):
        assert re.search(rf"^{section} +FLOWS +PACKETS +BYTES\n(.+\n)*{re.escape(row)} +\d", text, re.MULTILINE)


def test_the_summary_as_json(capture_file: Path, visits: Capture) -> None:
    result = invoke("run", capture_file, "--json")
    summary = json.loads(result.stdout)
    assert summary["counters"]["packets"] == len(visits.frames)
    assert [(one["name"], one["target"], one["counters"]["delivered"]) for one in summary["adaptors"]] == [
        ("sqlite", "sqlite:flows.db", FLOWS)
    ]
    assert summary["top"]["protocols"][0][0] in ("http", "tls")
    assert (summary["error"], summary["interrupted"]) == (None, False)


def test_what_is_not_tracked_is_counted() -> None:
    CAPTURES["not_tracked"]().write("a.pcap")
    text = invoke("run", "a.pcap").stdout
    line = re.search("^not tracked: (.*)$", text, re.MULTILINE)
    assert line is not None
    assert {part.split()[0] for part in line[1].split(", ")} == {"ICMP", "SCTP", "IGMP", "ESP", "ARP"}


def test_several_files_and_a_directory_are_one_input_in_order() -> None:
    """Directories are read by name; what is no capture in them is left alone."""
    folder = Path("captures")
    (folder / "deeper").mkdir(parents=True)
    talks(dns(42000)).write(folder / "2.pcap")
    talks(dns(42001)).write(folder / "1.pcapng", ng=True)
    (folder / "notes.txt").write_text("no capture")
    talks(http()).write("last.pcap")
    result = invoke("run", folder, "last.pcap", "--to", "jsonl:out")
    assert result.exit_code == 0
    assert "from 3 files" in result.stdout
    ports = [json.loads(line)["portsrc"] for line in Path("out").read_text().splitlines()]
    assert sorted(ports) == [40000, 42000, 42001]


def test_standard_input(capture_file: Path, tmp_path: Path) -> None:
    with capture_file.open("rb") as file:
        process = start(tmp_path, "run", "-", stdin=file)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "from standard input" in out
    assert stored() == FLOWS


@pytest.mark.parametrize(
    ("flags", "protos"), [(["--udp"], {17}), (["--tcp"], {6}), (["--tcp", "--udp"], {6, 17}), ([], {6, 17})]
)
def test_transports(capture_file: Path, flags: list[str], protos: set[int]) -> None:
    assert invoke("run", capture_file, "--to", "jsonl:out", *flags).exit_code == 0
    assert {json.loads(line)["proto"] for line in Path("out").read_text().splitlines()} == protos


def test_a_filter(capture_file: Path) -> None:
    assert invoke("run", capture_file, "--to", "jsonl:out", "--filter", "udp port 53").exit_code == 0
    assert {json.loads(line)["layer7"] for line in Path("out").read_text().splitlines()} == {"dns"}


@pytest.mark.parametrize(("every", "updates"), [(0, 1), (10, 10), (50, 2)])
def test_updates_at_every_nth_packet(every: int, updates: int) -> None:
    """A hundred packets of a flow that nothing is detected in: N, 2N ... and one at the end unless it said the same."""
    midstream().write("a.pcap")
    packets = len(midstream().frames)
    assert invoke("run", "a.pcap", "--to", "file:out", "--every", every).exit_code == 0
    found = Path("out").read_text().count("Update:")
    if every:
        assert found == -(-packets // every)
    else:
        assert found == updates


def test_sensor_and_timeouts_reach_the_engine(capture_file: Path) -> None:
    arguments = ("--to", "jsonl:out", "--sensor", "tap-7", "--linger", "0", "--idle-udp", "0.01")
    assert invoke("run", capture_file, *arguments).exit_code == 0
    records = [json.loads(line) for line in Path("out").read_text().splitlines()]
    assert {record["sensor"] for record in records} == {"tap-7"}
    assert {record["end_reason"] for record in records if record["proto"] == 17} == {"idle"}


def test_several_stores_each_get_everything(capture_file: Path) -> None:
    result = invoke("run", capture_file, "--to", "sqlite:a.db", "--to", "sqlite:b.db?table=flows", "--to", "jsonl:c")
    assert result.exit_code == 0
    assert (stored("a.db"), stored("b.db"), len(Path("c").read_text().splitlines())) == (FLOWS,) * 3
    assert len(re.findall("^store: ", result.stdout, re.MULTILINE)) == 3


def test_records_on_standard_output_leave_it_to_themselves(capture_file: Path, tmp_path: Path) -> None:
    code, out, err = call(tmp_path, "run", capture_file, "--to", "jsonl:-")
    assert code == 0
    assert len([json.loads(line) for line in out.splitlines()]) == FLOWS
    assert "30 flows: 20 TCP, 10 UDP" in err
    assert not list((tmp_path / "state").rglob("*.seg"))
    code, out, err = call(tmp_path, "run", capture_file, "--to", "jsonl:-", "--json")
    assert (code, out) == (2, "")
    assert "exclude each other" in err


def test_quiet_says_nothing(capture_file: Path) -> None:
    result = invoke("run", capture_file, "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_head_has_enough_and_the_run_ends_well(tmp_path: Path) -> None:
    """The reader goes after a line; so the run ends, early and without an error."""
    many = talks(*(dns(1024 + n) for n in range(5_000)))
    many.write("many.pcap")
    process = start(tmp_path, "run", "many.pcap", "--to", "jsonl:-", "-q")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["layer7"] == "dns"
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=30), err) == (0, "")


def test_a_reader_that_goes_away_is_an_error_of_its_store_alone(tmp_path: Path) -> None:
    talks(*(dns(1024 + n) for n in range(5_000))).write("many.pcap")
    os.mkfifo("pipe")
    reader = subprocess.Popen(["head", "-1", "pipe"], cwd=tmp_path, stdout=subprocess.PIPE)
    code, out, err = call(tmp_path, "run", "many.pcap", "--to", "jsonl:pipe", "--to", "sqlite:flows.db")
    first, _ = reader.communicate(timeout=10)
    assert json.loads(first)["layer7"] == "dns"
    assert code == 1
    assert "jsonl: stopped: Fatal: the reader of pipe has gone" in err
    assert stored() == 5_000
    line = re.search(r"^store: jsonl:pipe: ([\d,]+) records delivered, ([\d,]+) waiting in", out, re.MULTILINE)
    assert line is not None
    assert sum(int(number.replace(",", "")) for number in line.groups()) == 5_000
    Path("none.pcap").write_bytes(Path("many.pcap").read_bytes()[:24])
    with open("rest", "wb") as rest, subprocess.Popen(["cat", "pipe"], cwd=tmp_path, stdout=rest):
        code, out, _ = call(tmp_path, "run", "none.pcap", "--to", "jsonl:pipe", "--json")
    assert code == 0
    replayed = json.loads(out)["adaptors"][0]["counters"]["replayed"]
    assert replayed == len(Path("rest").read_text().splitlines()) > 0


@pytest.mark.timing
def test_a_pipe_that_nobody_reads_holds_up_nobody(capture_file: Path, tmp_path: Path) -> None:
    os.mkfifo("pipe")
    begin = time.monotonic()
    code, out, err = call(tmp_path, "run", capture_file, "--to", "jsonl:pipe", "--to", "sqlite:flows.db")
    assert time.monotonic() - begin < 15
    assert code == 1
    assert "nobody reads pipe" in err
    assert "jsonl:pipe: 0 records delivered, 30 waiting in the spool" in out
    assert stored() == FLOWS


def test_verbose_and_json_logs(capture_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture_file.read_bytes()[:-10])
    result = invoke("run", cut, "--log-json", "-vv")
    entries = [json.loads(line) for line in result.stderr.splitlines()]
    (warning,) = [entry for entry in entries if entry["level"] == "warning"]
    assert set(warning) == {"time", "level", "logger", "message"}
    assert "cut.pcap: capture ends inside packet" in warning["message"]


# -- bad input ---------------------------------------------------------------------------------------------------------


def _files(capture: bytes) -> None:
    Path("good.pcap").write_bytes(capture)
    Path("empty.pcap").write_bytes(b"")
    Path("text.pcap").write_text("this is no capture, whatever its name says\n" * 20)
    Path("header.pcap").write_bytes(capture[:24])
    Path("half-header.pcap").write_bytes(capture[:15])
    Path("cut.pcap").write_bytes(capture[:-10])
    Path("link.pcap").write_bytes(capture[:20] + struct.pack("<I", 147) + capture[24:])  # LINKTYPE_USER0
    Path("folder").mkdir()


# What is given, the exit code, what is said of it.
BAD = {
    "missing file": (["nowhere.pcap"], 1, "nowhere.pcap: "),
    "missing among others": (["good.pcap", "nowhere.pcap"], 1, "nowhere.pcap: "),
    "not a capture": (["text.pcap"], 1, "text.pcap: is not a capture"),
    "empty file": (["empty.pcap"], 1, "empty.pcap: is empty"),
    "cut header": (["half-header.pcap"], 1, "half-header.pcap: "),
    "empty folder": (["folder"], 1, "folder: no capture file"),
    "no source": ([], 2, "name capture files, or an interface with -i"),
    "both kinds of source": (["good.pcap", "-i", "lo"], 2, "cannot be mixed"),
    "missing interface": (["-i", "nosuch0"], 1, "nosuch0"),
    "wrong filter": (["good.pcap", "--filter", "tcp and and"], 1, "filter 'tcp and and': "),
    "N below 0": (["good.pcap", "--every", "-1"], 2, "'--every': -1 is not in the range"),
    "unknown scheme": (["good.pcap", "--to", "nosuch://x"], 2, "no adaptor for 'nosuch'"),
    "scheme of a package": (["good.pcap", "--to", "cassandra://x/k"], 2, "it comes with the package aicore-cassandra"),
    "no URL": (["good.pcap", "--to", "flows.db"], 2, "is not a URL; files are written as sqlite:PATH"),
    "unknown option": (["good.pcap", "--to", "sqlite:x?tabel=y"], 2, "no option 'tabel'; did you mean table?"),
    "wrong option": (["good.pcap", "--to", "memory:?limit=few"], 2, "limit must be a whole number, not 'few'"),
    "unset variable": (
        ["good.pcap", "--to", "sqlite:${NOT_SET_AT_ALL}"],
        2,
        "variable NOT_SET_AT_ALL of the URL is not set",
    ),
    "unknown plugin": (["good.pcap", "--plugin", "geoop"], 2, "no plugin is named 'geoop'"),
    "unknown blocked plugin": (["good.pcap", "--no-plugin", "tsl"], 2, "no plugin is named 'tsl'; did you mean tls"),
    "blocked store": (["good.pcap", "--no-plugin", "sqlite"], 1, "adaptor:sqlite is blocked"),
    "bound out of range": (["good.pcap", "--tcp-flows", "-5"], 2, "tcp_flows must be at least 0, not -5"),
    "spool and no spool": (["good.pcap", "--spool", "s", "--no-spool"], 2, "exclude each other"),
    "unknown user": (["good.pcap", "--user", "nobody-at-all"], 2, "no user 'nobody-at-all'"),
    "live without terminal": (["good.pcap", "--live"], 2, "--live needs a terminal"),
    "wrong metrics address": (["good.pcap", "--metrics", "here"], 2, "'here' is not HOST:PORT"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case: str, visits: Capture) -> None:
    arguments, code, says = BAD[case]
    _files(visits.pcap())
    result = invoke("run", *arguments)
    (line,) = result.stderr.splitlines()
    assert line.startswith("aicore: error: ")
    assert says in line
    assert (result.exit_code, result.stdout) == (code, "")


def test_an_empty_capture_is_no_error(visits: Capture) -> None:
    _files(visits.pcap())
    result = invoke("run", "header.pcap")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "0 packets" in result.stdout
    assert stored() == 0


def test_a_cut_capture_is_read_as_far_as_it_goes(visits: Capture) -> None:
    _files(visits.pcap())
    result = invoke("run", "cut.pcap", "good.pcap", "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    frames = len(visits.frames)
    assert summary["counters"]["packets"] == 2 * frames - 1
    assert summary["counters"]["files_broken"] == 1
    (broken,) = summary["broken_files"]
    assert broken == {"file": "cut.pcap", "error": f"cut.pcap: capture ends inside packet {frames}; read {frames - 1}"}
    assert broken["error"] == summary["error"]
    assert result.stderr == f"aicore: warning: {broken['error']}\n"


def test_an_unknown_link_type_is_named_and_its_packets_are_counted(visits: Capture) -> None:
    _files(visits.pcap())
    alone = invoke("run", "link.pcap", "--json")
    assert alone.exit_code == 1
    assert "link.pcap: link type" in alone.stderr
    visits.write(Path("known.pcap"))
    among = invoke("run", "link.pcap", "known.pcap", "--json")
    assert among.exit_code == 0
    summary = json.loads(among.stdout)
    assert summary["counters"]["other_link"] == len(visits.frames)
    assert any("link.pcap: link type" in warning for warning in summary["warnings"])


AS_NOBODY = """
import os, sys
from aicore.cli.command_line import main
for path in sys.argv[1:]:
    try:
        main(["run", path, "--to", "memory:", "-q"])
    except SystemExit as end:
        print(int(end.code))
    os.setuid(65534)  # whatever a run imports is there by now
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become somebody without rights")
def test_a_capture_without_the_right_to_read_it(visits: Capture, tmp_path: Path) -> None:
    good, secret = visits.write(tmp_path / "good.pcap"), visits.write(tmp_path / "secret.pcap")
    secret.chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, good, secret],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=True,
    )
    assert done.stdout.split() == ["0", "1"]
    assert done.stderr == f"aicore: error: {secret}: Permission denied\n"


# -- stores and plugins that fail --------------------------------------------------------------------------------------

FAILING = """
import time
import aicore

class Adaptor(aicore.DatabaseAdaptor):
    options = {"how": aicore.Option(str, default="raise", tuning=True)}
    calls = 0

    def connect(self, connection_str):
        if self.config["how"] == "refuse":
            raise ConnectionError("connection refused\\x1b[2J")

    def write(self, batch):
        how = self.config["how"]
        Adaptor.calls += 1
        if how == "fatal":
            raise aicore.Fatal("no such keyspace")
        if how == "once" and Adaptor.calls > 1:
            return None
        if how in ("raise", "once"):
            raise ConnectionResetError("connection reset by peer")
        if how == "junk":
            return 42
        if how == "poison":
            return [aicore.RowError(0, "poison", "too long")]
        if how == "stall":
            time.sleep(60)
        return None
"""


@pytest.fixture
def failing(install: Install) -> Iterator[None]:
    install("aicore-failing", adaptors={"failing": "failing_adaptor:Adaptor"}, failing_adaptor=FAILING)
    return


@pytest.mark.timing
@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize(("how", "says"), [("fatal", "no such keyspace"), ("refuse", "connection refused\\x1b[2J")])
def test_a_store_that_cannot_be_used_ends_the_run_and_leaves_the_others_alone(
    capture_file: Path, how: str, says: str
) -> None:
    begin = time.monotonic()
    result = invoke("run", capture_file, "--to", f"failing:x?how={how}", "--to", "sqlite:flows.db")
    assert time.monotonic() - begin < 15
    assert result.exit_code == 1
    assert stored() == FLOWS
    assert says in result.stderr
    assert "\x1b" not in result.output
    assert re.search(
        r"^store: failing:x\S*: 0 records delivered, .*30 waiting in the spool", result.stdout, re.MULTILINE
    )


@pytest.mark.parametrize(("given", "at_url"), [("0.2", ""), ("0.2,stop", ""), ("forever", "?wait=0.2")])
def test_wait_is_for_every_store_whose_url_says_nothing_else(capture_file: Path, given: str, at_url: str) -> None:
    result = invoke("run", capture_file, "--to", f"exec:false{at_url}", "--wait", given)
    assert result.exit_code == 1
    assert "has taken nothing for 0 s since the start" in result.stderr


def test_a_wait_that_is_none_is_named(capture_file: Path) -> None:
    result = invoke("run", capture_file, "--wait", "long")
    assert result.exit_code == 2
    assert "wait must be a number of seconds, or forever" in result.stderr


@pytest.mark.usefixtures("failing")
def test_what_waits_in_the_spool_is_delivered_by_the_next_run(capture_file: Path) -> None:
    assert invoke("run", capture_file, "--to", "failing:x?how=fatal").exit_code == 1
    (spool,) = json.loads(invoke("spool", "list", "--json").stdout)
    assert (spool["rows"], spool["in_use"]) == (FLOWS, False)
    assert spool["store"] == f"failing:x?how=fatal (in {Path.cwd()})"
    assert f" {FLOWS} " in invoke("spool", "list").stdout
    assert invoke("spool", "check").exit_code == 0
    result = invoke("run", capture_file, "--to", "failing:x?how=none", "--json")
    assert result.exit_code == 0
    (store,) = json.loads(result.stdout)["adaptors"]
    assert (store["counters"]["replayed"], store["counters"]["spooled"]) == (FLOWS, 0)


@pytest.mark.usefixtures("failing")
def test_what_two_runs_have_left_for_a_store_is_all_delivered(capture_file: Path) -> None:
    """Two at a time, so with a spool each."""
    assert invoke("run", capture_file, "--to", "failing:x?how=fatal").exit_code == 1
    (first,) = Path("state/aicore/spool").glob("failing-*")
    held = Spool(first)
    assert invoke("run", capture_file, "--to", "failing:x?how=fatal").exit_code == 1
    held.close()
    assert [one["rows"] for one in json.loads(invoke("spool", "list", "--json").stdout)] == [FLOWS, FLOWS]
    result = invoke("run", capture_file, "--to", "failing:x?how=none", "--json")
    (store,) = json.loads(result.stdout)["adaptors"]
    assert (store["counters"]["replayed"], store["counters"]["spooled"]) == (2 * FLOWS, 0)
    assert result.exit_code == 0
    assert [one["rows"] for one in json.loads(invoke("spool", "list", "--json").stdout)] == [0, 0]
    assert invoke("spool", "list").stdout.splitlines()[1:] == ["2 spools more, empty"]


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("where", ["begin", "end", "gone"])
def test_what_a_damaged_spool_has_cost_is_said(capture_file: Path, where: str) -> None:
    assert invoke("run", capture_file, "--to", "failing:x?how=fatal").exit_code == 1
    (segment,) = Path("state/aicore/spool").glob("failing-*/*.seg")
    data = segment.read_bytes()
    if where == "begin":
        segment.write_bytes(b"AIS0" + data[4:])
    elif where == "end":
        segment.write_bytes(data[:-3])
    else:
        segment.unlink()
    result = invoke("run", capture_file, "--to", "failing:x?how=none")
    assert result.exit_code == 4
    assert re.search(r"30 records delivered, .*30 lost in a damaged spool \(.* skipped\)", result.stdout)
    assert "was damaged: 30 events lost" in result.stderr


@pytest.mark.usefixtures("failing")
def test_a_spool_of_another_version_waits(capture_file: Path) -> None:
    assert invoke("run", capture_file, "--to", "failing:x?how=fatal").exit_code == 1
    (segment,) = Path("state/aicore/spool").glob("failing-*/*.seg")
    (segment.parent / f"{1:020d}.seg").write_bytes(b"AIS9 of another time")
    result = invoke("run", capture_file, "--to", "failing:x?how=none")
    assert "1 files of its spool set aside" in result.stdout
    assert result.exit_code == 3


@pytest.mark.usefixtures("failing")
def test_a_spool_that_cannot_be_opened_is_named_and_stops_nothing(capture_file: Path) -> None:
    assert invoke("run", capture_file, "--to", "failing:x?how=fatal").exit_code == 1
    (first,) = Path("state/aicore/spool").glob("failing-*")
    (first / "lock").unlink()
    (first / "lock").mkdir()
    result = invoke("run", capture_file, "--to", "failing:x?how=none")
    assert f"{first.name} cannot be used: Is a directory" in result.stderr
    assert "30 records delivered, 1 of its spools cannot be opened" in result.stdout
    assert result.exit_code == 3


def test_what_waits_for_one_table_does_not_go_into_another(capture_file: Path) -> None:
    with sqlite3.connect("flows.db") as foreign:
        foreign.execute("CREATE TABLE a (something)")
    foreign.close()
    stores = ("--to", "sqlite:flows.db?table=a", "--to", "sqlite:flows.db?table=b")
    result = invoke("run", capture_file, *stores)
    assert result.exit_code == 1
    assert "table=a: 0 records delivered, 30 waiting in the spool" in result.stdout
    counters = [
        one["counters"] for one in json.loads(invoke("run", capture_file, *stores[2:], "--json").stdout)["adaptors"]
    ]
    assert [(one["delivered"], one["replayed"]) for one in counters] == [(FLOWS, 0)]
    with sqlite3.connect("flows.db") as foreign:
        foreign.execute("DROP TABLE a")
    foreign.close()
    assert invoke("run", capture_file, "--to", "sqlite:flows.db?table=b&queue=1", *stores[:2]).exit_code == 0
    with sqlite3.connect("flows.db") as store:
        rows = {table: store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in "ab"}
    store.close()
    assert rows == {"a": FLOWS, "b": FLOWS}
    assert not any(one["rows"] for one in json.loads(invoke("spool", "list", "--json").stdout))


@pytest.mark.usefixtures("failing")
def test_a_spool_can_be_dropped(capture_file: Path) -> None:
    invoke("run", capture_file, "--to", "failing:x?how=fatal")
    (spool,) = json.loads(invoke("spool", "list", "--json").stdout)
    assert invoke("spool", "drop", spool["name"]).stdout == f"{FLOWS} records dropped\n"
    assert json.loads(invoke("spool", "list", "--json").stdout) == []
    result = invoke("spool", "drop", spool["name"])
    assert result.exit_code == 2
    assert "no spool" in result.stderr


@pytest.mark.usefixtures("failing")
def test_without_a_spool_what_is_not_delivered_is_lost(capture_file: Path, tmp_path: Path) -> None:
    result = invoke("run", capture_file, "--to", "failing:x?how=fatal", "--no-spool")
    assert result.exit_code == 4
    assert "30 lost" in result.stdout
    assert {path.name for path in (tmp_path / "state" / "aicore").iterdir()} == {"clock", "clock.lock"}


@pytest.mark.usefixtures("failing")
def test_a_store_that_fails_once_gets_everything_in_the_end(capture_file: Path) -> None:
    result = invoke("run", capture_file, "--to", "failing:x?how=once")
    assert result.exit_code == 0
    assert "30 records delivered" in result.stdout
    assert "connection reset by peer" in result.stderr


@pytest.mark.usefixtures("failing")
def test_a_refused_row_becomes_a_dead_letter_and_can_be_replayed(capture_file: Path) -> None:
    result = invoke("run", capture_file, "--to", "failing:x?how=poison")
    assert result.exit_code == 3
    assert "1 among the dead letters" in result.stdout
    (file,) = json.loads(invoke("deadletter", "list", "--json").stdout)
    assert (file["rows"], file["reasons"]) == (1, {"too long": 1})
    assert "too long" in invoke("deadletter", "list").stdout
    result = invoke("deadletter", "replay", file["path"], "sqlite:replayed.db")
    assert (result.exit_code, result.stdout) == (0, "1 record delivered, 0 refused again, 0 not delivered\n")
    assert stored("replayed.db") == 1
    result = invoke("deadletter", "replay", file["path"], "failing:x?how=poison")
    assert result.exit_code == 1
    assert "1 refused again" in result.stdout


@pytest.mark.usefixtures("failing")
def test_letters_name_their_store_and_two_stores_share_no_file(capture_file: Path) -> None:
    secret = "hunter2-canary"
    one, two = f"failing://u:{secret}@one/x?how=poison", "failing:two?how=poison"
    assert invoke("run", capture_file, "--to", one).exit_code == 3
    assert invoke("run", capture_file, "--to", two).exit_code == 3
    assert invoke("run", capture_file, "--to", two).exit_code == 3
    files = json.loads(invoke("deadletter", "list", "--json").stdout)
    shown = {file["store"]: (file["adaptor"], file["rows"]) for file in files}
    assert shown == {
        "failing://u:***@one/x?how=poison": ("failing", 1),
        f"{two} (in {Path.cwd()})": ("failing", 2),
    }
    assert "failing://u:***@one/x" in invoke("deadletter", "list").stdout
    letters = [json.loads(Path(file["path"]).read_text().splitlines()[0]) for file in files]
    assert {letter["store"] for letter in letters} == shown.keys()
    assert not any(secret in Path(file["path"]).read_text() + file["path"] for file in files)


@pytest.mark.usefixtures("failing")
def test_two_runs_into_one_store_have_a_spool_each(capture_file: Path, tmp_path: Path) -> None:
    """The first one stands still on its input; the second neither waits for it nor fails."""
    first = start(tmp_path, "run", "-", "--to", "sqlite:flows.db", stdin=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not json.loads(invoke("spool", "list", "--json").stdout) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert invoke("run", capture_file, "--to", "sqlite:flows.db").exit_code == 0
    names = {one["name"]: one["in_use"] for one in json.loads(invoke("spool", "list", "--json").stdout)}
    assert sorted(names.values()) == [False, True]
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)
    assert first.returncode in (0, 1)  # nothing at all had come from its input
    assert stored() == FLOWS


RAISING_HOOK = """
import aicore

class Plugin:
    @aicore.hookimpl
    def flow_remove(self, flows):
        raise ValueError("hook\\x1b[2J failed")
"""


def test_a_hook_that_fails_is_named_and_stops_nothing(install: Install, capture_file: Path) -> None:
    install("aicore-raising", hooks={"raising": "raising_hook:Plugin"}, raising_hook=RAISING_HOOK)
    result = invoke("run", capture_file, "--plugin", "raising")
    assert stored() == FLOWS
    assert "hook:raising" in result.stderr
    assert "plugin: hook:raising failed 1 time" in result.stdout
    assert "\x1b" not in result.output


# -- secrets -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("failing")
def test_a_password_in_the_command_line_is_warned_about_and_never_shown(capture_file: Path, tmp_path: Path) -> None:
    secret = "hunter2-canary"
    result = invoke("run", capture_file, "--to", f"failing://user:{secret}@host/x?how=fatal", "-vv")
    assert "has a secret in the command line" in result.stderr
    assert "use ${VARIABLE} or AICORE_FAILING_PASSWORD" in result.stderr
    assert secret not in result.output
    for path in tmp_path.rglob("*"):
        assert not (path.is_file() and secret.encode() in path.read_bytes())
    result = invoke("run", capture_file, "--to", "failing://user:${SECRET}@host/x?how=fatal", SECRET=secret)
    assert "command line" not in result.stderr
    assert secret not in result.output


def test_a_key_in_the_command_line_is_not_said_to_be_a_password(capture_file: Path) -> None:
    """AICORE_SQLITE_PASSWORD would not be the key."""
    result = invoke("run", capture_file, "--to", "sqlite:flows.db?token=hunter2-canary")
    assert "sqlite:flows.db?token=*** has a secret in the command line" in result.stderr
    assert "use ${VARIABLE}\n" in result.stderr


# -- signals -----------------------------------------------------------------------------------------------------------


def fed(folder: Path, capture: Capture, *args: object, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """A run on standard input that has got the capture and waits for more."""
    process = start(folder, "run", "-", *args, stdin=subprocess.PIPE, environ=environ)
    assert process.stdin is not None
    process.stdin.buffer.write(capture.pcap())
    process.stdin.buffer.flush()
    return process


def wait_for(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@pytest.mark.timing
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_input_and_everything_read_is_delivered(
    tmp_path: Path, visits: Capture, number: signal.Signals
) -> None:
    process = fed(tmp_path, visits, "--to", "file:out", "--linger", "1000")
    wait_for(lambda: Path("out").exists() and Path("out").read_text().count("Insert:") == FLOWS)
    assert "Remove:" not in Path("out").read_text()
    begin = time.monotonic()
    process.send_signal(number)
    process.wait(timeout=20)  # communicate() would end the input
    out, err = process.communicate()
    assert time.monotonic() - begin < 5
    assert (process.returncode, err) == (130, "")
    assert Path("out").read_text().count("Remove:") == FLOWS
    assert "30 flows" in out
    packets = len(visits.frames)
    assert f"interrupted: read {packets} packets, not to the end of the input; the result is partial\n" in out


@pytest.mark.parametrize("how", ["by the URL", "by the command", "not at all"])
def test_through_the_spool_a_kill_costs_nothing_that_was_taken_over(tmp_path: Path, visits: Capture, how: str) -> None:
    url = "exec:tail -n 0?events=all" + "&spool=always" * (how == "by the URL")
    options = ["--spool-always"] * (how == "by the command")
    process = fed(tmp_path, visits, "--to", url, "--to", "file:out?spool=full", *options)
    wait_for(lambda: Path("out").exists() and Path("out").read_text().count("Insert:") == FLOWS)
    process.kill()
    process.communicate()
    waiting = {
        one["name"].partition("-")[0]: one["rows"] for one in json.loads(invoke("spool", "list", "--json").stdout)
    }
    assert waiting["file"] == 0
    if how == "not at all":
        assert waiting["exec"] == 0
    else:
        assert waiting["exec"] == Path("out").read_text().count("\n")


@pytest.mark.timing
def test_a_second_signal_ends_a_run_whose_store_hangs(tmp_path: Path, visits: Capture) -> None:
    """The store never returns: the rest goes to the spool at once."""
    (tmp_path / "plugin").mkdir()
    info = tmp_path / "plugin" / "failing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: failing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[aicore.adaptors]\nfailing = failing_adaptor:Adaptor\n")
    (tmp_path / "plugin" / "failing_adaptor.py").write_text(FAILING)
    environ = environment(tmp_path, PYTHONPATH=str(tmp_path / "plugin"))
    process = fed(tmp_path, visits, "--to", "failing:x?how=stall", "--to", "file:out", environ=environ)
    wait_for(lambda: Path("out").exists() and Path("out").read_text().count("Insert:") == FLOWS)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert time.monotonic() - begin < 5
    assert process.returncode == 3
    assert Path("out").read_text().count("Remove:") == FLOWS
    waiting = {
        one["name"].partition("-")[0]: one["rows"] for one in json.loads(invoke("spool", "list", "--json").stdout)
    }
    assert waiting["failing"] >= FLOWS


def test_progress_on_a_terminal_and_metrics_while_it_runs(tmp_path: Path, visits: Capture) -> None:
    pytest.importorskip("prometheus_client")
    import pty

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    terminal, end = pty.openpty()
    process = start(
        tmp_path,
        "run",
        "-",
        "--metrics",
        port,
        stdin=subprocess.PIPE,
        stderr=end,
        environ=environment(tmp_path, TERM="xterm"),
    )
    os.close(end)
    assert process.stdin is not None
    process.stdin.buffer.write(visits.pcap())
    process.stdin.buffer.flush()
    seen, progress = b"", re.compile(rf"{len(visits.frames)} packets, .*/s \| \d+ flows live".encode())
    while not progress.search(seen):
        assert select.select([terminal], [], [], 20)[0]
        seen += os.read(terminal, 4096)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"aicore_adaptor_delivered_total" in answer.read()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)  # communicate() would end the input
    out, _ = process.communicate()
    os.close(terminal)
    assert process.returncode == 130
    assert "30 flows" in out


def test_many_flows_through_the_whole_chain() -> None:
    """More events than the batches between engine and Python hold."""
    talks(*(tls(port=1024 + n) for n in range(1000)), gap=0.0).write("many.pcap")
    result = invoke("run", "many.pcap", "--every", "1", "--batch-rows", "64", "--queue-batches", "2")
    assert result.exit_code == 0
    assert stored() == 1000

# SPDX-License-Identifier: Apache-2.0
"""The adaptor in whole runs, what it makes of errors, and `aicore-select`."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest
from aicore_duckdb import DuckdbAdaptor
from aicore_duckdb.select import main
from click.testing import CliRunner

import aicore
from aicore.testing import TYPED, event, lives, make_batch, write_capture

# A DNS query for www.example.org (RFC 1035 section 4.1).
QUERY = bytes.fromhex("2a2a01000001000000000000") + b"\x03www\x07example\x03org\0\0\x01\0\x01"


def opened(url: str) -> Any:
    adaptor = aicore.open_adaptor(url)
    adaptor.connect(adaptor.url)
    return adaptor


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return write_capture(tmp_path / "capture.pcap", 53, [QUERY, QUERY[:2] + b"\x81\x80" + QUERY[4:]])


def test_a_run_and_the_same_again(capture: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "aicore", "run", str(capture), "--to", "duckdb:flows.duckdb"]
    for _ in range(2):
        environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
        subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, env=environ)
        with duckdb.connect(str(tmp_path / "flows.duckdb"), read_only=True) as db:
            rows = db.sql("SELECT key, layer7, dnsdomain, packets, end_reason FROM flows").fetchall()
        assert rows == [("192.0.2.10:40000:17:198.51.100.20:53", "dns", "www.example.org", 2, "shutdown")]


def test_times_are_utc_to_the_nanosecond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    adaptor = opened(f"duckdb:{tmp_path}/flows.duckdb")
    adaptor.write(aicore.FlowBatch.from_rows([event("remove", 1, 1, first_seen=1_700_000_000_123_456_789)]))
    adaptor.close()
    with duckdb.connect(str(tmp_path / "flows.duckdb")) as db:
        (row,) = db.sql(
            "SELECT epoch_ns(first_seen), typeof(first_seen), CAST(first_seen AS VARCHAR) FROM flows"
        ).fetchall()
    assert row == (1_700_000_000_123_456_789, "TIMESTAMP_NS", "2023-11-14 22:13:20.123456789")


def test_a_failed_write_leaves_nothing_of_its_batch(tmp_path: Path) -> None:
    adaptor = opened(f"duckdb:{tmp_path}/flows.duckdb")
    adaptor.write(make_batch(3))
    with duckdb.connect(str(tmp_path / "flows.duckdb")) as db:
        db.execute("ALTER TABLE flows ALTER sslhost SET NOT NULL")
    rows = [event("update", 5, 5), event("update", 6, 6, sslhost=None)]
    with pytest.raises(duckdb.Error):
        adaptor.write(aicore.FlowBatch.from_rows(rows))
    adaptor.write(make_batch(1, first=9))
    adaptor.close()
    with duckdb.connect(str(tmp_path / "flows.duckdb")) as db:
        assert db.sql("SELECT count(*) FROM flows").fetchall() == [(4,)]


@pytest.mark.parametrize("kind", ["nothing", "folder", "other"])
def test_what_no_retry_cures_is_fatal(kind: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("no database of anybody's\n" * 100)
    (tmp_path / "folder").mkdir()
    path = "nothing/flows.duckdb" if kind == "nothing" else kind
    with pytest.raises(aicore.UsageError, match=r"^duckdb: /.*"):
        aicore.open_adaptor(f"duckdb:{tmp_path}/{path}")
    with pytest.raises(aicore.Fatal, match=r"^duckdb: /.*") as error:
        DuckdbAdaptor().connect(f"{tmp_path}/{path}")
    assert "\n" not in str(error.value)


def test_limits_of_memory(tmp_path: Path) -> None:
    for memory in ("64MB", "0.25GiB", "70000 kb"):
        opened(f"duckdb:{tmp_path}/flows.duckdb?memory={memory}").close()
    for memory in ("lots'", "64", "MB", "1MB' --"):
        with pytest.raises(aicore.UsageError, match="option memory must be"):
            aicore.open_adaptor(f"duckdb:{tmp_path}/flows.duckdb?memory={memory}")


def test_a_file_that_another_process_has_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "flows.duckdb"
    hold = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(duckdb.IOException, match="lock"):
            opened(f"duckdb:{path}")
        holder.communicate("")
    adaptor = opened(f"duckdb:{path}")
    adaptor.write(lives(range(3)).net())
    adaptor.close()


def test_it_writes_on_another_thread_than_it_was_made_on(tmp_path: Path) -> None:
    adaptor = aicore.open_adaptor(f"duckdb:{tmp_path}/flows.duckdb")

    def deliver() -> None:
        adaptor.connect(adaptor.url)
        adaptor.write(make_batch(2))
        adaptor.close()

    thread = threading.Thread(target=deliver)
    thread.start()
    thread.join()
    with duckdb.connect(str(tmp_path / "flows.duckdb")) as db:
        assert db.sql("SELECT count(*) FROM flows").fetchall() == [(2,)]


# -- aicore-select ------------------------------------------------------------------------------------------------


def test_select_over_captures(capture: Path, tmp_path: Path) -> None:
    other = write_capture(tmp_path / "other.pcap", 4711, [b"\x1b[2J"], "tcp")
    sql = "SELECT proto, layer7, count(*) AS flows, sum(packets) AS packets FROM flows GROUP BY ALL ORDER BY proto DESC"
    done = CliRunner().invoke(main, [sql, str(capture), str(other)])
    assert done.exit_code == 0, done.output
    assert list(csv.reader(io.StringIO(done.output))) == [
        ["proto", "layer7", "flows", "packets"],
        ["17", "dns", "1", "2"],
        ["6", "", "1", "8"],
    ]


def test_select_over_a_capture_without_flows(tmp_path: Path) -> None:
    empty = write_capture(tmp_path / "empty.pcap", 1, [])
    done = CliRunner().invoke(main, ["SELECT count(*) AS flows FROM flows", str(empty)])
    assert (done.exit_code, done.output) == (0, "flows\n0\n")


def test_select_over_a_capture_that_is_cut_off(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    sql = "SELECT sum(packets) AS packets FROM flows"
    program = [sys.executable, "-c", "from aicore_duckdb.select import main; main()", sql, str(capture)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout == "packets\n1\n"
    assert "capture ends inside packet 2" in done.stderr


def test_select_over_many_batches(tmp_path: Path) -> None:
    files = [write_capture(tmp_path / f"{port}.pcap", port, [b"x"]) for port in range(1, 40)]
    one = files[0].read_bytes()
    # One file of 3,900 flows: the packets of each port under a hundred source ports.
    out = [one[:24]]
    for number, path in enumerate(files * 100):
        packet = bytearray(path.read_bytes()[24:])
        packet[36:38] = (1024 + number).to_bytes(2, "big")
        out.append(bytes(packet))
    (tmp_path / "many.pcap").write_bytes(b"".join(out))
    done = CliRunner().invoke(
        main, ["SELECT count(*), count(DISTINCT flow_id) FROM flows", str(tmp_path / "many.pcap")]
    )
    assert done.output.splitlines()[1] == "3900,3900"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nothing FROM flows", "nothing"),
        ("SELEC", "syntax error"),
        ("COPY flows TO 'stolen.csv'", "disabled"),
        ("FROM read_text('/etc/passwd')", "disabled"),
    ],
)
def test_what_select_refuses(sql: str, said: str, capture: Path) -> None:
    done = CliRunner().invoke(main, [sql, str(capture)])
    assert done.exit_code == 2
    assert done.output.startswith("aicore: error: ")
    assert said in done.output
    assert done.output.count("\n") == 1


def test_select_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["SELECT 1", str(tmp_path / "none.pcap")])
    assert done.exit_code == 2
    assert "none.pcap" in done.output


def test_every_type_of_field_is_one_of_duckdbs_own(tmp_path: Path) -> None:
    adaptor = opened(f"duckdb:{tmp_path}/flows.duckdb")
    adaptor.write(aicore.FlowBatch.from_rows([event("remove", 1, 1)], TYPED))
    adaptor.close()
    with duckdb.connect(f"{tmp_path}/flows.duckdb") as db:
        flows = db.sql("FROM flows")
        found = dict(zip(flows.columns, map(str, flows.types), strict=True))
    assert {field.type: found[field.name] for field in TYPED} == {
        "str": "VARCHAR",
        "int": "BIGINT",
        "float": "DOUBLE",
        "bool": "BOOLEAN",
        "time": "TIMESTAMP_NS",
        "list[str]": "VARCHAR[]",
        "list[int]": "BIGINT[]",
        "list[float]": "DOUBLE[]",
    }

# SPDX-License-Identifier: Apache-2.0
"""The adaptor in whole runs, what it makes of errors, and `aicore-select`."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from aicore_duckdb import DuckdbAdaptor
from aicore_duckdb.making import make_whole
from aicore_duckdb.select import main
from click.testing import CliRunner
from full_disk import fill_and_complete, mounted

import aicore
from aicore.testing import TYPED, FileStoreContract, event, lives, make_batch, write_capture

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
        with pytest.raises(aicore.UsageError, match="option memory cannot be"):
            aicore.open_adaptor(f"duckdb:{tmp_path}/flows.duckdb?memory={memory}")


FULL = """
import resource, signal, sys
import aicore
from aicore.testing import event, make_batch
adaptor = aicore.open_adaptor(sys.argv[1])
adaptor.connect(adaptor.url)
adaptor.write(make_batch(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, resource.RLIM_INFINITY))
large = aicore.FlowBatch.from_rows([event("update", 2, 2, sslhost="x" * 100_000)])
try:
    adaptor.write(large)
except OSError as error:
    print("OSError")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_no_room_is_an_error_of_the_disk_and_condemns_no_row(tmp_path: Path) -> None:
    """Small rows still go in where a large one does not: any other error would have taken that for the row's fault."""
    program = [sys.executable, "-c", FULL, f"duckdb:{tmp_path}/flows.duckdb"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout == "OSError\n", done.stderr


def test_a_full_disk_is_given_up_and_completed_by_the_next_run(tmp_path: Path) -> None:
    def records() -> int:
        with duckdb.connect(str(path)) as db:
            found = db.execute("SELECT count(*) FROM flows").fetchone()
        return int(found[0]) if found else 0

    with mounted(tmp_path / "disk", 3) as disk:
        path = disk / "flows.duckdb"
        fill_and_complete(tmp_path, disk, f"duckdb:{path}", records)


def test_a_file_that_another_process_has_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "flows.duckdb"
    hold = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(OSError, match="lock"):
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


# -- the file -----------------------------------------------------------------------------------------------------


class TestFile(FileStoreContract):
    url = "duckdb:{path}"

    def held(self, path: Path) -> list[str]:
        return [flow for (flow,) in query(path, "SELECT flow_id FROM flows")]


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path)) as db:
        return db.sql(sql).fetchall()


def test_a_record_replaces_the_row_also_in_columns_that_its_run_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "flows.duckdb"
    for batch in (make_batch(2, country="NL", asn=3333), make_batch(1, version=10), make_batch(1, first=1, version=0)):
        adaptor = opened(f"duckdb:{path}")
        adaptor.write(batch)
        adaptor.close()
    assert query(path, "SELECT version, country, asn FROM flows ORDER BY version") == [
        (2, "NL", 3333),
        (10, None, None),
    ]


def test_a_table_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "flows.duckdb"
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE flows (name VARCHAR, long AS (length(name)), must VARCHAR NOT NULL DEFAULT '-')")
        db.execute("INSERT INTO flows (name) VALUES ('a')")
    with pytest.raises(aicore.Fatal, match=f"flows of {path} is not aicore's: no column flow_id, version; adopt=yes"):
        opened(f"duckdb:{path}")
    assert len(query(path, "DESCRIBE flows")) == 3
    for version in (1, 10):
        adaptor = opened(f"duckdb:{path}?adopt=yes")
        adaptor.write(make_batch(1, version=version))
        adaptor.close()
    found = query(path, "SELECT name, long, must, version FROM flows ORDER BY version NULLS FIRST")
    assert found == [("a", 1, "-", None), (None, None, "-", 10)]


def test_a_view_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "flows.duckdb"
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE VIEW flows AS SELECT 'x' AS flow_id, 1 AS version")
    for options in ("", "?adopt=yes"):
        with pytest.raises(aicore.Fatal, match=f"flows of {path} is a view"):
            opened(f"duckdb:{path}{options}")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/null", path), os.mkdir])
def test_what_is_no_file_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(aicore.UsageError, match=r"it is a (pipe|device|directory)"):
        aicore.open_adaptor(f"duckdb:{tmp_path}/x")


@pytest.mark.parametrize("size", [0, 4096, 8192, 3 * 4096 - 1])
def test_a_file_that_was_only_begun(size: int, tmp_path: Path) -> None:
    """As a process leaves it that is killed between the headers. DuckDB cannot open it, and it has no rows."""
    path = tmp_path / "flows.duckdb"
    duckdb.connect(str(path)).close()
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(duckdb.IOException):
        duckdb.connect(str(path))
    (tmp_path / "flows.duckdb.wal").write_bytes(b"of another")  # of what was at this path before
    adaptor = opened(f"duckdb:{path}")
    adaptor.write(make_batch(3))
    adaptor.close()
    assert query(path, "SELECT count(*) FROM flows") == [(3,)]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["flows.duckdb", "flows.duckdb.1.wal"]


def test_a_file_that_is_shorter_than_it_was_is_fatal(tmp_path: Path) -> None:
    path = tmp_path / "flows.duckdb"
    adaptor = opened(f"duckdb:{path}")
    adaptor.write(make_batch(1000))
    adaptor.close()
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(aicore.Fatal, match="Could not read enough bytes"):
        opened(f"duckdb:{path}")


def test_what_others_do_with_the_file_while_it_is_made(tmp_path: Path) -> None:
    """Another process was faster, with or without an empty file in the place; it has rows by now."""
    path, other = tmp_path / "flows.duckdb", tmp_path / "other"
    adaptor = opened(f"duckdb:{other}")
    adaptor.write(make_batch(7))
    adaptor.close()

    def make(aside: str) -> None:
        duckdb.connect(aside).close()
        other.rename(path)

    make_whole(str(path), make)
    assert query(path, "SELECT count(*) FROM flows") == [(7,)]
    path.rename(other)
    path.touch()
    make_whole(str(path), make)
    assert query(path, "SELECT count(*) FROM flows") == [(7,)]
    assert list(tmp_path.iterdir()) == [path]


def start_and_write(url: str, ready: int) -> None:
    """In a process of its own."""
    os.write(ready, b".")
    adaptor = opened(url)
    adaptor.write(make_batch(20))
    adaptor.close()
    os.write(ready, b".")


def test_killed_at_each_millisecond_of_the_start(tmp_path: Path) -> None:
    """Whatever it leaves, the next one works, and nothing of it stays."""
    import pyarrow  # noqa: F401  # not in each of the processes

    for delay in range(60):
        folder = tmp_path / str(delay)
        folder.mkdir()
        url = f"duckdb:{folder}/flows.duckdb"
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            start_and_write(url, write)
            os._exit(0)
        os.close(write)
        assert os.read(read, 1) == b"."
        time.sleep(delay / 1000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        after = os.fork()
        if after == 0:
            with contextlib.suppress(BaseException):
                start_and_write(url, os.open(os.devnull, os.O_WRONLY))
                os._exit(0)
            os._exit(1)
        assert os.waitpid(after, 0)[1] == 0, f"after {delay} ms"
        assert [entry.name for entry in folder.iterdir()] == ["flows.duckdb"], f"after {delay} ms"


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
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "packets\n1\n")
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

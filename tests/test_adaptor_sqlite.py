# SPDX-License-Identifier: Apache-2.0
"""`sqlite:`: one row a flow, by version, through schema growth, locks, full disks and foreign files."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlite_file import query

import aicore
from aicore.adaptors.sqlite import SqliteAdaptor
from aicore.record import schema
from aicore.record.batch import FlowBatch
from aicore.testing.batches import event, flow_id, lives, make_batch


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteAdaptor]:
    adaptor = SqliteAdaptor()
    adaptor.connect(f"sqlite:{tmp_path / 'flows.db'}")
    yield adaptor
    adaptor.close()


def rows(folder: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    return query(folder / "flows.db", f"SELECT {columns} FROM flows ORDER BY first_seen")


@pytest.mark.usefixtures("db")
def test_a_connected_store_has_the_core_columns_before_any_flow(tmp_path: Path) -> None:
    info = query(tmp_path / "flows.db", "PRAGMA table_info(flows)")
    assert [(name, kind) for _, name, kind, *_ in info] == [
        *((field.name, field.sql_type) for field in schema.CORE),
        ("version", "INTEGER"),
    ]
    assert query(tmp_path / "flows.db", "PRAGMA journal_mode") == [("wal",)]


def test_each_flow_is_one_row_with_its_latest_record(db: SqliteAdaptor, tmp_path: Path) -> None:
    db.write(lives(range(50), updates=3).net())
    assert rows(tmp_path, "flow_id, version, packets, end_reason, sslhost") == [
        (flow_id(n), 201 + n, 201 + n, "fin", f"host-{n}.example") for n in range(50)
    ]


def test_an_older_version_changes_nothing_and_an_equal_one_is_written_again(db: SqliteAdaptor, tmp_path: Path) -> None:
    db.write(make_batch(1, version=10, layer7="tls"))
    db.write(make_batch(1, version=9, layer7="old"))
    assert rows(tmp_path, "version, layer7") == [(10, "tls")]
    db.write(make_batch(1, version=10, layer7="again"))
    assert rows(tmp_path, "version, layer7") == [(10, "again")]
    db.write(make_batch(1, version=11, layer7="new"))
    assert rows(tmp_path, "version, layer7") == [(11, "new")]


def test_values_arrive_as_they_are(db: SqliteAdaptor, tmp_path: Path) -> None:
    """Absent is NULL and not 0, times are integer nanoseconds, lists are JSON, text keeps every character."""
    hostile = "a'; DROP TABLE flows; --\x1b[2J\u202e é"
    db.write(
        FlowBatch.from_rows(
            [event("update", 1, 1, vlan=0, dnsdomains=["a", "é"], risk=0.5, httphost=hostile, big=2**63 - 1)]
        )
    )
    ((vlan, end, domains, risk, host, first, big),) = rows(
        tmp_path, "vlan, end_reason, dnsdomains, risk, httphost, first_seen, big"
    )
    assert (vlan, end) == (None, None)
    assert json.loads(domains) == ["a", "é"]
    assert (risk, host, first, big) == (0.5, hostile, 1_700_000_000_000_000_001, 2**63 - 1)


def test_columns_are_added_when_the_record_grew(tmp_path: Path, db: SqliteAdaptor) -> None:
    db.write(make_batch(1, version=1))
    db.write(make_batch(1, version=2, country="NL"))
    db.write(make_batch(1, first=1, version=3))
    assert rows(tmp_path, "country") == [("NL",), (None,)]
    other = SqliteAdaptor()
    other.connect(str(tmp_path / "flows.db"))
    other.write(make_batch(1, version=4, asn=3333))
    db.write(make_batch(1, first=2, version=5, asn=1))  # another process has added the column
    other.close()
    assert rows(tmp_path, "asn") == [(3333,), (None,), (1,)]


def test_a_record_replaces_the_row_also_in_columns_that_its_run_does_not_have(
    db: SqliteAdaptor, tmp_path: Path
) -> None:
    """Another run, without the plugin: the row must not be a mixture of two records."""
    db.write(make_batch(2, version=1, country="NL", asn=3333))
    other = SqliteAdaptor()
    other.connect(str(tmp_path / "flows.db"))
    other.write(make_batch(1, version=10))
    other.write(make_batch(1, first=1, version=0))  # an older one changes nothing
    other.close()
    assert rows(tmp_path, "version, country, asn") == [(10, None, None), (2, "NL", 3333)]


def test_an_older_table_without_a_core_column_gets_it(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "flows.db")
    connection.execute(
        "CREATE TABLE flows (flow_id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL,"
        " first_seen INTEGER, last_seen INTEGER, duration INTEGER)"
    )
    connection.close()
    adaptor = SqliteAdaptor()
    adaptor.connect(f"sqlite:{tmp_path / 'flows.db'}")
    adaptor.write(make_batch(2))
    adaptor.close()
    assert len(rows(tmp_path, "community_id")) == 2


def test_the_view_shows_times(db: SqliteAdaptor, tmp_path: Path) -> None:
    db.write(
        make_batch(1, first_seen=1_700_000_000_123_456_789, last_seen=1_700_000_001_000_000_000, duration=876_543_211)
    )
    assert query(tmp_path / "flows.db", "SELECT first_time, last_time, seconds, layer7 FROM flows_view") == [
        ("2023-11-14 22:13:20.123", "2023-11-14 22:13:21.000", 0.876543211, "tls")
    ]


def test_the_table_is_an_option(tmp_path: Path) -> None:
    adaptor = aicore.open_adaptor(f"sqlite:{tmp_path / 'flows.db'}?table=mine")
    adaptor.connect(adaptor.url)
    adaptor.write(make_batch(3))
    adaptor.close()
    assert query(tmp_path / "flows.db", "SELECT count(*) FROM mine") == [(3,)]
    with pytest.raises(aicore.UsageError, match="letters, digits and _"):
        aicore.open_adaptor("sqlite:x.db?table=a;b")


def test_a_failed_batch_leaves_nothing_behind_and_can_be_written_again(db: SqliteAdaptor, tmp_path: Path) -> None:
    """A lock held by somebody else fails the batch after its wait; the column it added is rolled back with it."""
    other = sqlite3.connect(tmp_path / "flows.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert db._db is not None
    db._db.execute("PRAGMA busy_timeout = 50")
    with pytest.raises(OSError, match="locked"):
        db.write(make_batch(2, country="NL"))
    other.execute("ROLLBACK")
    other.close()
    db.write(make_batch(2, country="NL"))
    assert rows(tmp_path, "country") == [("NL",), ("NL",)]


def test_a_full_disk_fails_the_batch_whole_and_goes_on_when_there_is_room(db: SqliteAdaptor, tmp_path: Path) -> None:
    db.write(make_batch(10))
    assert db._db is not None
    (pages,) = db._db.execute("PRAGMA page_count").fetchone()
    db._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(OSError, match="full"):
        db.write(make_batch(1000, first=10, version=100))
    assert len(rows(tmp_path)) == 10
    db._db.execute("PRAGMA max_page_count = 1000000")
    db.write(make_batch(1000, first=10, version=100))
    assert len(rows(tmp_path)) == 1010


def test_a_reader_is_not_in_the_way(db: SqliteAdaptor, tmp_path: Path) -> None:
    db.write(make_batch(5))
    reader = sqlite3.connect(tmp_path / "flows.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM flows").fetchone() == (5,)
    db.write(make_batch(5, first=5))
    assert reader.execute("SELECT count(*) FROM flows").fetchone() == (5,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM flows").fetchone() == (10,)
    reader.close()


def test_it_may_be_connected_on_one_thread_and_used_on_another(db: SqliteAdaptor, tmp_path: Path) -> None:
    thread = threading.Thread(target=db.write, args=(make_batch(1),))
    thread.start()
    thread.join()
    assert len(rows(tmp_path)) == 1


def _foreign_table(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE flows (name TEXT)")
    connection.close()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_text("no database " * 100), "not a database"),
        (lambda path: path.mkdir(), "unable to open"),
        (_foreign_table, "not aicore's: no column flow_id, version"),
    ],
    ids=["text", "directory", "foreign"],
)
def test_what_cannot_be_written_is_fatal(tmp_path: Path, make: Any, says: str) -> None:
    make(tmp_path / "flows.db")
    with pytest.raises(aicore.Fatal, match=says) as caught:
        SqliteAdaptor().connect(f"sqlite:{tmp_path / 'flows.db'}")
    assert "flows.db" in str(caught.value)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(aicore.Fatal, match=f"there is no directory {tmp_path}/nowhere"):
        SqliteAdaptor().connect(f"sqlite:{tmp_path}/nowhere/flows.db")


def test_a_file_that_turns_read_only_is_fatal(db: SqliteAdaptor) -> None:
    assert db._db is not None
    db._db.execute("PRAGMA query_only = ON")
    with pytest.raises(aicore.Fatal, match="readonly"):
        db.write(make_batch(1))


def test_acknowledged_rows_outlive_a_kill(tmp_path: Path) -> None:
    """The writer is killed in mid-run: every row that it had reported is there, and the file is sound."""
    script = """
import sys
from aicore.adaptors.sqlite import SqliteAdaptor
from aicore.testing.batches import make_batch
adaptor = SqliteAdaptor()
adaptor.connect(sys.argv[1])
n = 0
while True:
    adaptor.write(make_batch(200, first=n, version=n + 1))
    n += 200
    print(n, flush=True)
"""
    path = tmp_path / "flows.db"
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = 0
    for line in writer.stdout:
        acknowledged = int(line)
        if acknowledged >= 2000:
            break
    writer.kill()
    rest, _ = writer.communicate()
    acknowledged = max([acknowledged, *(int(line) for line in rest.split())])
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "SELECT count(*) FROM flows")[0][0] >= acknowledged


def test_reading_a_capture_twice_changes_seq_and_version_alone(capture_file: Path, tmp_path: Path) -> None:
    def once() -> list[dict[str, Any]]:
        stack = aicore.StackLan()
        stack.add_database_adaptor(f"sqlite:{tmp_path / 'flows.db'}")
        with aicore.PacketDispatcher(str(capture_file)) as dispatcher:
            dispatcher.stack = stack
            dispatcher.run()
        connection = sqlite3.connect(tmp_path / "flows.db")
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute("SELECT * FROM flows ORDER BY flow_id")]
        connection.close()
        return found

    first, second = once(), once()
    assert len(first) == len(list(aicore.flows(capture_file)))
    for old, new in zip(first, second, strict=True):
        assert new.pop("version") > old.pop("version")
        assert new == old


def test_rows_equal_the_records_as_json(capture_file: Path, tmp_path: Path) -> None:
    stack = aicore.StackLan()
    stack.add_database_adaptor(f"sqlite:{tmp_path / 'flows.db'}")
    stack.add_database_adaptor(f"jsonl:{tmp_path / 'flows.jsonl'}")
    with aicore.PacketDispatcher(str(capture_file)) as dispatcher:
        dispatcher.stack = stack
        dispatcher.run()
    connection = sqlite3.connect(tmp_path / "flows.db")
    connection.row_factory = lambda cursor, row: {
        column[0]: value for column, value in zip(cursor.description, row, strict=True) if value is not None
    }
    stored = {row["flow_id"]: row for row in connection.execute("SELECT * FROM flows")}
    connection.close()
    records = [json.loads(line) for line in (tmp_path / "flows.jsonl").read_text().splitlines()]
    assert len(records) == len(stored)
    for record in records:
        row = stored[record["flow_id"]]
        for name in ("opened", "first_seen", "last_seen"):
            assert record.pop(name).endswith(f".{row.pop(name) % 10**9:09d}Z")
        for name, value in record.items():
            assert (json.loads(row[name]) if isinstance(value, list) else row[name]) == value
        # The core's text fields are absent in JSON where they are empty, and so is nothing else.
        assert {name for name, value in row.items() if value != ""} - record.keys() == {"version"}

# SPDX-License-Identifier: Apache-2.0
"""The table: made, grown, refused; partitions and retention."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest
from aicore_postgres import link
from aicore_postgres import store as store_module
from conftest import Place
from servers.postgres.server import PostgresServer
from support import connected, kinds, write

from aicore import FlowBatch
from aicore.errors import Fatal, UsageError
from aicore.testing import event, make_batch

pytestmark = pytest.mark.server

DAY = 86_400_000_000_000
MIDNIGHT = 19_700 * DAY  # 2023-12-09


def without_create(place: Place) -> str:
    return place.url.replace("&create=yes", "")


def at(time: int, flow: int, version: int = 1) -> dict[str, object]:
    return event("update", flow, version, opened=time, first_seen=time, last_seen=time)


def test_nothing_is_made_unless_it_is_wanted(place: Place) -> None:
    with pytest.raises(Fatal, match=rf"there is no table {place.schema}.flows; \?create=yes makes it"):
        connected(without_create(place))
    write(place.url, make_batch(1))
    write(without_create(place), make_batch(1, version=2))
    place.ask("ALTER TABLE flows DROP COLUMN vlan, DROP COLUMN tunnel")
    with pytest.raises(Fatal, match=r"has no column vlan, tunnel; \?create=yes adds it"):
        connected(without_create(place))
    write(place.url, make_batch(1, version=3, vlan=7))
    assert [row["vlan"] for row in place.records()] == [7]


def test_a_field_of_a_later_batch_needs_create(place: Place) -> None:
    write(place.url, make_batch(1))
    adaptor = connected(without_create(place))
    with pytest.raises(Fatal, match="has no column later"):
        adaptor.write(make_batch(1, version=2, later=1))
    adaptor.close()


def test_a_schema_that_is_not_there(place: Place) -> None:
    with pytest.raises(Fatal, match="there is no schema nowhere"):
        connected(place.url.replace(place.schema, "nowhere"))


FOREIGN = {
    "other columns": ("CREATE TABLE flows (name text)", "is not aicore's: no column flow_id, version"),
    "no key": ("CREATE TABLE flows (flow_id text, version bigint)", "is not aicore's: flow_id is no key"),
    "a partial key": (
        "CREATE TABLE flows (flow_id text, version bigint); CREATE UNIQUE INDEX ON flows (flow_id) WHERE version > 0",
        "is not aicore's: flow_id is no key",
    ),
    "a view": ("CREATE VIEW flows AS SELECT 1 AS flow_id", "flows is a view, not a table"),
    "needs a value": (
        "CREATE TABLE flows (flow_id text PRIMARY KEY, version bigint, owner text NOT NULL)",
        "needs values in columns that aicore may not have: owner",
    ),
    "another type": (
        "CREATE TABLE flows (flow_id text PRIMARY KEY, version bigint, bytes text)",
        "column bytes is text, not bigint",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_table_of_somebody_else_is_refused(place: Place, name: str) -> None:
    sql, text = FOREIGN[name]
    for statement in sql.split("; "):
        place.ask(statement)
    before = place.ask("SELECT * FROM flows LIMIT 0")
    with pytest.raises(Fatal, match=text):
        connected(place.url)
    assert place.ask("SELECT * FROM flows LIMIT 0") == before


def test_a_table_of_somebody_else_is_adopted(place: Place) -> None:
    place.ask("CREATE TABLE flows (name text, bytes bigint)")
    place.ask("INSERT INTO flows VALUES ('mine', 1)")
    with pytest.raises(Fatal, match="create=yes adds it"):
        connected(f"{without_create(place)}&adopt=yes")
    write(f"{place.url}&adopt=yes", make_batch(2), make_batch(2, version=10))
    rows = place.ask("SELECT name, flow_id, version FROM flows ORDER BY version NULLS FIRST")
    assert [(row["name"], row["version"]) for row in rows] == [("mine", None), (None, 10), (None, 11)]
    write(place.url, make_batch(1, version=20))  # it is aicore's from now on


def test_the_ways_to_write_do_not_share_a_table(place: Place) -> None:
    write(place.url, make_batch(1))
    with pytest.raises(Fatal, match=r"has one row per flow \(flow_id is a key of it\), and mode=append writes several"):
        connected(f"{place.url}&mode=append")
    write(f"{place.url.replace('flows', 'appended')}&mode=append", make_batch(1))
    with pytest.raises(Fatal, match=r"flow_id is no key of it \(mode=append makes none\)"):
        connected(place.url.replace("flows", "appended"))
    with pytest.raises(Fatal, match="is not partitioned by range of opened"):
        connected(f"{place.url}&partition=day")


def test_a_database_that_does_not_hold_all_text(server: PostgresServer, place: Place) -> None:
    place.ask("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(Fatal, match="database latin has the encoding LATIN1"):
        connected(f"postgres://postgres:{server.password}@{server.address}/latin?create=yes")


def test_a_table_that_is_dropped_under_a_run_is_made_again(place: Place) -> None:
    """By the next connection, which the delivery makes after a ConnectionError."""
    adaptor = connected(place.url)
    assert adaptor.write(make_batch(1)) == []
    place.ask("DROP TABLE flows")
    with pytest.raises(ConnectionError, match="does not exist"):
        adaptor.write(make_batch(1))
    assert adaptor.write(make_batch(1)) == []
    assert len(place.records()) == 1
    adaptor.close()


def test_many_writers_begin_at_once(place: Place) -> None:
    """Table, columns and partitions are made once, by one of them."""
    failed: list[BaseException] = []

    def begin(n: int) -> None:
        try:
            rows = [at(MIDNIGHT + day * DAY, 10 * n + day, n) | {f"field{n}": n} for day in range(3)]
            write(f"{place.url}&partition=day", FlowBatch.from_rows(rows))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(place.records()) == 18


# -- partitions -------------------------------------------------------------------------------------------------------


def partitions(place: Place) -> list[str]:
    rows = place.ask("SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'flows'::regclass")
    return sorted(row["name"] for row in rows)


def test_a_partition_for_each_day(place: Place) -> None:
    """Midnight is the next day's, and a flow stays in that of the day when it was opened."""
    url = f"{place.url}&partition=day"
    rows = [at(MIDNIGHT - 1, 1), at(MIDNIGHT, 2), at(MIDNIGHT + DAY - 1000, 3), at(-1, 4), at(0, 5)]
    write(url, FlowBatch.from_rows(rows))
    assert partitions(place) == ["flows_19691231", "flows_19700101", "flows_20231208", "flows_20231209"]
    assert [len(place.records(name)) for name in partitions(place)] == [1, 1, 1, 2]
    early = at(MIDNIGHT, 2, version=2) | {"first_seen": MIDNIGHT - DAY}
    write(url, FlowBatch.from_rows([early]))
    assert len(place.records()) == 5
    (found,) = [row for row in place.records("flows_20231209") if row["flow_id"].endswith("2")]
    assert found["first_seen"] < found["opened"]
    plan = place.ask("EXPLAIN SELECT * FROM flows WHERE opened >= '2023-12-09' AND opened < '2023-12-10'")
    assert "flows_20231208" not in str(plan)
    assert "flows_20231209" in str(plan)


def test_wild_times_do_not_fill_the_database(place: Place) -> None:
    adaptor = connected(f"{place.url}&partition=day&partitions=3")
    errors = adaptor.write(FlowBatch.from_rows(at(MIDNIGHT + n * DAY, n, n + 1) for n in range(5)))
    assert kinds(errors) == {3: "poison", 4: "poison"}
    assert "in one more than 3 partitions" in errors[0].reason
    assert adaptor.write(FlowBatch.from_rows([at(MIDNIGHT, 9, 9)])) == []
    assert len(partitions(place)) == 3
    adaptor.close()


def test_partitions_of_the_administrator(place: Place) -> None:
    """Without create=yes they are his, and one that is missing is named; partition=none leaves them to him whatever
    they are."""
    write(f"{place.url}&partition=day", FlowBatch.from_rows([at(MIDNIGHT, 1)]))
    adaptor = connected(f"{without_create(place)}&partition=day")
    with pytest.raises(Fatal, match=r"has no partition flows_20231210; create=yes makes it"):
        adaptor.write(FlowBatch.from_rows([at(MIDNIGHT + DAY, 2)]))
    adaptor.close()
    place.ask("CREATE TABLE late PARTITION OF flows FOR VALUES FROM ('2023-12-10+00') TO ('2024-12-10+00')")
    write(place.url, FlowBatch.from_rows([at(MIDNIGHT + DAY, 2)]))
    adaptor = connected(place.url)
    with pytest.raises(Fatal, match="no partition of relation"):
        adaptor.write(FlowBatch.from_rows([at(MIDNIGHT - DAY, 3)]))
    adaptor.close()


def test_a_partition_that_is_dropped_under_a_run(place: Place) -> None:
    adaptor = connected(f"{place.url}&partition=day")
    assert adaptor.write(FlowBatch.from_rows([at(MIDNIGHT, 1)])) == []
    place.ask("DROP TABLE flows_20231209")
    with pytest.raises(ConnectionError, match="no partition of relation"):
        adaptor.write(FlowBatch.from_rows([at(MIDNIGHT, 2)]))
    assert adaptor.write(FlowBatch.from_rows([at(MIDNIGHT, 2)])) == []
    assert partitions(place) == ["flows_20231209"]
    adaptor.close()


def test_readers_do_not_hold_up_a_new_partition(place: Place) -> None:
    url = f"{place.url}&partition=day"
    write(url, FlowBatch.from_rows([at(MIDNIGHT, 1)]))
    with place.connection() as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM flows")
        begun = time.monotonic()
        write(url, FlowBatch.from_rows([at(MIDNIGHT + DAY, 2)]))
        assert time.monotonic() - begun < 4  # the time that aicore waits for a lock
    assert len(place.records()) == 2


# -- retention --------------------------------------------------------------------------------------------------------


def test_rows_whose_time_is_over_go(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_EXPIRE_ROWS", 4)
    now = time.time_ns()
    old = [at(now - 3700_000_000_000, n) for n in range(10)]
    live = at(now - 3700_000_000_000, 10) | {"last_seen": now}
    url = f"{place.url}&ttl=3600"
    write(url, FlowBatch.from_rows([*old, live, at(now - 3500_000_000_000, 11)]))
    assert [int(row["flow_id"], 16) for row in place.records()] == [10, 11]


def test_days_whose_time_is_over_go(
    place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(link._SETTINGS, "lock_timeout", "300ms")
    now = time.time_ns()
    days = [now - n * DAY for n in range(5)]
    write(f"{place.url}&partition=day", FlowBatch.from_rows(at(day, n) for n, day in enumerate(days)))
    names = partitions(place)
    place.ask("CREATE TABLE mine PARTITION OF flows FOR VALUES FROM ('2001-01-01+00') TO ('2001-01-02+00')")
    with place.connection() as reader, reader.transaction(), caplog.at_level(logging.WARNING, "aicore"):
        reader.execute(f"SELECT count(*) FROM {names[0]}")
        write(f"{place.url}&partition=day&ttl={2 * 86_400}", FlowBatch.from_rows([at(now, 9)]))
    assert "rows older than ttl stay in" in caplog.text  # a reader has it: rows come all the same
    write(f"{place.url}&partition=day&ttl={2 * 86_400}", FlowBatch.from_rows([at(now, 9)]))
    # Of the day before yesterday some flows may be younger than two days.
    assert partitions(place) == [*names[2:], "mine"]


# -- TimescaleDB ------------------------------------------------------------------------------------------------------


@pytest.fixture
def timescale(place: Place) -> Iterator[Place]:
    """A stand-in: Debian has no TimescaleDB. It takes the calls as its documentation has them, and makes nothing."""
    place.ask("CREATE SCHEMA timescaledb_information")
    place.ask("CREATE TABLE timescaledb_information.hypertables (hypertable_schema name, hypertable_name name)")
    place.ask("CREATE TABLE public.calls (words text)")
    place.ask(
        "CREATE FUNCTION public.create_hypertable(relation regclass, time_column_name name,"
        " chunk_time_interval interval) RETURNS void LANGUAGE sql AS $$"
        "INSERT INTO public.calls VALUES (format('create %s %s %s', $1, $2, $3));"
        "INSERT INTO timescaledb_information.hypertables"
        " SELECT relnamespace::regnamespace::name, relname FROM pg_class WHERE oid = $1$$"
    )
    place.ask(
        "CREATE FUNCTION public.drop_chunks(relation regclass, older_than interval) RETURNS SETOF text LANGUAGE sql AS"
        " $$INSERT INTO public.calls VALUES (format('drop %s %s', $1, $2)) RETURNING ''$$"
    )
    place.ask(
        "INSERT INTO pg_extension SELECT 99999, 'timescaledb', extowner, extnamespace, false, '2.15', NULL, NULL"
        " FROM pg_extension WHERE extname = 'plpgsql'"
    )
    yield place
    place.ask("DELETE FROM pg_extension WHERE extname = 'timescaledb'")
    place.ask("DROP SCHEMA timescaledb_information CASCADE")
    place.ask("DROP FUNCTION public.create_hypertable, public.drop_chunks")
    place.ask("DROP TABLE public.calls")


def test_a_hypertable(timescale: Place) -> None:
    place = timescale
    url = f"{place.url}&partition=hypertable&ttl=86400"
    write(url, make_batch(2), make_batch(2, version=10))
    calls = [row["words"] for row in place.ask("SELECT words FROM public.calls")]
    assert [call.replace(f"{place.schema}.", "") for call in calls] == [
        "create flows opened 1 day",
        "drop flows 24:00:00",
    ]
    assert len(place.records()) == 2
    assert place.ask("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%UNIQUE%(flow_id, opened)'")
    write(f"{place.url.replace('flows', 'plain')}", make_batch(1))
    with pytest.raises(Fatal, match="plain is no hypertable"):
        connected(f"{place.url.replace('flows', 'plain')}&partition=hypertable")


def test_no_hypertable_without_timescaledb(place: Place) -> None:
    with pytest.raises(Fatal, match="partition=hypertable needs TimescaleDB"):
        connected(f"{place.url}&partition=hypertable")
    with pytest.raises(Fatal, match="there is no table"):
        connected(without_create(place))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("mode=append&ended=delete", "mode=append deletes nothing"),
        ("partitions=5", "partitions means nothing without partition=day"),
        ("ttl=-1", "ttl must be at least 0"),
        ("table=Flows", "a name is small letters"),
        ("table=a.b.c", "a name is small letters"),
        ("table=x;y", "a name is small letters"),
        ("mode=merge", "mode must be one of upsert, append"),
        ("ca=/nowhere/ca.pem", "there is no file /nowhere/ca.pem"),
    ],
)
def test_wrong_options(options: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        connected(f"postgres://h/db?{options}")

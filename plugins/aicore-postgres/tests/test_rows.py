# SPDX-License-Identifier: Apache-2.0
"""What stands in the table after a batch, and which rows the server refuses."""

from __future__ import annotations

from datetime import datetime, timezone
from ipaddress import ip_address

import pytest
from aicore_postgres import cells
from conftest import Place
from support import connected, kinds, record, write

from aicore import FlowBatch
from aicore.testing import event, flow_id, life, lives, make_batch

pytestmark = pytest.mark.server


def test_types_are_postgresqls_own(place: Place) -> None:
    """Numbers of any sign, addresses of both families, times to the microsecond, lists, and none of these."""
    fields = {
        "ipsrc": "2001:db8::1",
        "ipdst": "fe80::9",
        "opened": 1_700_000_000_123_456_999,
        "bytes": 2**63 - 1,
        "plugincount": -(2**63),
        "pluginratio": -0.1,
        "pluginflag": False,
        "dnsdomains": ["a", "é", "", 'x"\\,{}'],
        "dnsips": [],
        "pluginsizes": [1, -(2**63)],
        "plugingaps": [0.5, float("inf")],
    }
    write(place.url, FlowBatch.from_rows([event("update", 1, 7, **fields), event("update", 2, 8)]))
    row, bare = place.ask("SELECT * FROM flows ORDER BY version")
    assert row["ipsrc"] == ip_address("2001:db8::1")
    assert (bare["ipsrc"], bare["ipdst"]) == (ip_address("10.0.0.2"), ip_address("192.0.2.1"))
    assert row["opened"] == datetime(2023, 11, 14, 22, 13, 20, 123456, timezone.utc)
    for name in ("bytes", "plugincount", "pluginratio", "pluginflag", "dnsdomains", "pluginsizes", "plugingaps"):
        assert row[name] == fields[name], name
    assert row["dnsips"] in ([], None)
    assert (row["version"], bare["version"]) == (7, 8)
    for name in ("plugincount", "pluginratio", "pluginflag", "dnsdomains", "pluginsizes", "plugingaps", "sensor"):
        assert bare[name] is None, name
    (found,) = place.ask("SELECT key FROM flows WHERE ipsrc <<= '2001:db8::/32' AND dnsdomains @> '{é}'")
    assert found["key"] == row["key"]


def test_times_before_the_epoch_and_the_last_ones(place: Place) -> None:
    times = (-(2**63), -1, 0, 2**63 - 1)
    batch = FlowBatch.from_rows(event("update", n, n + 1, last_seen=time) for n, time in enumerate(times))
    write(place.url, batch)
    rows = place.ask("SELECT extract(epoch FROM last_seen) * 1000000 AS us FROM flows ORDER BY version")
    assert [int(row["us"]) for row in rows] == [time // 1000 for time in batch.column("last_seen").tolist()]


@pytest.mark.parametrize("mode", ["upsert", "append"])
def test_text_that_postgresql_does_not_store_poisons_nothing(place: Place, mode: str) -> None:
    """A NUL, and a lone surrogate as the core hands it on, in a text, a list, a text that all rows share."""
    rows = [
        event("remove", 1, 1, sslhost="a\0b", dnsdomains=["\0", "x"], layer7="\0"),
        event("remove", 2, 2, sslhost="a\ud800b", dnsdomains=["\udfff"], layer7="\0"),
        event("remove", 3, 3, sslhost="\uffff\U0010ffff", layer7="\0"),
    ]
    write(f"{place.url}&mode={mode}", FlowBatch.from_rows(rows))
    found = place.records()
    assert [row["sslhost"] for row in found] == ["a\\x00b", "a\\ud800b", "\uffff\U0010ffff"]
    assert [row.get("dnsdomains") for row in found] == [["\\x00", "x"], ["\\udfff"], None]
    assert {row["layer7"] for row in found} == {"\\x00"}


@pytest.mark.parametrize("size", [1, cells._PIECE_ROWS - 1, cells._PIECE_ROWS, cells._PIECE_ROWS + 1])
def test_columns_that_only_some_pieces_have(place: Place, size: int) -> None:
    """A batch goes in pieces; what none of one has, others may have."""
    rows = [event("update", n, n + 1) for n in range(size)]
    last = event("update", size, size + 1, vlan=7, tunnel="vxlan:1", dnsips=["192.0.2.1"], anomaly="x", pluginflag=True)
    write(place.url, FlowBatch.from_rows([*rows, last]))
    *others, found = place.records()
    assert (found["vlan"], found["tunnel"], found["dnsips"], found["pluginflag"]) == (7, "vxlan:1", ["192.0.2.1"], True)
    assert len(others) == size
    assert all("vlan" not in row and row["bytes"] == 100 * (n + 1) for n, row in enumerate(others))


def test_an_older_version_changes_nothing_and_an_equal_one_is_written_again(place: Place) -> None:
    for version, name, wanted in ((10, "tls", "tls"), (9, "old", "tls"), (10, "again", "again"), (11, "new", "new")):
        write(place.url, make_batch(1, version=version, layer7=name))
        assert [row["layer7"] for row in place.records()] == [wanted]


def test_a_record_replaces_the_row(place: Place) -> None:
    """Also columns of a plugin that this run does not have; those that somebody added with a default stay."""
    write(place.url, make_batch(1, vlan=7, httphost="old.example", fromplugin="x"))
    place.ask("ALTER TABLE flows ADD COLUMN note text DEFAULT 'mine', ADD COLUMN seen text")
    place.ask("UPDATE flows SET seen = 'yes'")
    write(place.url, make_batch(1, version=2))
    (row,) = place.ask("SELECT vlan, httphost, fromplugin, note, seen FROM flows")
    assert row == {"vlan": None, "httphost": None, "fromplugin": None, "note": "mine", "seen": None}


def test_appended_rows_all_stay(place: Place) -> None:
    write(f"{place.url}&mode=append", make_batch(2, version=1), make_batch(2, version=10))
    rows = place.ask("SELECT DISTINCT ON (flow_id) flow_id, version FROM flows ORDER BY flow_id, version DESC")
    assert [(row["flow_id"], row["version"]) for row in rows] == [(flow_id(0), 10), (flow_id(1), 11)]
    assert len(place.records()) == 4


def test_ended_flows_are_deleted_and_later_ones_stay(place: Place) -> None:
    url = f"{place.url}&ended=delete"
    write(url, lives(range(5)), make_batch(2, first=10, version=100))
    assert [row["flow_id"] for row in place.records()] == [flow_id(10), flow_id(11)]
    write(url, make_batch(1, kind="remove", first=10, version=99))  # older than what stands there
    assert len(place.records()) == 2
    write(url, FlowBatch.from_rows([*life(1, 200), event("remove", 10, 210), event("update", 12, 211)]))
    assert [row["flow_id"] for row in place.records()] == [flow_id(11), flow_id(12)]


# -- rows that the server refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "bad"),
    [
        ("upsert", (60,)),
        ("append", (0, 99)),
        ("append", tuple(range(30, 70))),
        ("upsert", tuple(range(100))),
    ],
)
def test_refused_rows_are_named_and_the_others_stand_there_once(place: Place, mode: str, bad: tuple[int, ...]) -> None:
    url = f"{place.url}&mode={mode}"
    write(url, make_batch(1, first=5000))
    place.ask("ALTER TABLE flows ADD CONSTRAINT small CHECK (vlan IS NULL)")
    adaptor = connected(url)
    rows = [event("update", n, n + 1, **({"vlan": 1, "sslhost": "canary"} if n in bad else {})) for n in range(100)]
    errors = adaptor.write(FlowBatch.from_rows(rows))
    assert kinds(errors) == dict.fromkeys(bad, "poison")
    assert all('violates check constraint "small" (23514)' in error.reason for error in errors)
    assert "canary" not in str(errors)
    assert len(place.records()) == 1 + 100 - len(bad)
    assert adaptor.write(make_batch(1, first=6000)) == []  # nothing is left of it
    assert len(place.records()) == 2 + 100 - len(bad)
    adaptor.close()


def test_one_refused_row_of_a_thousand_takes_some_twenty_attempts(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place.url, make_batch(1, first=5000))
    place.ask("ALTER TABLE flows ADD CONSTRAINT small CHECK (vlan IS NULL)")
    adaptor = connected(place.url)
    store = adaptor._store
    assert store is not None
    load, attempts = store._load, []
    monkeypatch.setattr(store, "_load", lambda plan, batch: (attempts.append(len(batch)), load(plan, batch)))
    rows = [event("update", n, n + 1, **({"vlan": 1} if n == 617 else {})) for n in range(1000)]
    assert kinds(adaptor.write(FlowBatch.from_rows(rows))) == {617: "poison"}
    assert len(attempts) <= 22
    adaptor.close()


def test_a_deferred_constraint_names_its_rows_too(place: Place) -> None:
    write(place.url, make_batch(1, first=50))
    place.ask("CREATE TABLE vlans (vlan bigint PRIMARY KEY)")
    place.ask("ALTER TABLE flows ADD FOREIGN KEY (vlan) REFERENCES vlans DEFERRABLE INITIALLY DEFERRED")
    adaptor = connected(place.url)
    rows = [event("update", n, n + 1, **({"vlan": 1} if n == 3 else {})) for n in range(10)]
    assert kinds(adaptor.write(FlowBatch.from_rows(rows))) == {3: "poison"}
    assert len(place.records()) == 10
    adaptor.close()


def test_a_trigger_that_refuses(place: Place) -> None:
    write(place.url, make_batch(1, first=50))
    place.ask(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF NEW.vlan = 1 THEN RAISE 'not that one'; END IF; RETURN NEW; END$$"
    )
    place.ask("CREATE TRIGGER no BEFORE INSERT OR UPDATE ON flows FOR EACH ROW EXECUTE FUNCTION no()")
    adaptor = connected(place.url)
    errors = adaptor.write(FlowBatch.from_rows([event("update", 1, 1, vlan=1), event("update", 2, 2, vlan=2)]))
    assert [(error.row, error.kind, error.reason) for error in errors] == [(0, "poison", "not that one (P0001)")]
    adaptor.close()


def test_a_flow_twice_in_a_batch_that_is_not_net(place: Place) -> None:
    """Of a program of one's own: PostgreSQL does not change a row twice in one statement, nor does it need to."""
    adaptor = connected(place.url)
    assert adaptor.write(FlowBatch.from_rows(life(1, 1))) == []
    assert [row["end_reason"] for row in place.records()] == ["fin"]
    adaptor.close()


def test_a_field_of_another_type_than_its_column(place: Place) -> None:
    """A plugin's later release: rows that have the field are set aside, the others are not."""
    write(place.url, make_batch(1, pluginfield=1))
    adaptor = connected(place.url)
    rows = [event("update", 2, 2, pluginfield="x"), event("update", 3, 3)]
    errors = adaptor.write(FlowBatch.from_rows(rows))
    assert [(error.row, error.kind, error.reason) for error in errors] == [
        (0, "poison", "pluginfield is text here, bigint in the table")
    ]
    assert [record(row).get("pluginfield") for row in place.records()] == [1, None]
    adaptor.close()

# SPDX-License-Identifier: Apache-2.0
"""Making, checking and growing the tables."""

from __future__ import annotations

import time

import pytest
from conftest import Keyspace
from support import connected, kinds, write

from aicore import FlowBatch, schema
from aicore.errors import Fatal
from aicore.testing import TYPED, event, flow_id, lives, make_batch

FLOWS = "day date, bucket text, flow_id text, version bigint"


def plain(keyspace: Keyspace) -> str:
    return keyspace.url.replace("?create=yes", "?create=no")


def columns(keyspace: Keyspace, table: str = "flows") -> dict[str, str]:
    query = "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s"
    return {row["column_name"]: row["type"] for row in keyspace.ask(query, keyspace.name, table)}


def test_tables_come_from_the_schema(keyspace: Keyspace) -> None:
    connected(keyspace.url).close()
    found = columns(keyspace)
    kinds = {"bool": "boolean", "int": "bigint", "str": "text", "list[str]": "frozen<list<text>>", "time": "bigint"}
    assert found == {
        "day": "date",
        "bucket": "text",
        "version": "bigint",
        **{field.name: kinds[field.type] for field in schema.CORE},
    }
    replication = keyspace.ask(
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", keyspace.name
    )
    assert dict(replication[0]["replication"]) == {
        "class": "org.apache.cassandra.locator.NetworkTopologyStrategy",
        "datacenter1": "1",
    }


def test_fields_of_every_type_have_columns_of_their_own(keyspace: Keyspace) -> None:
    row = event("update", 1, 1, **{field.name: EXAMPLES[field.type] for field in TYPED})
    write(keyspace.url, FlowBatch.from_rows([row], TYPED))
    found = columns(keyspace)
    assert {field.type: found[field.name] for field in TYPED} == {
        "str": "text",
        "int": "bigint",
        "float": "double",
        "bool": "boolean",
        "time": "bigint",
        "list[str]": "frozen<list<text>>",
        "list[int]": "frozen<list<bigint>>",
        "list[float]": "frozen<list<double>>",
    }


EXAMPLES = {
    "str": "a",
    "int": 1,
    "float": 0.5,
    "bool": True,
    "time": 1,
    "list[str]": ["a"],
    "list[int]": [1],
    "list[float]": [0.5],
}


def test_replication_is_of_a_keyspace_that_is_made(keyspace: Keyspace) -> None:
    connected(f"{keyspace.url}&replication=3").close()
    (row,) = keyspace.ask("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", keyspace.name)
    assert row["replication"]["datacenter1"] == "3"


def test_nothing_is_made_unless_asked(keyspace: Keyspace) -> None:
    with pytest.raises(Fatal, match=rf"there is no table {keyspace.name}.flows; \?create=yes makes it"):
        connected(plain(keyspace))
    keyspace.make()
    with pytest.raises(Fatal, match=r"there is no table .*flows; \?create=yes"):
        connected(plain(keyspace))
    write(keyspace.url, lives([1]))
    write(plain(keyspace), lives([2]))
    assert keyspace.versions().keys() == {flow_id(1), flow_id(2)}


def test_all_missing_columns_are_named_and_added_when_asked(keyspace: Keyspace) -> None:
    write(keyspace.url, lives([1]))
    for name in ("layer7", "community_id", "version"):
        keyspace.ask(f"ALTER TABLE {{}}.flows DROP {name}")
    with pytest.raises(Fatal, match=r"columns are missing: community_id, layer7, version \(\?create=yes adds them\)"):
        connected(plain(keyspace))
    now = time.time_ns() // 1000  # a column that was dropped hides what is older than that
    write(keyspace.url, lives([2], version=now))
    assert columns(keyspace)["layer7"] == "text"
    (row,) = keyspace.ask("SELECT layer7, version FROM {}.flows WHERE flow_id = %s ALLOW FILTERING", flow_id(2))
    assert row == {"layer7": "tls", "version": now + 2}


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        (f"{FLOWS}, bytes text, PRIMARY KEY ((day, bucket), flow_id)", "column bytes is text, not bigint"),
        (
            f"{FLOWS}, dnsips list<text>, PRIMARY KEY (flow_id)",
            r"primary key is \(flow_id\), not \(day, bucket, flow_id\)",
        ),
    ],
)
def test_what_create_cannot_mend_is_named(keyspace: Keyspace, definition: str, text: str) -> None:
    keyspace.make()
    keyspace.ask(f"CREATE TABLE {{}}.flows ({definition})")
    for url in (keyspace.url, plain(keyspace)):
        with pytest.raises(Fatal, match=text):
            connected(url)


def test_a_field_that_comes_later(keyspace: Keyspace) -> None:
    write(keyspace.url, make_batch(1))
    adaptor = connected(plain(keyspace))
    with pytest.raises(Fatal, match=r"columns are missing: country, token \(\?create=yes adds them\)"):
        adaptor.write(make_batch(1, country="NL", token=0.5))
    adaptor.close()
    write(keyspace.url, make_batch(1, version=5, country="NL", token=0.5))
    assert keyspace.ask('SELECT country, "token" FROM {}.flows') == [{"country": "NL", "token": 0.5}]


def test_two_writers_add_the_same_column(keyspace: Keyspace) -> None:
    first, second = connected(keyspace.url), connected(keyspace.url)
    for n, adaptor in enumerate((first, second)):
        assert adaptor.write(make_batch(1, version=n + 1, country=f"N{n}")) == []
        adaptor.close()
    assert keyspace.ask("SELECT country FROM {}.flows") == [{"country": "N1"}]


def test_a_field_of_another_type_costs_only_the_rows_that_have_it(keyspace: Keyspace) -> None:
    write(keyspace.url, make_batch(1, asn="AS15169", score=0.5))
    adaptor = connected(keyspace.url)
    rows = [event("update", n, 10 + n, **({"asn": 15169} if n == 2 else {}), score=7) for n in range(4)]
    errors = adaptor.write(FlowBatch.from_rows(rows))
    assert kinds(errors) == {2: "poison"}
    assert errors[0].reason == "asn is bigint here, text in the table"
    adaptor.close()
    assert keyspace.versions() == {flow_id(n): 10 + n for n in (0, 1, 3)}
    assert {row["score"] for row in keyspace.ask("SELECT score FROM {}.flows")} == {7.0}


def test_a_column_that_vanishes_while_it_is_written(keyspace: Keyspace) -> None:
    write(keyspace.url, make_batch(3))
    adaptor = connected(plain(keyspace))
    assert adaptor.write(make_batch(3)) == []
    keyspace.ask("ALTER TABLE {}.flows DROP layer7")
    with pytest.raises(Fatal, match="columns are missing: layer7"):
        adaptor.write(make_batch(3, version=10))
    adaptor.close()


def test_a_table_that_vanishes_comes_back_when_asked(keyspace: Keyspace) -> None:
    adaptor = connected(keyspace.url)
    assert adaptor.write(make_batch(3)) == []
    keyspace.ask("DROP TABLE {}.flows")
    while adaptor.write(make_batch(3, version=10)):
        pass  # statements are prepared anew
    assert len(keyspace.versions()) == 3
    adaptor.close()


# -- preset=seed ------------------------------------------------------------------------------------------------------


def test_the_seeds_table(keyspace: Keyspace) -> None:
    url = f"{keyspace.url}&preset=seed"
    rows = [
        event("insert", 1, 1, httphost="www.example.org"),
        event("insert", 2, 2, httphost=None, sslhost="shop.example.com"),
        event("insert", 3, 3, sslhost=None, dnsdomain="example.net"),
        event("insert", 4, 4, sslhost=None),
    ]
    write(url, FlowBatch.from_rows(rows), FlowBatch.from_rows([event("remove", 1, 9, httphost="www.example.org")]))
    assert columns(keyspace) == {"key": "text", "bytes": "bigint", "layer7": "text", "layer7info": "text"}
    found = keyspace.ask("SELECT bytes, layer7, layer7info FROM {}.flows WHERE key = '10.0.0.1:1025:6:192.0.2.1:443'")
    assert found == [{"bytes": 900, "layer7": "tls", "layer7info": "www.example.org"}]
    info = {row["key"]: row["layer7info"] for row in keyspace.ask("SELECT key, layer7info FROM {}.flows")}
    assert sorted(map(str, info.values())) == ["None", "example.net", "shop.example.com", "www.example.org"]


def test_the_seeds_table_as_pycassa_left_it(keyspace: Keyspace) -> None:
    """Made by hand, with what else its owner wants."""
    keyspace.make()
    keyspace.ask("CREATE TABLE {}.flows (key text PRIMARY KEY, bytes bigint, layer7 text, layer7info text, note text)")
    write(plain(keyspace) + "&preset=seed", make_batch(3))
    assert len(keyspace.ask("SELECT key FROM {}.flows")) == 3


def test_a_record_replaces_the_row_of_the_seeds_table_but_not_what_is_its_owners(keyspace: Keyspace) -> None:
    keyspace.make()
    keyspace.ask("CREATE TABLE {}.flows (key text PRIMARY KEY, bytes bigint, layer7 text, layer7info text, note text)")
    url = plain(keyspace) + "&preset=seed"
    write(url, make_batch(1, version=1))
    keyspace.ask("UPDATE {}.flows USING TIMESTAMP 1 SET note = 'mine' WHERE key = '10.0.0.0:1024:6:192.0.2.1:443'")
    write(url, make_batch(1, version=2, layer7=None, sslhost=None))
    assert keyspace.ask("SELECT bytes, layer7, layer7info, note FROM {}.flows") == [
        {"bytes": 200, "layer7": None, "layer7info": None, "note": "mine"}
    ]


def test_a_table_that_is_not_ours_gets_no_columns_unless_told(keyspace: Keyspace) -> None:
    keyspace.make()
    keyspace.ask("CREATE TABLE {}.flows (key text PRIMARY KEY, value blob)")
    url = f"{keyspace.url}&preset=seed"
    with pytest.raises(Fatal, match=r"flows: columns are missing: bytes, layer7, layer7info, and it is not aicore's"):
        connected(url)
    assert columns(keyspace).keys() == {"key", "value"}
    write(f"{url}&adopt=yes", make_batch(3))
    assert columns(keyspace).keys() == {"key", "value", "bytes", "layer7", "layer7info"}
    # Nor later, for a field of a plugin that was added.
    keyspace.ask("DROP TABLE {}.flows")
    write(keyspace.url, make_batch(1))
    keyspace.ask("ALTER TABLE {}.flows WITH comment = 'mine'")
    adaptor = connected(keyspace.url)
    with pytest.raises(Fatal, match=r"columns are missing: country, and it is not aicore's \(adopt=yes adds them\)"):
        adaptor.write(make_batch(1, country="NL"))
    adaptor.close()
    write(f"{keyspace.url}&adopt=yes", make_batch(1, country="NL"))


def test_in_the_seeds_table_the_key_belongs_to_the_last_flow_of_it(keyspace: Keyspace) -> None:
    same = {"ipsrc": "10.0.0.9", "portsrc": 9}
    rows = [event("remove", 1, 3, **same), event("insert", 2, 4, **same)]
    write(f"{keyspace.url}&preset=seed&ended=delete", FlowBatch.from_rows(rows))
    assert keyspace.ask("SELECT bytes FROM {}.flows") == [{"bytes": 400}]
    write(f"{keyspace.url}&preset=seed&ended=delete", FlowBatch.from_rows([event("remove", 2, 5, **same)]))
    assert keyspace.ask("SELECT bytes FROM {}.flows") == []

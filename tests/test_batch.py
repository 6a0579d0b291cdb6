# SPDX-License-Identifier: Apache-2.0
"""FlowBatch and Flow: rows, columns, tables."""

from __future__ import annotations

import copy
import json
import random
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy
import pytest

import aicore
from aicore.errors import PartialWrite
from aicore.plugins.adaptor import write_rows
from aicore.testing import event as made
from aicore.testing import make_batch

ROW = {
    "key": "10.0.0.1:1000:6:10.0.0.2:80",
    "flow_id": "0" * 31 + "1",
    "ipsrc": "10.0.0.1",
    "portsrc": 1000,
    "proto": 6,
    "ipdst": "10.0.0.2",
    "portdst": 80,
    "first_seen": 1_700_000_000_123_456_789,
    "last_seen": 1_700_000_001_000_000_000,
    "packets": 5,
    "bytes": 1 << 40,
    "layer7": "http",
    "httphost": "www.example.org",
    "seq": 1,
    "version": 100,
    "event": "insert",
}


def batch(*changes: dict[str, Any]) -> aicore.FlowBatch:
    return aicore.FlowBatch.from_rows([{**ROW, "seq": i + 1, **change} for i, change in enumerate(changes)])


def test_rows_have_every_field() -> None:
    (flow,) = batch({})
    for name, value in ROW.items():
        assert getattr(flow, name) == value, name
    assert flow.first_seen_at == datetime(2023, 11, 14, 22, 13, 20, 123456, timezone.utc)
    assert (flow.vlan, flow.end_reason, flow.anomaly) == (None, None, None)
    assert flow.payload_bytes == flow.retransmissions == 0
    assert flow.to_dict()["httphost"] == "www.example.org"
    assert "vlan" not in flow.to_dict()
    assert json.loads(flow.to_json())["bytes"] == 1 << 40
    assert repr(flow) == f"<Flow {ROW['key']} insert layer7=http bytes={1 << 40}>"
    assert copy.copy(flow).key == flow.key
    assert {"key", "httphost", "event", "to_json"} <= set(dir(flow))


def test_an_unknown_field_names_the_nearest() -> None:
    (flow,) = batch({})
    with pytest.raises(AttributeError, match="a flow has no field 'packet'; did you mean packets"):
        flow.packet  # noqa: B018


def test_columns() -> None:
    rows = batch({}, {"packets": 7, "vlan": 12, "httphost": None})
    assert numpy.asarray(rows.column("packets")).tolist() == [5, 7]
    assert rows.column("httphost") == ("www.example.org", None)
    assert rows.column("vlan").tolist() == [0, 12]
    assert rows.valid("vlan").tolist() == [0, 1]
    assert rows.keys() == (ROW["key"],) * 2
    assert [json.loads(line)["packets"] for line in rows.json()] == [5, 7]
    assert rows.json_lines().count(b"\n") == len(rows) == 2
    assert [rows[0].packets, rows[-1].packets] == [5, 7]
    with pytest.raises(IndexError):
        rows[2]
    for asked in (rows.column, rows.valid, rows.type):
        with pytest.raises(KeyError, match="no column 'byts'; did you mean bytes"):
            asked("byts")


def test_nothing_can_be_put_on_a_batch() -> None:
    rows = batch({})
    rows.seal()
    for name in ("column", "packets", "note"):
        with pytest.raises(AttributeError):
            setattr(rows, name, 1)


def test_added_fields() -> None:
    rows = batch({}, {})
    rows.add("country", ["NL", None])
    rows.add("score", [0.5, None])
    rows.add("tags", [["a", "b"], None])
    rows.add("asn", [None, 0])
    assert [(flow.country, flow.score, flow.tags, flow.asn) for flow in rows] == [
        ("NL", 0.5, ("a", "b"), None),
        (None, None, None, 0),
    ]
    assert json.loads(rows.json()[0])["country"] == "NL"
    for name, values in (("country", ["x", "y"]), ("one", [1]), ("bytes", [1, 2]), ("mixed", [object(), 1])):
        with pytest.raises(aicore.UsageError, match=f"field '{name}' cannot be added"):
            rows.add(name, values)
    rows.seal()
    with pytest.raises(aicore.UsageError, match="'late'"):
        rows.add("late", [1, 2])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (numpy.array([1, 0], "int64"), "int"),
        (numpy.array([1, 0], "uint8"), "int"),
        (numpy.array([0.5, 2], "float32"), "float"),
        (numpy.array([0.5, 2]), "float"),
        (numpy.array([True, False]), "bool"),
        (numpy.array(["a", "b"]), "str"),
        (numpy.array([[1, 2], [3, 4]]), "list[int]"),
        (memoryview(b"ab"), "int"),
    ],
)
def test_arrays_are_added_as_lists_are(values: Any, kind: str) -> None:
    rows = batch({}, {})
    rows.add("more", values)
    assert rows.type("more") == kind
    wanted = [tuple(value) if isinstance(value, list) else value for value in values.tolist()]
    assert [flow.more for flow in rows] == wanted


@pytest.mark.parametrize("values", [(number for number in [1]), 1, None])
def test_what_is_no_list_of_values_is_said(values: Any) -> None:
    with pytest.raises(aicore.UsageError) as caught:
        batch({}).add("more", values)
    assert str(caught.value) == (
        f"field 'more' cannot be added: values are a list with one for each row, not {values!r:.100}"
    )


def test_a_datetime_is_no_time() -> None:
    with pytest.raises(aicore.UsageError, match="first_seen must be nanoseconds since the epoch, an integer, not date"):
        batch({"first_seen": datetime(2026, 1, 1, tzinfo=timezone.utc)})


def test_added_fields_have_the_type_of_their_values() -> None:
    for values, kind, column in (
        ([True, None, False], "bool", [True, False, False]),
        ([1, True, None], "int", [1, 1, 0]),
        ([1 << 70, -(1 << 70), None], "int", [2**63 - 1, -(2**63), 0]),
        ([1, 0.5, None], "float", [1.0, 0.5, 0.0]),
        ([None, None, None], "str", (None, None, None)),
        ([["a"], [], None], "list[str]", (("a",), (), None)),
        ([[], [1, 1 << 70], None], "list[int]", ((), (1, 2**63 - 1), None)),
        ([[], (1, 0.5), None], "list[float]", ((), (1.0, 0.5), None)),
    ):
        rows = batch({}, {}, {})
        rows.add("more", values)
        assert rows.type("more") == kind
        found = rows.column("more")
        assert (found.tolist() if isinstance(found, memoryview) else found) == column
        assert list(rows.valid("more")) == [value is not None for value in values]
        for row, value in enumerate(values):
            assert rows[row].more == (None if value is None else column[row])
            assert rows.row(row).get("more") == (None if value is None else column[row])
        assert rows.to_arrow().column("more").to_pylist() == [
            None if value is None else list(have) if isinstance(have, tuple) else have
            for value, have in zip(values, column, strict=True)
        ]
    for values in ([[1], "a", None], [1, "a", None], [[None], None, None], [b"a", None, None], [["a", 1], None, None]):
        with pytest.raises(aicore.UsageError, match=r"field 'more' cannot be added: row [01]: "):
            batch({}, {}, {}).add("more", values)


def test_rows_have_the_types_that_their_fields_say() -> None:
    at = "2023-11-14T22:13:20.123456789Z"
    fields = [
        aicore.Field("at", "time", "when"),
        aicore.Field("yes", "bool", "whether"),
        aicore.Field("share", "float", "how much"),
        aicore.Field("none", "list[int]", "nothing"),
    ]
    rows = aicore.FlowBatch.from_rows([{"at": at, "yes": 1, "share": 1, "none": []}, {"at": -1}, {}], fields)
    assert rows.schema[-4:] == tuple(fields)
    assert rows.column("at").tolist() == [1_700_000_000_123_456_789, -1, 0]
    assert [flow.yes for flow in rows] == [True, None, None]
    assert json.loads(rows.json()[0]).items() >= {"at": at, "yes": True, "share": 1.0}.items()
    assert rows.json()[0].endswith(b'"yes":true,"share":1.0,"none":[]}')
    for bad in ({"at": "yesterday"}, {"at": "2023-02-29T00:00:00Z"}, {"yes": 2}, {"share": "1"}, {"none": [0.5]}):
        (name,) = bad
        with pytest.raises(aicore.UsageError, match=f"field '{name}', row 0: "):
            aicore.FlowBatch.from_rows([bad], fields)


def test_a_number_that_is_not_finite_is_null_in_json_alone() -> None:
    rows = batch({}, {})
    rows.add("x", [float("inf"), 0.5])
    assert [json.loads(line)["x"] for line in rows.json()] == [None, 0.5]
    assert rows[0].x == rows.column("x")[0] == float("inf")


def test_nothing_that_a_batch_hands_out_changes_it() -> None:
    rows = batch({"dnsdomains": ["a", "b"]}, {})
    rows.seal()
    before = rows.json()
    for name in rows.names():
        column = rows.column(name)
        assert column == rows.column(name)
        assert not isinstance(column, tuple) or column is rows.column(name)
        with pytest.raises(TypeError):
            column[0] = column[1]
        if isinstance(column, tuple):
            assert all(value is None or isinstance(value, str | tuple) for value in column)
    for form in (rows.json(), rows.json(meta=True), rows.keys(), rows.valid("vlan")):
        with pytest.raises(TypeError):
            form[0] = form[1]  # type: ignore[index]
    row = rows.row(0)
    row.clear()
    rows[0].to_dict()["key"] = "x"
    assert rows.row(0)["dnsdomains"] == rows[0].dnsdomains == ("a", "b")
    names = rows.names()
    names.clear()
    assert rows.names()
    assert rows.json() is before


def test_whoever_releases_a_column_releases_nobody_elses() -> None:
    """As `with` does at its end."""
    rows = batch({"bytes": 7, "share": 0.5, "yes": True}, {"bytes": 0, "share": 1.5, "yes": False})
    rows.seal()
    others = [rows.column("bytes"), rows.valid("bytes")]
    for name in ("bytes", "share", "yes"):
        with rows.column(name) as values, rows.valid(name) as valid:
            assert len(values) == len(valid) == 2
    assert [view.tolist() for view in others] == [[7, 0], [1, 1]]
    assert [(flow.bytes, flow.share, flow.yes) for flow in rows] == [(7, 0.5, True), (0, 1.5, False)]
    assert rows.column("yes").tolist() == [True, False]


def test_a_batch_costs_what_was_made_of_it() -> None:
    rows = batch(*({"httphost": f"host-{n}.example.org", "packets": n} for n in range(1000)))
    plain = rows.nbytes
    assert plain > 1000 * 200
    size = sum(map(sys.getsizeof, rows.json()))
    after_json = rows.nbytes
    assert size * 0.9 < after_json - plain < size * 1.3
    columns = [rows.column(name) for name in rows.names()]
    seen = {id(value): value for column in columns if isinstance(column, tuple) for value in column if value}
    size = sum(map(sys.getsizeof, [*seen.values(), *(column for column in columns if isinstance(column, tuple))]))
    size += sum(column.nbytes for column in columns if isinstance(column, memoryview) and column.contiguous)
    assert size * 0.9 < rows.nbytes - after_json < size * 1.3
    rows.json()
    rows.column("key")
    assert rows.nbytes == rows.nbytes
    kept = rows.column("key")
    rows.forget()
    assert rows.nbytes == plain
    assert rows.column("key") == kept
    rows.forget()
    assert rows.take(range(10)).nbytes < plain


def test_batches_of_several_runs_can_be_joined() -> None:
    one, other = batch({"dnsdomains": ["a"]}), batch({"asn": 5, "layer7": "tls"})
    both = aicore.FlowBatch.concat([one, other])
    assert [json.loads(line) for line in both.json()] == [json.loads(line) for line in (*one.json(), *other.json())]
    assert both.type("asn") == "int"
    with pytest.raises(aicore.UsageError, match="field 'asn' is str in one batch and int in another"):
        aicore.FlowBatch.concat([other, batch({"asn": "5"})])
    with pytest.raises(aicore.UsageError, match="no batches"):
        aicore.FlowBatch.concat([])


def test_distinct_values() -> None:
    rows = batch({}, {"ipsrc": "2001:db8::1", "ipdst": "2001:db8::2"}, {}, {"layer7": None}, {"httphost": ""})
    addresses, codes = rows.distinct("ipsrc")
    assert addresses == [ROW["ipsrc"], "2001:db8::1"]
    assert list(codes) == [0, 1, 0, 0, 0]
    rows.add("country", ["NL", None], codes)
    rows.add("note", ["", None, "", None, "x"])
    assert rows.column("country") == ("NL", None, "NL", "NL", "NL")
    for name in ("ipdst", "layer7", "httphost", "country", "note", "key", "event", "sensor"):
        values, codes = rows.distinct(name)
        assert tuple(values[code] for code in codes) == rows.column(name)
        assert len(set(values)) == len(values)
    for name in ("bytes", "nothing", "new"):
        with pytest.raises(KeyError, match=name):
            rows.distinct(name)
    for values, wrong, why in (
        (["a"], [0, 0, 1, 0, 0], "no value number 1"),
        (["a"], [0] * 4, "4 values for 5 rows"),
        (["a"], [-1] * 5, ""),
        (["a"], ["0"] * 5, ""),
    ):
        with pytest.raises(aicore.UsageError, match=f"field 'wrong' cannot be added.*{why}"):
            rows.add("wrong", values, wrong)


def test_lookups_ask_once_for_a_text_and_forget_when_there_are_too_many() -> None:
    asked = []

    def function(text: str) -> str | None:
        asked.append(text)
        return None if text.startswith("un") else text.upper()

    lookup = aicore.Lookup(function, size=4)
    rows = batch(*({"httphost": host} for host in ("un", "b", None, "unknown", "b", "c")))
    results, codes = lookup.find(rows, "httphost")
    assert (results, list(codes)) == ([None, "B", "C"], [0, 1, 0, 0, 1, 2])
    rows.add("upper", results, codes)
    assert rows.column("upper") == (None, "B", None, None, "B", "C")
    assert asked == ["un", "b", "unknown", "c"]
    assert list(lookup.find(batch({"httphost": "c"}, {"httphost": "b"}), "httphost")[0]) == [None, "C", "B"]
    assert len(asked) == 4
    # An address is no text, though its bytes may spell one.
    assert lookup.find(batch({"ipdst": "97.98.99.100", "httphost": "abcd"}), "ipdst")[0] == [None, "97.98.99.100"]
    assert lookup.find(rows, "ipsrc")[0] == [None, ROW["ipsrc"]]
    assert lookup.find(rows, "ipdst")[0] == [None, ROW["ipdst"]]
    assert asked[4:] == ["97.98.99.100", ROW["ipsrc"], ROW["ipdst"]]
    assert lookup.find(rows, "httphost")[0] == [None, "B", "C"]
    assert asked[7:] == ["un", "b", "unknown", "c"]
    for name in ("bytes", "nothing", "new"):
        with pytest.raises(KeyError, match=name):
            lookup.find(rows, name)
    with pytest.raises(ZeroDivisionError):
        aicore.Lookup(lambda _: 1 // 0).find(rows, "ipsrc")


def test_a_lookup_of_many_texts_over_several_batches() -> None:
    asked = []

    def function(text: str) -> int | None:
        asked.append(text)
        return int(text[1:]) if int(text[1:]) % 3 else None

    lookup, rng = aicore.Lookup(function), random.Random(7)
    numbers = [rng.randrange(5000) for _ in range(9000)]
    for part in range(0, 9000, 3000):
        rows = batch(*({"httphost": f"h{number}"} for number in numbers[part : part + 3000]))
        results, codes = lookup.find(rows, "httphost")
        assert [results[code] for code in codes] == [n if n % 3 else None for n in numbers[part : part + 3000]]
        assert len(set(results)) == len(results)
    assert sorted(asked) == sorted({f"h{number}" for number in numbers})


class Result:
    """What it looks up while it dies must not find the table half made."""

    def __init__(self, lookup: aicore.Lookup, number: int) -> None:
        self.lookup, self.number = lookup, number

    def __del__(self) -> None:
        rows = aicore.FlowBatch.from_rows([{"httphost": f"late{self.number}-{i}"} for i in range(600)])
        results, _ = self.lookup.find(rows, "httphost")
        assert len(results) == 1


def test_a_lookup_whose_function_comes_back_to_it_and_to_the_batch() -> None:
    rows = batch(*({"httphost": f"h{n}"} for n in range(300)))
    rows.add("note", [f"n{n}" for n in range(300)])
    calls = 0

    def function(text: str) -> Result | None:
        nonlocal calls
        if text.startswith("late"):
            return None
        calls += 1
        if calls < 4:  # the same texts again, before the outer call has its answer
            rows.add(f"more{calls}", [text] * 300)
            lookup.find(rows, "note")
        return Result(lookup, int(text[1:]))

    lookup = aicore.Lookup(function, size=50)
    for _ in range(3):
        results, codes = lookup.find(rows, "note")
        assert [results[code].number for code in codes] == list(range(300))
        assert calls >= 300


def test_from_rows_names_what_is_wrong() -> None:
    with pytest.raises(aicore.UsageError, match="packets"):
        batch({}, {"packets": "many"})


def test_kinds_net_take_and_concat() -> None:
    rows = batch({}, {"event": "update", "packets": 6}, {"event": "remove", "packets": 7, "end_reason": "fin"})
    assert [len(rows.kind(kind) or ()) for kind in ("insert", "update", "remove")] == [1, 1, 1]
    assert rows.take([0]).kind("remove") is None
    (net,) = rows.net()
    assert (net.event, net.new, net.packets) == ("remove", 1, 7)
    assert [flow.packets for flow in aicore.FlowBatch.concat([rows.take([2, 0]), rows])] == [7, 5, 5, 6, 7]


def test_rows_are_numbered_as_in_a_list() -> None:
    rows = batch({"packets": 1}, {"packets": 2}, {"packets": 3})
    assert [rows[-1].packets, rows.row(-3)["packets"]] == [3, 1]
    assert [flow.packets for flow in rows.take([-1, 0])] == [3, 1]
    assert [[flow.packets for flow in rows[part]] for part in (slice(1, 3), slice(None, None, -2), slice(9, 12))] == [
        [2, 3],
        [3, 1],
        [],
    ]
    for wrong in (3, -4, 1 << 40):
        for read in (rows.row, rows.__getitem__, lambda n: rows.take([n])):
            with pytest.raises(IndexError, match=f"row {wrong} of a batch of 3"):
                read(wrong)


def test_what_is_no_row_batch_or_event_is_said() -> None:
    rows: Any = batch({"packets": 1})
    assert len(aicore.FlowBatch.concat(one for one in (rows, rows))) == 2
    for wrong, call in (
        ("number 1 is no FlowBatch, but 1", lambda: aicore.FlowBatch.concat([rows, 1])),
        ("no batches", lambda: aicore.FlowBatch.concat(iter(()))),
        ("an event is one of insert, update, remove, not 'x'", lambda: rows.kind("x")),
        ("rows are a sequence of numbers, not 5", lambda: rows.take(5)),
        (r"rows are a sequence of numbers, not \[1\.5\]", lambda: rows.take([1.5])),
        ("a row is a number, not 'a'", lambda: rows.row("a")),
    ):
        with pytest.raises(aicore.UsageError, match=wrong):
            call()
    with pytest.raises(TypeError, match=r"not 'packets': column\('packets'\) has a field's values"):
        rows["packets"]


def test_a_schema_shows_names_and_types() -> None:
    fields = batch({"asn": 5}).schema
    assert repr(fields).startswith(f"<{len(fields)} fields: key str, flow_id str, ")
    assert repr(fields).endswith(", asn int>")


def test_tables() -> None:
    rows = batch({}, {"vlan": 5, "layer7": None})
    table = rows.to_arrow()
    assert table.column("first_seen").cast("int64").to_pylist() == [ROW["first_seen"]] * 2
    assert table.column("vlan").to_pylist() == [None, 5]
    assert table.column("layer7").to_pylist() == ["http", None]
    assert str(table.schema.field("last_seen").type) == "timestamp[ns, tz=UTC]"
    frame = rows.to_pandas()
    assert frame["bytes"].sum() == 2 << 40
    assert frame["vlan"].isna().tolist() == [True, False]
    assert rows.to_polars()["vlan"].to_list() == [None, 5]
    assert aicore.FlowBatch.from_rows([]).to_arrow().num_rows == 0


class TestSimpleAdaptors:
    class Recorder(aicore.DatabaseAdaptor):
        fails_at: str | None = None

        def __init__(self) -> None:
            self.calls: list[tuple[str, ...]] = []

        def insert(self, key: str) -> None:
            self.calls.append(("insert", key))

        def update(self, key: str, data: str) -> None:
            self.calls.append(("update", key, str(json.loads(data)["packets"])))

        def remove(self, key: str) -> None:
            if self.fails_at == "remove":
                raise OSError("gone")
            self.calls.append(("remove", key))

    def rows(self) -> aicore.FlowBatch:
        return batch({}, {"event": "update", "packets": 6}, {"event": "remove", "packets": 6})

    def test_one_call_for_each_event(self) -> None:
        recorder = self.Recorder()
        assert recorder.write(self.rows()) is None
        assert [call[0] for call in recorder.calls] == ["insert", "update", "remove"]

    def test_a_merged_row_gets_the_calls_that_it_stands_for(self) -> None:
        recorder = self.Recorder()
        write_rows(recorder, self.rows().net(), events="net")
        assert [call[0] for call in recorder.calls] == ["insert", "update", "remove"]
        assert recorder.calls[1][2] == "6"

    def test_it_stops_at_the_first_error_and_says_what_was_delivered(self) -> None:
        recorder = self.Recorder()
        recorder.fails_at = "remove"
        with pytest.raises(PartialWrite) as error:
            recorder.write(self.rows())
        assert error.value.delivered == 2
        assert isinstance(error.value.__cause__, OSError)


class TestFlows:
    def test_each_finished_flow_once(self, capture_file: Path, visits: Any) -> None:
        got = list(aicore.flows(capture_file))
        assert sorted(flow.key for flow in got) == sorted(flow.key for flow in visits.flows)
        assert {flow.event for flow in got} == {"remove"}
        assert {flow.layer7 for flow in got} == {"dns", "http", "tls"}

    def test_tables_hold_what_was_not_yet_taken(self, capture_file: Path, visits: Any) -> None:
        flows = aicore.flows(capture_file)
        first = next(flows)
        table = flows.to_arrow()
        assert table.num_rows == len(visits.flows) - 1
        assert first.flow_id not in table.column("flow_id").to_pylist()
        assert len(aicore.flows(capture_file).to_pandas()) == len(visits.flows)
        assert len(aicore.flows(capture_file).to_polars()) == len(visits.flows)

    def test_batches(self, capture_file: Path, visits: Any) -> None:
        batches = list(aicore.flows(capture_file, batch_rows=7).batches())
        assert len(batches) > 1
        assert sum(map(len, batches)) == len(visits.flows)

    def test_filter_settings_and_plugins(self, capture_file: Path) -> None:
        class Upper:
            fields = (aicore.Field("shout", "str", "layer7 in capitals"),)

            @aicore.hookimpl
            def flow_enrich(self, flows: aicore.FlowBatch) -> None:
                flows.add("shout", [name and name.upper() for name in flows.column("layer7")])

        got = list(aicore.flows(capture_file, filter="udp", plugins=[Upper()], sensor="lab"))
        assert {(flow.proto, flow.sensor, flow.shout) for flow in got} == {(17, "lab", "DNS")}
        with pytest.raises(aicore.UsageError, match="no setting 'sensr'; did you mean sensor"):
            aicore.flows(capture_file, sensr="x")

    def test_abandoned_early_closes_the_engine(self, capture_file: Path) -> None:
        before = threading.active_count()
        for _ in range(5):
            next(aicore.flows(capture_file))
        with aicore.flows(capture_file) as flows:
            next(flows)
        aicore.flows(capture_file).close()
        assert threading.active_count() == before

    def test_closed_early_is_no_normal_end(self, capture_file: Path) -> None:
        closed = "these flows were closed before their end"
        with aicore.flows(capture_file, batch_rows=2) as flows:
            batches = flows.batches()
            next(batches)
        for use in (batches.__next__, flows.__next__, flows.batches, flows.to_arrow):
            with pytest.raises(aicore.UsageError, match=closed):
                use()
        for n, _ in enumerate(flows := aicore.flows(capture_file)):
            if n > 1000:
                flows.close()
        flows.close()
        assert list(flows) == [], "they were read to their end"
        with pytest.raises(aicore.UsageError, match="read to their end"):
            flows.batches()

    def test_one_reader_at_a_time(self, capture_file: Path, visits: Any) -> None:
        flows = aicore.flows(capture_file, batch_rows=2)
        one, other = flows.batches(), flows.batches()
        taken = [flow.flow_id for flow in next(one)]
        for use in (other.__next__, flows.__next__, flows.batches, flows.to_arrow):
            with pytest.raises(aicore.UsageError, match="these flows have another reader"):
                use()
        del one, use
        taken += [flow.flow_id for flow in next(other)]
        for batch in other:
            taken += batch.column("flow_id")
            break
        del other
        taken += [next(flows).flow_id]
        taken += [flow.flow_id for batch in flows.batches() for flow in batch]
        assert len(taken) == len(set(taken)) == len(visits.flows)

    def test_one_thread_at_a_time(self, capture_file: Path) -> None:
        """Read by a plugin in the middle of a read, which is the same without waiting for anybody."""
        said: list[str] = []

        class Greedy:
            @aicore.hookimpl
            def flow_batch(self) -> None:
                def read(take: Any) -> None:
                    try:
                        take(flows)
                    except aicore.UsageError as error:
                        said.append(str(error))

                for take in (next, lambda flows: next(flows.batches())):
                    read(take)
                    (thread := threading.Thread(target=read, args=(take,))).start()
                    thread.join()

        flows = aicore.flows(capture_file, plugins=[Greedy()])
        assert len(list(flows)) > 0
        assert len(said) >= 4
        assert {text[:42] for text in said} == {"flows are read by one thread at a time, an"}

    def test_closed_by_another_thread(self, capture_file: Path) -> None:
        class Closer:
            @aicore.hookimpl
            def flow_batch(self) -> None:
                (thread := threading.Thread(target=flows.close)).start()
                thread.join()

        before = threading.active_count()
        flows = aicore.flows(capture_file, batch_rows=2, plugins=[Closer()])
        with pytest.raises(aicore.UsageError, match="closed before their end"):
            list(flows)
        assert threading.active_count() == before

    def test_several_sources(self, capture_file: Path, visits: Any) -> None:
        def count(flows: aicore.Flows) -> int:
            return len(list(flows))

        both = count(aicore.flows([capture_file, capture_file]))
        assert count(aicore.flows(capture_file, capture_file)) == both > len(visits.flows)
        assert count(aicore.flows([capture_file], str(capture_file))) == both

    @pytest.mark.parametrize("sources", [(5,), (None,), (b"x",), (["x", 5],), ({5: 6},)])
    def test_what_is_no_source(self, sources: tuple[Any, ...]) -> None:
        for use in (aicore.flows, aicore.PacketDispatcher):
            with pytest.raises(aicore.UsageError, match="a source is an interface or a path, or a list of them, not"):
                use(*sources)
        with pytest.raises(aicore.UsageError, match="none was given"):
            aicore.flows()

    def test_their_schema_and_repr(self, capture_file: Path, visits: Any) -> None:
        flows = aicore.flows(capture_file)
        assert "httphost" in [field.name for field in flows.schema]
        assert repr(flows) == f"<Flows of {capture_file}: 0 taken; they are not yet read>"
        next(flows)
        assert repr(flows).endswith(": 1 taken; they are being read>")
        assert f"of {capture_file} and 2 more: " in repr(aicore.flows([capture_file] * 3))
        batches = flows.batches()
        rest = len(next(batches))
        assert repr(flows).endswith(f": {1 + rest} taken; they have a reader>")
        list(batches)
        assert repr(flows).endswith(f": {len(visits.flows)} taken; they were read to their end>")

    def test_pandas_makes_no_single_column(self, capture_file: Path) -> None:
        import pandas

        flows = aicore.flows(capture_file)
        with pytest.raises(TypeError, match=r"flows\.to_pandas\(\) makes a data frame"):
            pandas.DataFrame(flows)
        (batch,) = flows.batches()
        with pytest.raises(TypeError, match=r"batch\.to_pandas\(\) makes a data frame"):
            pandas.DataFrame(batch)
        assert "httphost" in batch.to_pandas().columns

    def test_errors_come_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(aicore.SourceError, match=r"nowhere\.pcap: neither an interface nor a file"):
            aicore.flows(tmp_path / "nowhere.pcap")
        (tmp_path / "text").write_text("this is no capture" * 10)
        with pytest.raises(aicore.SourceError, match="text"):
            aicore.flows(tmp_path / "text")
        with pytest.raises(aicore.UsageError, match="none was given"):
            aicore.flows([])
        with pytest.raises(aicore.UsageError, match="cannot be mixed"):
            aicore.flows(["lo", tmp_path / "text"])

    def test_no_flows(self, tmp_path: Path) -> None:
        from captures.files import Capture

        path = Capture().write(tmp_path / "empty.pcap")
        assert list(aicore.flows(path)) == []
        assert aicore.flows(path).to_arrow().num_rows == 0


def test_arrow_with_meta() -> None:
    rows = aicore.FlowBatch.from_rows([made("insert", 1, 7), made("remove", 1, 8)]).net()
    table = rows.to_arrow()
    assert table.column_names == [*rows.names(), "event", "new", "sampled", "version"]
    assert table.select(["event", "new", "version"]).to_pylist() == [{"event": "remove", "new": True, "version": 8}]


def test_a_view_has_the_rows_and_forms_of_its_own() -> None:
    batch = make_batch(3)
    batch.add("score", [1, 2, 3])
    batch.seal()
    one, other = batch.view(), batch.view()
    assert one.json() == other.json() == batch.json()
    assert one.json()[0] is one.json()[0]
    assert one.json()[0] is not other.json()[0]
    assert list(one.column("score")) == [1, 2, 3]
    with pytest.raises(aicore.UsageError):
        one.add("more", [1, 2, 3])


def test_a_batch_cannot_be_changed_through_a_view_nor_a_view_through_its_batch() -> None:
    batch = make_batch(3)
    batch.add("score", [1, 2, 3])
    view = batch.view()
    before = batch.json()
    view.add("more", [4, 5, 6])
    assert "more" not in batch.names()
    assert batch.json() == before
    batch.add("other", [7, 8, 9])
    assert "other" not in view.names()
    assert [(flow.key, flow.score, flow.more) for flow in view] == list(
        zip(batch.keys(), (1, 2, 3), (4, 5, 6), strict=True)
    )
    batch.seal()
    view.add("last", ["a", "b", None])
    assert list(view.column("last")) == ["a", "b", None]


@pytest.mark.parametrize(("source", "target"), [("192.0.2.1", "2001:db8::1"), ("2001:db8::1", "192.0.2.1")])
def test_the_addresses_of_a_record_are_of_one_ip_version(source: str, target: str) -> None:
    good = made("update", 1, 1)
    for record in ({"ipsrc": source, "ipdst": target}, {"ipdst": target, "ipsrc": source}):
        with pytest.raises(aicore.UsageError, match=r"^row 1: ip(src|dst) is not of the same IP version as the other"):
            aicore.FlowBatch.from_rows([good, record])


def test_records_of_both_ip_versions_stand_in_one_batch() -> None:
    pairs = [("10.0.0.1", "10.0.0.2"), ("a00:1::", "2001:db8::2"), ("192.0.2.1", None), (None, "::1"), (None, None)]
    batch = aicore.FlowBatch.from_rows({"ipsrc": source, "ipdst": target, "packets": 1} for source, target in pairs)
    assert batch.column("ipsrc") == ("10.0.0.1", "a00:1::", "192.0.2.1", "::", "0.0.0.0")
    assert batch.column("ipdst") == ("10.0.0.2", "2001:db8::2", "0.0.0.0", "::1", "0.0.0.0")
    values, codes = batch.distinct("ipsrc")
    assert tuple(values[code] for code in codes) == batch.column("ipsrc"), "the same bytes are two addresses"
    again = aicore.FlowBatch.from_bytes(batch.schema_bytes(), batch.to_bytes())
    assert again.json() == batch.json()

# SPDX-License-Identifier: Apache-2.0
"""FlowBatch and aicore.flows as tables, by way of Arrow's PyCapsule interface."""

from __future__ import annotations

import gc
import json
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import numpy
import pandas
import polars
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aicore
from aicore.testing import event

T0 = 1_700_000_000_123_456_789
UTC_NS = pyarrow.timestamp("ns", tz="UTC")


def batch(*changes: dict[str, Any]) -> aicore.FlowBatch:
    return aicore.FlowBatch.from_rows([event("update", n, n + 1, **change) for n, change in enumerate(changes)])


def plain(value: Any) -> Any:
    """A list as Arrow gives it."""
    return list(value) if isinstance(value, tuple) else value


def with_everything() -> aicore.FlowBatch:
    rows = batch({"vlan": 5}, {"layer7": None, "proto": 17}, {"ipsrc": "2001:db8::1", "ipdst": "2001:db8::2"})
    rows.add("asn", [None, 7, -1])
    rows.add("share", [0.5, None, float("inf")])
    rows.add("country", ["NL", None, "é\0ß"])
    rows.add("tags", [["a", "b"], None, []])
    return rows


class TestBatch:
    def test_columns_are_those_of_the_record_then_those_beside_it(self) -> None:
        rows = with_everything()
        table = pyarrow.table(rows)
        assert table.column_names == [*rows.names(), "event", "new", "sampled", "version"]
        assert pyarrow.schema(rows) == table.schema
        types = {field.name: field.type for field in table.schema}
        assert types["first_seen"] == types["last_seen"] == UTC_NS
        assert types["new"] == pyarrow.bool_()
        assert types["bytes"] == types["portsrc"] == types["asn"] == types["version"] == pyarrow.int64()
        assert types["key"] == types["country"] == pyarrow.string()
        assert types["share"] == pyarrow.float64()
        assert pyarrow.types.is_list(types["tags"])
        assert types["tags"].value_type == pyarrow.string()

    def test_values_are_those_of_the_columns(self) -> None:
        rows = with_everything()
        for table in (pyarrow.table(rows), pyarrow.table(rows.take([2, 0])), pyarrow.table(rows.take([]))):
            table.validate(full=True)
        found = pyarrow.table(rows).to_pydict()
        for name in (*rows.names(), "event", "new", "sampled", "version"):
            values = found[name]
            if isinstance(values[0], datetime):
                values = pyarrow.table(rows).column(name).cast("int64").to_pylist()
            valid = rows.valid(name)
            expected = [plain(value) if valid[row] else None for row, value in enumerate(rows.column(name))]
            assert values == expected, name
        assert found["tags"] == [["a", "b"], None, []]
        assert found["retransmissions"] == [0, None, 0]

    def test_what_is_always_there_is_not_nullable(self) -> None:
        rows = with_everything()
        for field in pyarrow.schema(rows):
            if not field.nullable:
                assert all(rows.valid(field.name)), field.name
        nullable = {field.name for field in pyarrow.schema(rows) if field.nullable}
        assert {"key", "bytes", "first_seen", "event", "new"}.isdisjoint(nullable)
        assert {"vlan", "tcp_state", "layer7", "retransmissions", "country", "asn"} <= nullable

    def test_every_consumer_takes_it_as_it_is(self) -> None:
        rows = with_everything()
        names = [*rows.names(), "event", "new", "sampled", "version"]
        assert polars.DataFrame(rows).columns == names
        assert polars.from_arrow(rows).struct.unnest().columns == names  # a series of structs, as polars has it
        assert pyarrow.record_batch(rows).num_rows == 3
        assert duckdb.sql("SELECT * FROM rows").columns == names
        assert duckdb.sql("SELECT sum(bytes), count(vlan) FROM rows").fetchall() == [(600, 1)]
        assert rows.to_polars().equals(polars.DataFrame(rows))
        assert rows.to_arrow() == pyarrow.table(rows)

    def test_times_and_lists_and_booleans_arrive_as_such(self) -> None:
        rows = batch({"first_seen": T0, "last_seen": T0 + 1}, {"first_seen": -1})
        rows.add("tags", [["a", "b"], None])
        frame = rows.to_polars()
        assert frame.schema["first_seen"] == polars.Datetime("ns", "UTC")
        assert frame.schema["new"] == polars.Boolean
        assert frame.schema["tags"] == polars.List(polars.String)
        assert (frame["last_seen"] - frame["first_seen"]).dt.total_nanoseconds().to_list()[0] == 1
        (first,) = duckdb.sql("SELECT first_seen FROM rows LIMIT 1").fetchall()
        assert first[0].astimezone(timezone.utc) == datetime(2023, 11, 14, 22, 13, 20, 123456, timezone.utc)
        assert duckdb.sql("SELECT len(tags) FROM rows").fetchall() == [(2,), (None,)]
        pandas_frame = rows.to_pandas()
        assert pandas_frame["first_seen"].iloc[0] == pandas.Timestamp(T0, tz="UTC")
        assert pandas_frame["new"].tolist() == [False, False]

    def test_differences_of_counters_are_right_everywhere(self) -> None:
        rows = batch({"src_bytes": 1, "dst_bytes": 3}, {"src_bytes": 0, "dst_bytes": (1 << 63) - 1})
        expected = [-2, 1 - (1 << 63)]
        source, destination = (numpy.asarray(rows.column(name)) for name in ("src_bytes", "dst_bytes"))
        assert (source - destination).tolist() == expected
        frame = rows.to_pandas()
        assert (frame.src_bytes - frame.dst_bytes).tolist() == expected
        polars_frame = rows.to_polars()
        assert (polars_frame["src_bytes"] - polars_frame["dst_bytes"]).to_list() == expected
        assert [row[0] for row in duckdb.sql("SELECT src_bytes - dst_bytes FROM rows").fetchall()] == expected

    def test_it_outlives_the_batch(self) -> None:
        rows = with_everything()
        tables = [pyarrow.table(rows), polars.DataFrame(rows)]
        expected = list(rows.column("asn")), rows.json()
        del rows
        gc.collect()
        churn = [with_everything() for _ in range(50)]
        assert tables[0].column("asn").to_pylist() == [None, 7, -1] == tables[1]["asn"].to_list()
        assert expected[0][1:] == [7, -1]
        assert len(churn) == 50

    def test_capsules_that_nobody_takes_release_what_they_hold(self) -> None:
        rows = with_everything()
        for _ in range(100):
            rows.__arrow_c_array__()
            rows.__arrow_c_stream__()
            rows.__arrow_c_schema__()

    def test_columns_can_be_taken_out_one_by_one(self) -> None:
        """A consumer may move a child out of an array and release the rest."""
        column = pyarrow.record_batch(with_everything()).column("tags")
        gc.collect()
        assert column.to_pylist() == [["a", "b"], None, []]

    @given(
        st.lists(
            st.tuples(st.none() | st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.integers(-9, 9)),
            max_size=40,
        ),
        st.data(),
    )
    def test_any_rows(self, values: list[tuple[str | None, int | None]], data: st.DataObject) -> None:
        rows = batch(*({} for _ in values))
        rows.add("note", [text for text, _ in values])
        rows.add("number", [number for _, number in values])
        rows.add("list", [None if text is None else list(text) for text, _ in values])
        begin = data.draw(st.integers(0, len(values)))
        part = rows.take(range(begin, len(values)))
        table = pyarrow.table(part)
        table.validate(full=True)
        for name in ("note", "number", "list"):
            valid = part.valid(name)
            expected = [plain(value) if valid[row] else None for row, value in enumerate(part.column(name))]
            assert table.column(name).to_pylist() == expected
            assert polars.DataFrame(part)[name].to_list() == expected

    def test_released_on_threads_that_python_did_not_make(self) -> None:
        """DuckDB's workers release; nothing of Python may be touched there."""
        rows = batch(*({} for _ in range(20000)))
        rows.add("asn", list(range(20000)))
        connection = duckdb.connect(config={"threads": 4})
        query = "SELECT sum(asn), count(DISTINCT key) FROM rows"
        for _ in range(5):
            assert connection.sql(query).fetchall() == [(sum(range(20000)), 20000)]


class TestFlows:
    def test_duckdb_reads_the_variable(self, capture_file: Path) -> None:
        flows = aicore.flows(capture_file)  # noqa: F841  # DuckDB looks for it
        found = dict(duckdb.sql("SELECT layer7, sum(bytes) FROM flows GROUP BY 1").fetchall())
        expected: dict[str, int] = {}
        for flow in aicore.flows(capture_file):
            expected[flow.layer7] = expected.get(flow.layer7, 0) + flow.bytes
        assert found == expected
        assert set(found) == {"dns", "http", "tls"}
        with pytest.raises(duckdb.Error, match="were read to their end"):
            duckdb.sql("SELECT count(*) FROM flows").fetchall()

    @pytest.mark.parametrize(
        "make",
        [
            pyarrow.table,
            polars.DataFrame,
            lambda flows: polars.from_arrow(flows).struct.unnest(),
            pytest.param(
                lambda flows: polars.scan_arrow_c_stream(flows).collect(),
                marks=pytest.mark.skipif(not hasattr(polars, "scan_arrow_c_stream"), reason="of a later Polars"),
            ),
            pytest.param(
                lambda flows: pandas.DataFrame.from_arrow(flows),
                marks=pytest.mark.skipif(not hasattr(pandas.DataFrame, "from_arrow"), reason="of pandas 3"),
            ),
            lambda flows: pyarrow.RecordBatchReader.from_stream(flows).read_all(),
            lambda flows: flows.to_arrow(),
            lambda flows: flows.to_pandas(),
            lambda flows: flows.to_polars(),
            lambda flows: duckdb.sql("SELECT * FROM flows").to_arrow_table(),  # noqa: ARG005  # DuckDB looks for it
        ],
    )
    def test_every_consumer_takes_it_as_it_is(self, capture_file: Path, visits: Any, make: Any) -> None:
        flows = aicore.flows(capture_file, batch_rows=7)
        fields = [field.name for field in pyarrow.schema(flows)]
        frame = make(flows)
        assert len(frame) == len(visits.flows)
        assert list(getattr(frame, "column_names", None) or frame.columns) == fields
        assert {"key", "httphost", "dnsdomains"} <= set(fields)
        assert "event" not in fields
        for again in (make, list, lambda flows: next(flows), lambda flows: flows.batches()):
            with pytest.raises(Exception, match="these flows were read to their end"):
                again(flows)

    def test_the_rest_after_some_were_taken_one_by_one(self, capture_file: Path, visits: Any) -> None:
        flows = aicore.flows(capture_file)
        first = [next(flows).flow_id, next(flows).flow_id]
        rest = pyarrow.table(flows).column("flow_id").to_pylist()
        assert len({*first, *rest}) == len(first) + len(rest) == len(visits.flows)

    def test_the_schema_is_that_of_the_run(self, capture_file: Path) -> None:
        """Known before the first packet, and also of fields that no flow has."""

        class Hook:
            fields = (aicore.Field("shout", "str", "layer7 in capitals"), aicore.Field("silent", "int", "never there"))

            @aicore.hookimpl
            def flow_enrich(self, flows: aicore.FlowBatch) -> None:
                flows.add("shout", [name and name.upper() for name in flows.column("layer7")])

        flows = aicore.flows(capture_file, plugins=[Hook()])
        schema = pyarrow.schema(flows)
        assert schema.field("shout").type == pyarrow.string()
        assert schema.field("silent").type == pyarrow.int64()
        table = pyarrow.table(flows)
        assert table.schema == schema
        assert set(table.column("shout").to_pylist()) == {"DNS", "HTTP", "TLS"}
        assert table.column("silent").null_count == table.num_rows

    def test_no_flows_are_an_empty_table(self, tmp_path: Path) -> None:
        from captures.files import Capture

        path = Capture().write(tmp_path / "empty.pcap")
        assert pyarrow.table(aicore.flows(path)).num_rows == 0
        assert polars.DataFrame(aicore.flows(path)).shape[0] == 0
        assert "key" in aicore.flows(path).to_pandas().columns

    def test_an_error_of_the_source_is_the_stream_s(self, capture_file: Path, tmp_path: Path) -> None:

        def failing() -> aicore.Flows:
            gone = tmp_path / "gone.pcap"
            gone.write_bytes(capture_file.read_bytes())
            flows = aicore.flows([capture_file, gone])
            gone.unlink()
            return flows

        with pytest.raises(Exception, match=r"SourceError: .*gone\.pcap") as error:
            pyarrow.table(failing())
        assert "\n" not in str(error.value)
        flows = failing()  # noqa: F841  # DuckDB looks for it
        with pytest.raises(duckdb.Error, match=r"SourceError: .*gone\.pcap"):
            duckdb.sql("SELECT count(*) FROM flows").fetchall()
        with pytest.raises(Exception, match=r"SourceError: .*gone\.pcap"):
            polars.DataFrame(failing())
        for make in ("to_arrow", "to_pandas", "to_polars"):
            with pytest.raises(aicore.SourceError, match=r"gone\.pcap"):
                getattr(failing(), make)()

    def test_an_abandoned_stream_closes_the_engine(self, capture_file: Path) -> None:
        before = threading.active_count()
        for _ in range(3):
            reader = pyarrow.RecordBatchReader.from_stream(aicore.flows(capture_file, batch_rows=2))
            reader.read_next_batch()
            assert threading.active_count() > before
            del reader
        reader = pyarrow.RecordBatchReader.from_stream(aicore.flows(capture_file))
        assert reader.schema.names[0] == "key"
        del reader
        gc.collect()
        for thread in threading.enumerate():
            if thread.name.startswith("aicore"):
                thread.join(10)
        assert threading.active_count() <= before  # fewer where one of an earlier test has just ended

    def test_a_stream_for_the_schema_alone_takes_nothing(self, capture_file: Path, visits: Any) -> None:
        flows = aicore.flows(capture_file)
        pyarrow.RecordBatchReader.from_stream(flows).close()
        assert pyarrow.table(flows).num_rows == len(visits.flows)

    def test_two_readers_do_not_share_the_flows(self, capture_file: Path) -> None:
        flows = aicore.flows(capture_file, batch_rows=2)
        readers = [pyarrow.RecordBatchReader.from_stream(flows) for _ in range(2)]
        readers[0].read_next_batch()
        with pytest.raises(Exception, match="these flows have another reader"):
            readers[1].read_next_batch()
        for use in (next, pyarrow.table, lambda flows: flows.to_pandas()):
            with pytest.raises(aicore.UsageError, match="these flows have another reader"):
                use(flows)

    def test_flows_that_are_closed_are_no_end_of_the_stream(self, capture_file: Path) -> None:
        with aicore.flows(capture_file, batch_rows=2) as flows:
            reader = pyarrow.RecordBatchReader.from_stream(flows)
            reader.read_next_batch()
        with pytest.raises(Exception, match="were closed before their end"):
            reader.read_next_batch()
        with pytest.raises(aicore.UsageError, match="these flows were closed before their end"):
            flows.to_arrow()

    def test_plugins_are_called_on_one_thread(self, capture_file: Path) -> None:
        """SQLite objects, for one, belong to the thread that made them."""

        class Hook:
            fields = (aicore.Field("number", "int", "from a table"),)
            threads: set[int] = set()

            @aicore.hookimpl
            def run_started(self) -> None:
                self.db = sqlite3.connect(":memory:")

            @aicore.hookimpl
            def flow_enrich(self, flows: aicore.FlowBatch) -> None:
                self.threads.add(threading.get_ident())
                (number,) = self.db.execute("SELECT 42").fetchone()
                flows.add("number", [number] * len(flows))

        flows = aicore.flows(capture_file, plugins=[Hook()], batch_rows=2)  # noqa: F841  # DuckDB looks for it
        connection = duckdb.connect(config={"threads": 4})
        assert connection.sql("SELECT DISTINCT number FROM flows").fetchall() == [(42,)]
        assert len(Hook.threads) == 1

    def test_a_program_may_end_amid_a_stream(self, capture_file: Path) -> None:
        program = """
import sys, pyarrow, duckdb, aicore
flows = aicore.flows(sys.argv[1], batch_rows=2)
reader = pyarrow.RecordBatchReader.from_stream(flows)
print(reader.read_next_batch().num_rows)
relation = duckdb.sql("SELECT count(*) FROM flows2") if (flows2 := aicore.flows(sys.argv[1])) else None
"""
        done = subprocess.run(
            [sys.executable, "-c", program, capture_file], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")

    def test_json_and_table_say_the_same(self, capture_file: Path) -> None:
        table = pyarrow.table(aicore.flows(capture_file)).to_pylist()
        for flow, row in zip(aicore.flows(capture_file), table, strict=True):
            record = json.loads(flow.to_json())
            for name, value in row.items():
                if name in ("opened", "first_seen", "last_seen"):
                    continue
                assert record.get(name) == value, name

# SPDX-License-Identifier: Apache-2.0
"""`jsonl:`: one record for each finished flow, or every event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aicore
from aicore.record.batch import FlowBatch
from aicore.testing.batches import event, flow_id, lives, make_batch


def records(path: Path, batches: list[FlowBatch], options: str = "") -> list[dict[str, Any]]:
    path.unlink(missing_ok=True)
    adaptor = aicore.open_adaptor(f"jsonl:{path}{options}")
    adaptor.connect(adaptor.url)
    for batch in batches:
        adaptor.write(batch if adaptor.events == "all" else batch.net())
    adaptor.close()
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]  # splitlines() would split at U+2028


def test_one_record_for_each_finished_flow(tmp_path: Path) -> None:
    living = make_batch(5, first=100)
    got = records(tmp_path / "f", [living, lives(range(3))])
    assert [record["flow_id"] for record in got] == [flow_id(n) for n in range(3)]
    assert {record["end_reason"] for record in got} == {"fin"}
    assert not {"event", "version", "new"} & got[0].keys()


def test_a_batch_without_finished_flows_writes_nothing(tmp_path: Path) -> None:
    assert records(tmp_path / "f", [make_batch(5)]) == []


def test_every_event_with_its_kind_and_version(tmp_path: Path) -> None:
    batch = lives(range(2), updates=2)
    got = records(tmp_path / "f", [batch], "?events=all")
    assert [(record["event"], record["version"], record["key"]) for record in got] == [
        (flow.event, flow.version, flow.key) for flow in batch
    ]


@pytest.mark.parametrize("torn", ['{"key":"10.0.0.0:1024', "{", '{"key":{"b":1}', '{"key":"x"}\0\0', "\0" * 5000])
def test_a_record_that_a_crash_cut_short_is_cut_away(tmp_path: Path, torn: str) -> None:
    whole = '{"key":"a","n":1}'
    (tmp_path / "f").write_text(f"{whole}\n{torn}")
    adaptor = aicore.open_adaptor(f"jsonl:{tmp_path / 'f'}")
    adaptor.connect(adaptor.url)
    adaptor.write(lives(range(3)).net())
    adaptor.close()
    first, *others = (tmp_path / "f").read_text().splitlines()
    assert first == whole
    assert [json.loads(line)["flow_id"] for line in others] == [flow_id(n) for n in range(3)]


def test_an_unknown_choice_of_events_is_an_error() -> None:
    with pytest.raises(aicore.UsageError, match="one of ended, all"):
        aicore.open_adaptor("jsonl:x?events=some")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=st.text(max_size=50))
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    """A line is one JSON object, whatever stands in it."""
    text = text.replace("\0", "")
    rows = [event("remove", 1, 1, httphost=text, dnsdomains=[text, "b"], note=text)]
    (got,) = records(tmp_path / "f", [FlowBatch.from_rows(rows)])
    assert (got.get("httphost", ""), got["dnsdomains"], got["note"]) == (text, [text, "b"], text)


def test_a_run_writes_what_flows_yields(capture_file: Path, tmp_path: Path) -> None:
    stack = aicore.StackLan()
    stack.add_database_adaptor(f"jsonl:{tmp_path / 'f'}")
    with aicore.PacketDispatcher(str(capture_file)) as dispatcher:
        dispatcher.stack = stack
        dispatcher.run()
    got = [json.loads(line) for line in (tmp_path / "f").read_text().splitlines()]
    expected = [json.loads(flow.to_json()) for flow in aicore.flows(capture_file)]
    for record in (*got, *expected):
        record.pop("seq")
    assert got == expected

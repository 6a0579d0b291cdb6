# SPDX-License-Identifier: Apache-2.0
"""Several workers give the records of one."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from captures.build import CAPTURES, dns, http, tls
from captures.files import Tcp, talks
from commandline import invoke

import aicore
from aicore.errors import UsageError
from aicore.run.workers import MAX, checked_workers

#: Captures of others, where there are some: a folder of files that pcap or pcapng readers take.
SHARED = os.environ.get("AICORE_CAPTURES", "")


class Collector:
    """Every event of each flow, in order, but for what tells the order of flows among each other."""

    def __init__(self) -> None:
        self.flows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.seq: list[int] = []

    @aicore.hookimpl
    def flow_batch(self, flows: aicore.FlowBatch) -> None:
        for flow in flows:
            record = {"event": flow.event, **flow.to_dict()}
            self.flows[flow.flow_id].append({name: value for name, value in record.items() if name != "seq"})
        self.seq += flows.column("seq")


def collect(path: Path, workers: int, *plugins: Any) -> tuple[Collector, aicore.RunSummary]:
    stack = aicore.StackLan(batch_rows=256)
    collector = Collector()
    for plugin in (*plugins, collector):
        stack.use(plugin)
    with aicore.PacketDispatcher(path, workers=workers, live=False, on_damage="warn") as dispatcher:
        dispatcher.stack = stack
        summary = dispatcher.run()
    assert collector.seq == list(range(1, len(collector.seq) + 1))
    return collector, summary


def assert_same(path: Path, *plugins: Any) -> None:
    expected, of_one = collect(path, 1, *plugins)
    for workers in (2, 3, 8):
        found, summary = collect(path, workers, *plugins)
        assert found.flows == expected.flows, (path.name, workers)
        counters = [{name: n for name, n in one.counters.items() if name != "batches"} for one in (of_one, summary)]
        assert counters[1] == counters[0], (path.name, workers)
        assert (summary.error, summary.broken_files) == (of_one.error, of_one.broken_files)
        assert len(summary.workers) == workers
        for name in ("flows_tcp", "flows_udp", "events"):
            assert sum(one[name] for one in summary.workers) == summary.counters[name]


@pytest.mark.parametrize("name", CAPTURES)
def test_every_capture_gives_the_same_records(name: str, tmp_path: Path) -> None:
    assert_same(CAPTURES[name]().write(tmp_path / name))


@pytest.mark.skipif(not SHARED, reason="AICORE_CAPTURES names no folder of captures")
def test_captures_of_others_give_the_same_records() -> None:
    for path in sorted(path for path in Path(SHARED).rglob("*") if path.is_file()):
        try:
            aicore.flows(path, live=False).close()
        except aicore.SourceError:
            continue
        assert_same(path)


class Chat(aicore.Protocol):
    """Names the user and counts the calls in its own state of the flow."""

    name = "chat"
    transports = ("tcp",)
    ports = (7000,)
    fields = (aicore.Field("chatuser", "str", "user"), aicore.Field("calls", "int", "how often it was asked"))

    def inspect(self, payload: bytes, flow: Any) -> Any:
        flow.state["calls"] = flow.state.get("calls", 0) + 1
        if not payload.endswith(b"\n"):
            return self.MORE
        return self.done(chatuser=payload.split()[1], calls=flow.state["calls"])


def test_python_protocols_are_asked_about_each_flow(tmp_path: Path) -> None:
    def chat(port: int) -> Tcp:
        talk = Tcp(("10.0.0.1", port), ("10.0.0.2", 7000)).open()
        for part in (b"HI ", f"user{port}".encode(), b"\n"):
            talk.say(part)
        return talk.close()

    path = talks(*(chat(10000 + i) for i in range(300))).write(tmp_path / "chats.pcap")

    def ends(workers: int) -> dict[str, dict[str, Any]]:
        collector, _ = collect(path, workers, Chat)
        return {flow_id: rows[-1] for flow_id, rows in collector.flows.items()}

    expected = ends(1)
    said = {(f"user{10000 + i}", 3) for i in range(300)}
    assert {(row["chatuser"], row["calls"]) for row in expected.values()} == said
    assert ends(3) == expected


def test_flows_of_several_workers(capture_file: Path) -> None:
    def found(workers: Any) -> list[tuple[str, str]]:
        return sorted((flow.flow_id, flow.to_json()) for flow in aicore.flows(capture_file, workers=workers))

    def without_seq(rows: list[tuple[str, str]]) -> list[Any]:
        return [{**json.loads(row), "seq": 0} for _, row in rows]

    assert without_seq(found(4)) == without_seq(found(1))
    assert len(found("auto")) == len(found(1))


def test_rows_of_a_flow_come_in_order_of_seq_in_a_store(tmp_path: Path) -> None:
    capture = talks(*(talk for i in range(200) for talk in (dns(42000 + i), http(40000 + i), tls(41000 + i))))
    path = capture.write(tmp_path / "a.pcap")
    database = tmp_path / "flows.db"
    result = invoke("run", path, "--workers", 3, "--to", f"sqlite:{database}", "--no-spool", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    assert [worker["packets"] > 0 for worker in summary["workers"]] == [True] * 3
    with sqlite3.connect(database) as connection:
        ((count,),) = connection.execute("SELECT count(DISTINCT flow_id) FROM flows")
    assert count == 600


def test_the_summary_tells_what_each_did(capture_file: Path, tmp_path: Path) -> None:
    result = invoke("run", capture_file, "--workers", "2", "--to", f"jsonl:{tmp_path / 'x.jsonl'}", "--no-spool")
    assert result.exit_code == 0, result.output
    assert "2 workers, packets of each: " in result.output


@pytest.mark.parametrize("workers", [0, MAX + 1, -1, True, 1.0, "many", None])
def test_what_is_no_number_of_workers(workers: Any, capture_file: Path) -> None:
    with pytest.raises(UsageError, match="workers must be a whole number from 1 to 64 or 'auto', not"):
        aicore.PacketDispatcher(capture_file, workers=workers)
    with pytest.raises(UsageError, match="workers must be"):
        checked_workers(workers)


@pytest.mark.parametrize("given", ["0", "65", "many", "-1", "1.5", ""])
def test_what_the_command_line_refuses(given: str, capture_file: Path) -> None:
    result = invoke("run", capture_file, f"--workers={given}")
    assert result.exit_code == 2
    assert "--workers" in result.output


def test_auto_leaves_a_core_to_the_thread_that_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, workers in ((1, 1), (2, 1), (3, 2), (9, 8), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, n=cores: set(range(n)))
        assert checked_workers("auto") == workers

# SPDX-License-Identifier: Apache-2.0
"""What each store of a run gets: kinds of events, transports, memory; and what the engine makes for all of them."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import aicore
from aicore.delivery import Delivery, Selection
from aicore.plugins.discovery import Plugins
from aicore.run.loop import Run
from aicore.run.source import Source
from aicore.run.stack import TCP, UDP, Attached
from aicore.run.stores import Needs, Store
from aicore.testing import event, flow_id

BOTH = {TCP: 32, UDP: 32}


class Kinds(aicore.DatabaseAdaptor):
    """An object of a program, of one record for each flow."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()

    def write(self, batch: aicore.FlowBatch) -> None:
        self.kinds.update(batch.column("event"))


def run(source: Any, *adaptors: Any, hooks: tuple[Any, ...] = ()) -> aicore.RunSummary:
    stack = aicore.StackLan()
    for adaptor in adaptors:
        stack.add_database_adaptor(adaptor)
    for hook in hooks:
        stack.use(hook)
    return Run(stack, Source.of(source)).run()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


# -- final records alone ---------------------------------------------------------------------------------------------


def test_of_a_capture_file_a_store_of_one_record_a_flow_gets_final_ones(
    capture_file: Path, visits: Any, tmp_path: Path
) -> None:
    flows = len(visits.flows)
    summary = run(capture_file, f"sqlite:{tmp_path}/flows.db")
    assert summary.counters["events"] == flows, "the engine makes no others"
    (store,) = summary.adaptors
    assert (store.counters["accepted"], store.counters["delivered"]) == (flows, flows)


@pytest.mark.parametrize("url", ["sqlite:{}?only=all", "jsonl:{}?events=all", "file:{}"])
def test_every_event_of_a_capture_file_where_it_is_asked_for(
    capture_file: Path, visits: Any, tmp_path: Path, url: str
) -> None:
    summary = run(capture_file, url.format(tmp_path / "out"))
    assert summary.counters["events"] >= 3 * len(visits.flows)


def test_an_object_of_a_program_gets_every_event(capture_file: Path, visits: Any, tmp_path: Path) -> None:
    own = Kinds()
    summary = run(capture_file, own, f"sqlite:{tmp_path}/flows.db")
    assert summary.counters["events"] >= 3 * len(visits.flows)
    by_name = {store.name: store.counters for store in summary.adaptors}
    assert by_name["kinds"]["filtered"] == 0
    assert by_name["sqlite"]["filtered"] == summary.counters["events"] - len(visits.flows)
    assert by_name["sqlite"]["delivered"] == len(visits.flows)
    assert all(sum(c[p] for p in ("delivered", "merged", "filtered")) == c["accepted"] for c in by_name.values())


def test_hooks_get_what_they_want_all_the_same(capture_file: Path, visits: Any, tmp_path: Path) -> None:
    class Hook:
        seen: Counter[str] = Counter()

        @aicore.hookimpl
        def flow_insert(self, flows: aicore.FlowBatch) -> None:
            self.seen.update(flows.column("event"))

    hook, flows = Hook(), len(visits.flows)
    summary = run(capture_file, f"sqlite:{tmp_path}/flows.db", hooks=(hook,))
    assert hook.seen == {"insert": flows}
    assert summary.counters["events"] == 2 * flows, "no updates, which nobody wants"
    assert summary.adaptors[0].counters["filtered"] == flows


def test_a_pipe_is_watched_live(capture_file: Path, visits: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = capture_file.read_bytes()
    writer = threading.Thread(target=lambda: pipe.write_bytes(content))
    writer.start()
    summary = run(pipe, f"sqlite:{tmp_path}/flows.db")
    writer.join()
    assert summary.counters["events"] >= 3 * len(visits.flows)


def test_sources_at_rest(capture_file: Path, tmp_path: Path) -> None:
    assert Source.of(capture_file).at_rest
    assert not Source.of("-", live=False).at_rest
    assert not Source.of([str(capture_file), "-"], live=False).at_rest
    assert not Source.of(tmp_path, follow=True).at_rest
    assert not Source.of("lo", live=True).at_rest


def test_a_store_that_is_told_row_by_row_gets_the_record_before_the_end(capture_file: Path, visits: Any) -> None:
    class Three(aicore.DatabaseAdaptor):
        url = aicore.AdaptorURL.parse("three:x")
        delivery = aicore.open_adaptor("memory:?only=ended").delivery

        def __init__(self) -> None:
            self.calls: list[tuple[str, str]] = []

        def insert(self, key: str) -> None:
            self.calls.append(("insert", key))

        def update(self, key: str, data: str) -> None:
            assert json.loads(data)["end_reason"]
            self.calls.append(("update", key))

        def remove(self, key: str) -> None:
            self.calls.append(("remove", key))

    three = Three()
    run(capture_file, three)
    assert len(three.calls) == 2 * len(visits.flows)
    assert {what for what, _ in three.calls[::2]} == {"update"}
    assert [key for _, key in three.calls[::2]] == [key for _, key in three.calls[1::2]]


# -- flows -----------------------------------------------------------------------------------------------------------


def test_transports_by_url(capture_file: Path, visits: Any, tmp_path: Path) -> None:
    tcp, udp = tmp_path / "tcp", tmp_path / "udp"
    summary = run(capture_file, f"jsonl:{tcp}?only=tcp", f"jsonl:{udp}?only=udp,ended")
    assert {record["proto"] for record in lines(tcp)} == {6}
    assert {record["proto"] for record in lines(udp)} == {17}
    assert len(lines(tcp)) + len(lines(udp)) == len(visits.flows)
    assert summary.adaptors[0].counters["filtered"] == len(lines(udp))

    alone = run(capture_file, f"jsonl:{tmp_path}/alone?only=udp")
    assert alone.counters["flows_tcp"] == 0, "what nobody gets is not tracked"
    assert alone.adaptors[0].counters["filtered"] == 0


def test_detections() -> None:
    rows = [event("remove", n, n + 1, detections=["r"] if n % 3 == 0 else None) for n in range(9)]
    batch = aicore.FlowBatch.from_rows(rows)
    found = Selection({6, 17}, detected=True).of(batch)
    assert found is not None
    assert found.column("flow_id") == tuple(flow_id(n) for n in (0, 3, 6))
    assert Selection({6, 17}, detected=True).of(batch.take([1, 2])) is None
    assert Selection({6, 17}, detected=True).of(aicore.FlowBatch.from_rows([event("remove", 1, 1)])) is None
    assert Selection({6, 17}).of(batch) is batch


def test_a_store_that_waits_for_detections_needs_somebody_who_detects(capture_file: Path) -> None:
    with pytest.raises(aicore.UsageError, match=r"memory:\?only=detected: .*plugin that detects"):
        run(capture_file, "memory:?only=detected")

    class Detects:
        fields = (aicore.Field("detections", "list[str]", "rules that matched"),)

        @aicore.hookimpl
        def flow_enrich(self, flows: aicore.FlowBatch) -> None:
            flows.add("detections", [["long"] if packets > 10 else None for packets in flows.column("packets")])

    summary = run(capture_file, "memory:?only=detected", hooks=(Detects(),))
    (store,) = summary.adaptors
    assert 0 < store.counters["delivered"] < store.counters["accepted"]
    assert store.counters["filtered"] == store.counters["accepted"] - store.counters["delivered"]


# -- what the engine makes -------------------------------------------------------------------------------------------


def of(url: str, every: dict[int, int] = BOTH, *, at_rest: bool = False) -> Store:
    return Store.of(Attached(url, dict(every)), Plugins(), at_rest=at_rest)


def test_sampling_is_what_all_stores_need() -> None:
    cases: list[tuple[list[str], int]] = [
        ([], 32),
        (["memory:"], 32),
        (["memory:?every=48", "memory:?every=64"], 16),
        (["memory:?every=0", "memory:?every=64"], 64),
        (["memory:?every=0"], 0),
        (["memory:?only=ended&every=3", "memory:?every=64"], 64),
        (["memory:?only=ended"], 0),
    ]
    for urls, sampled in cases:
        needs = Needs.of([of(url) for url in urls], BOTH, hooks=False)
        assert needs.every == {TCP: sampled, UDP: sampled}, urls
    assert Needs.of([of("memory:?every=48")], BOTH, hooks=True).every[TCP] == 16
    needs = Needs.of([of("memory:?only=tcp&every=5"), of("memory:?only=udp&every=7")], BOTH, hooks=False)
    assert needs.every == {TCP: 5, UDP: 7}


@pytest.mark.parametrize("options", ["only=all,ended", "only=nothing", "every=-1", "queue=0"])
def test_options_that_cannot_be(options: str) -> None:
    with pytest.raises(aicore.UsageError):
        of(f"memory:?{options}")


def test_what_nobody_tracks_is_refused() -> None:
    with pytest.raises(aicore.UsageError, match="nothing that it takes is tracked"):
        of("memory:?only=udp", {TCP: 32})


def test_the_queue_of_one_store(capture_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, int] = {}

    class Spy(Delivery):
        def __init__(self, name: str, *args: Any, **options: Any) -> None:
            made[name] = options["queue_bytes"]
            super().__init__(name, *args, **options)

    monkeypatch.setattr("aicore.run.deliveries.Delivery", Spy)
    run(capture_file, "memory:?queue=3", "jsonl:/dev/null")
    assert made == {"memory": 3 << 20, "jsonl": 64 << 20}

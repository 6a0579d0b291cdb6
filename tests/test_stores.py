# SPDX-License-Identifier: Apache-2.0
"""What each store of a run gets: kinds of events, transports, memory; and what the engine makes for all of them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pytest
from captures.build import http
from captures.files import Udp, talks
from captures.payloads import dns_query
from file_interface import FileInterface

import aicore
from aicore.delivery import Delivery, Selection
from aicore.plugins.discovery import Plugins
from aicore.run.loop import Run
from aicore.run.source import Source
from aicore.run.stack import TCP, UDP, Attached
from aicore.run.stores import Needs, Store
from aicore.testing import FaultyAdaptor, event, flow_id

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
    with pytest.raises(aicore.UsageError, match=r"memory:\?only=detected: .*detects, with the field detections"):
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


# -- sampled updates -------------------------------------------------------------------------------------------------


def test_of_samples_a_store_gets_its_own_multiples_and_every_discovery() -> None:
    rows = [event("update", 1, n, packets=n, sampled=n != 5) for n in range(1, 13)]
    batch = aicore.FlowBatch.from_rows([event("insert", 1, 0), *rows, event("remove", 1, 99, packets=12)])
    for n, expected in ((4, [4, 5, 8, 12]), (0, [5]), (1, list(range(1, 13)))):
        found = Selection({6, 17}, every={6: n, 17: 0}).of(batch)
        assert found is not None
        kinds = found.column("event")
        assert [p for p, kind in zip(found.column("packets"), kinds, strict=True) if kind == "update"] == expected
        assert (kinds[0], kinds[-1]) == ("insert", "remove")
    assert Selection({6, 17}, every={6: 1}).of(batch) is batch


class Rows(aicore.DatabaseAdaptor):
    """Every row with what is beside the record, but for its number in the run."""

    def __init__(self, events: Literal["all", "net"] = "all") -> None:
        self.events = events
        self.rows: list[dict[str, Any]] = []

    def write(self, batch: aicore.FlowBatch) -> None:
        for flow in batch:
            meta = {name: getattr(flow, name) for name in ("event", "new", "sampled")}
            self.rows.append({**flow.to_dict(), **meta, "seq": 0})


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UDP flows of 1 to 30 packets and TCP connections of many lengths, most of them recognised somewhere."""
    flows = [Udp(("192.0.2.1", 42000 + n), ("192.0.2.2", 53)) for n in range(30)]
    for packets, flow in enumerate(flows, 1):
        for packet in range(packets):
            flow.say(dns_query((f"{packet % 4}.example", 1)) if packets % 3 else b"something else")
    capture = talks(*flows, *(http(40000 + n, size=200 - 6 * n) for n in range(30)))
    return capture.write(tmp_path_factory.mktemp("many") / "many.pcap")


@pytest.mark.parametrize(("first", "second"), [(4, 6), (0, 5), (1, 3), (8, 24), (7, 7)])
def test_two_stores_get_what_each_would_get_alone(many: Path, first: int, second: int) -> None:
    def rows(*every: int) -> list[list[dict[str, Any]]]:
        stack = aicore.StackLan(batch_rows=64)
        stores = [Rows() for _ in every]
        for n, store in zip(every, stores, strict=True):
            stack.add_database_adaptor(store, every=n)
        Run(stack, Source.of(many)).run()
        return [store.rows for store in stores]

    together, alone = rows(first, second), [*rows(first), *rows(second)]
    assert together == alone
    samples = [sum(row["sampled"] for row in found) for found in alone]
    assert [n > 0 for n in samples] == [first > 0, True], "there is something to tell apart"


def test_two_urls_get_what_each_would_get_alone(many: Path, tmp_path: Path) -> None:
    urls = {n: f"jsonl:{tmp_path}/{{}}{n}?events=all&every={n}" for n in (4, 10)}

    def records(path: Path) -> list[dict[str, Any]]:
        return [{**record, "seq": 0, "version": 0} for record in lines(path)]

    run(many, *(url.format("together") for url in urls.values()))
    for n, url in urls.items():
        run(many, url.format("alone"))
        assert records(tmp_path / f"together{n}") == records(tmp_path / f"alone{n}")
    assert records(tmp_path / "alone4") != records(tmp_path / "alone10")


def test_the_three_methods_get_the_last_record_whatever_others_want(many: Path) -> None:
    """They see no remove record: a flow whose last packet was another store's sample must be told of it."""

    class Three(aicore.DatabaseAdaptor):
        def __init__(self) -> None:
            self.last: dict[str, int] = {}

        def update(self, key: str, data: str) -> None:
            self.last[key] = json.loads(data)["packets"]

    three, final = Three(), Rows()
    stack = aicore.StackLan()
    stack.add_database_adaptor(three, every=9)
    stack.add_database_adaptor(final, every=4)
    Run(stack, Source.of(many)).run()
    assert three.last == {row["key"]: row["packets"] for row in final.rows if row["event"] == "remove"}


def test_one_store_may_have_another_n_for_each_transport(many: Path, tmp_path: Path) -> None:
    store = Rows()
    stack = aicore.StackLan()
    stack.set_tcp_database_adaptor(store, 4)
    stack.set_udp_database_adaptor(store, 6)
    stack.add_database_adaptor(f"jsonl:{tmp_path}/other?every=5")
    Run(stack, Source.of(many)).run()
    samples = [row for row in store.rows if row["sampled"]]
    assert {row["proto"] for row in samples} == {6, 17}
    assert all(row["packets"] % (4 if row["proto"] == 6 else 6) == 0 for row in samples)


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


# -- a store that is away --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["run", "program"])
def test_a_live_run_gives_the_others_everything_while_one_store_is_away(
    long_capture: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue full, no spool: what is lost is lost to it alone."""
    dead, well = FaultyAdaptor("all"), FaultyAdaptor("all")
    dead.down = ConnectionError("away")
    stack = aicore.StackLan(batch_rows=256)
    stack.add_database_adaptor(dead)
    stack.add_database_adaptor(well)
    monkeypatch.setattr("aicore.api.dispatcher.Source", FileInterface)
    dispatcher = aicore.PacketDispatcher(long_capture, queue=1)

    def running() -> Run:
        return one or dispatcher._run  # type: ignore[return-value]

    class Interface:
        """No faster than the store that is well."""

        @aicore.hookimpl
        def flow_batch(self) -> None:
            while running().adaptors()[1].counters["queued"]:
                time.sleep(0.001)

        @aicore.hookimpl
        def run_finished(self) -> None:
            ended.cancel()

    stack.use(Interface())
    one = Run(stack, FileInterface.of(long_capture), queue_bytes=1 << 20) if by == "run" else None
    ended = threading.Timer(3.0, lambda: running().stop(0.0))
    ended.start()
    dispatcher.stack = stack
    summary = one.run() if one else dispatcher.run()
    assert summary.counters["not_admitted"] == 0
    assert summary.counters["flows_tcp"] == len(well.rows) == 5000
    away, healthy = (store.counters for store in summary.adaptors)
    assert away["delivered"] == 0
    assert away["shed"] > 0
    assert away["lost"] > 0
    assert healthy["delivered"] == healthy["accepted"]

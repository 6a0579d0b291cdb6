# SPDX-License-Identifier: Apache-2.0
"""A node that is killed or frozen in the middle of a run: no flow is lost or stands twice, no version goes back.

Each test has a long form under the marker `fault`; AICORE_TEST_SEED repeats a failing one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from captures import packets as p
from captures import payloads as pay
from captures.files import EPOCH, Capture, Frame
from commandline import start
from servers.elastic.reading import search
from servers.elastic.server import SHORT_RUN, ElasticsearchNode, Node
from servers.starting import or_skip

pytestmark = [pytest.mark.server, pytest.mark.timeout(3600)]

SEED = int(os.environ.get("AICORE_TEST_SEED", random.randrange(1 << 32)))
FLOWS = 30_000  # of a capture for one time; ten times take as long as three of them
LONG = pytest.param(10, marks=pytest.mark.fault)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of our own, to be harmed."""
    node = ElasticsearchNode(tmp_path_factory.mktemp("victim"), jvm=SHORT_RUN)
    with or_skip():
        node.start()
    yield node
    node.stop()


def questions(path: Path, flows: int) -> Path:
    """Thousands of questions and answers, begun before midnight and ended after it: documents of two indices."""
    capture, step = Capture(), 400_000
    base = (EPOCH // 86_400_000_000_000 + 1) * 86_400_000_000_000 - flows * step
    question = ("www.example.org", pay.A)
    query, answer = pay.dns_query(question), pay.dns_response(question, answers=[(pay.A, "192.0.2.7")])
    for n in range(flows):
        ends = ((f"10.{n >> 14}.{n >> 7 & 127}.{n & 127 or 200}", 1024 + n % 50_000), ("192.0.2.53", 53))
        for reverse in (False, True):
            a, b = ends[::-1] if reverse else ends
            data = p.ethernet(p.udp(*a, *b, answer if reverse else query))
            capture.frames.append(Frame(base + (2 * n + reverse) * step, data, len(data)))
    return capture.write(path)


def suffering(node: Node, index: str, tmp_path: Path, harm: Callable[[], None], times: int) -> None:
    """Runs aicore while `harm` is done to the node so many times, and looks at what is in the store then."""
    flows = FLOWS if times == 1 else 3 * FLOWS
    capture = questions(tmp_path / "questions.pcap", flows)
    rng = random.Random(SEED)
    versions: dict[str, int] = {}
    process = start(
        tmp_path, "run", capture, "--wait", "forever", "--every", 16,
        "--to", f"{node.url}/{index}", "--to", "jsonl:flows.jsonl",
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        harmed = before = 0
        while process.poll() is None:
            if harmed < times and count(node, index) > before + FLOWS // 12:
                time.sleep(rng.uniform(0, 0.3))
                running = process.poll() is None
                harm()
                harmed += running
                look(node, index, versions)
                before = count(node, index)
            time.sleep(0.02)
        _, err = process.communicate()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, f"seed {SEED}: {err}"
    assert harmed == times, f"seed {SEED}: the run ended before all the harm was done"
    look(node, index, versions)
    expected = [json.loads(line)["flow_id"] for line in (tmp_path / "flows.jsonl").read_text().splitlines()]
    found = [hit["_id"] for hit in search(node, index)]
    assert len(expected) == flows
    assert sorted(found) == sorted(expected), f"seed {SEED}: {len(found)} documents for {len(expected)} flows"
    ended = [hit for hit in search(node, index) if hit["_source"]["aicore"].get("end_reason")]
    assert len(ended) == flows, f"seed {SEED}"
    assert {hit["_index"] for hit in ended} == {f"{index}-2023.11.14", f"{index}-2023.11.15"}


def count(node: Node, index: str) -> int:
    """Documents, those not yet searchable too."""
    stats = node.request("GET", f"/{index}-*/_stats/docs,indexing?ignore_unavailable=true")
    total = stats.get("_all", {}).get("primaries", {})
    return int(total.get("indexing", {}).get("index_total", 0))


def look(node: Node, index: str, versions: dict[str, int]) -> None:
    """No version is below the one that was seen before."""
    for hit in search(node, index, source=False):
        assert hit["_version"] >= versions.get(hit["_id"], 0), f"seed {SEED}: {hit['_id']} went back"
        versions[hit["_id"]] = hit["_version"]


@pytest.mark.parametrize("times", [1, LONG])
def test_killed_and_started_again(victim: Node, index: str, tmp_path: Path, times: int) -> None:
    def harm() -> None:
        victim.kill()
        time.sleep(1)
        victim.start()

    suffering(victim, index, tmp_path, harm, times)


@pytest.mark.parametrize("times", [1, LONG])
def test_frozen_for_ten_seconds(victim: Node, index: str, tmp_path: Path, times: int) -> None:
    def harm() -> None:
        victim.freeze()
        time.sleep(10)
        victim.thaw()

    suffering(victim, index, tmp_path, harm, times)

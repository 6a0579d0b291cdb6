# SPDX-License-Identifier: Apache-2.0
"""docs/guarantees.md: the rows of these stores are made to happen, and show what they say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commandline import call
from guarantees import (
    FLOWS,
    Records,
    Row,
    Seen,
    check,
    harmed,
    rows_of,
    running,
    scenarios,
    started_later,
    until,
    visits,
)
from servers.elastic.front import certificate, tls_front
from servers.elastic.reading import search
from servers.elastic.server import SHORT_RUN, ElasticsearchNode, Node, OpensearchNode
from servers.starting import or_skip

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

KINDS = {"elasticsearch": ElasticsearchNode, "opensearch": OpensearchNode}
_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=list(KINDS))
def victim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of our own, to be harmed."""
    if request.param == "opensearch":
        pytest.importorskip("opensearchpy", reason="the extra `opensearch` is not installed")
    node = KINDS[request.param](tmp_path_factory.mktemp("victim"), jvm=SHORT_RUN)
    with or_skip():
        node.start()
    yield node
    node.stop()


class Place:
    """An index of its own on the node, and the run's folder."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node, self.folder = node, folder
        self.index = f"rows{next(_numbers)}"
        self.url = f"{node.url}/{self.index}"

    def records(self) -> Records:
        def ended() -> int:
            hits = search(self.node, self.index)
            return sum("end_reason" in hit["_source"]["aicore"] for hit in hits)

        return Records(lambda: len(search(self.node, self.index, source=False)), ended)

    def run(self, url: str) -> Seen:
        visits().write(self.folder / "visits.pcap")
        code, out, err = call(self.folder, "run", "visits.pcap", "-v", "--to", url, seconds=120)
        return Seen(code, out + err)


def killed(place: Place) -> Seen:
    return harmed(place.folder, place.url, place.records(), place.node.kill, place.node.start)


def stands_still(place: Place) -> Seen:
    return harmed(place.folder, place.url, place.records(), place.node.freeze, place.node.thaw)


def later(place: Place) -> Seen:
    place.node.stop()
    return started_later(place.folder, f"{place.url}?wait=forever", place.records(), place.node.start)


def rotated(place: Place) -> Seen:
    pem, file = certificate(place.folder), place.folder / "key"
    file.write_text("canary-old\n")
    with tls_front(place.node, pem, "ApiKey canary-old") as front:
        url = f"{place.node.kind}+https://localhost:{front.port}/{place.index}?ca={pem}&api_key=${{file:{file}}}"

        def change() -> None:
            front.allowed = "ApiKey canary-new"

        def write() -> None:
            file.write_text("canary-new\n")

        seen = harmed(place.folder, url, place.records(), change, write, "401")
    assert "canary" not in seen.text
    return seen


def wrong(place: Place) -> Seen:
    pem, file = certificate(place.folder), place.folder / "key"
    file.write_text("canary-wrong\n")
    with tls_front(place.node, pem, "ApiKey canary-right") as front:
        url = f"{place.node.kind}+https://localhost:{front.port}/{place.index}?ca={pem}&api_key=${{file:{file}}}"
        seen = place.run(url)
    assert "canary" not in seen.text
    return seen


def refused(place: Place) -> Seen:
    """Somebody has made the index, with a name as a number where one flow has a text."""
    place.node.request("PUT", f"/{place.index}", {"mappings": {"properties": {"source.port": {"type": "byte"}}}})
    capture = visits()
    capture.frames = capture.frames[:2]  # one flow
    capture.write(place.folder / "visits.pcap")
    url = f"{place.url}?period=none&adopt=yes"
    code, out, err = call(place.folder, "run", "visits.pcap", "-v", "--to", url, seconds=120)
    return Seen(code, out + err)


def index_closed(place: Place) -> Seen:
    with running(place.folder, f"{place.url}?wait=5") as one:
        one.feed(visits())
        until(lambda: place.records().all() == FLOWS)
        (index,) = {hit["_index"] for hit in search(place.node, place.index, source=False)}
        place.node.request("POST", f"/{index}/_close")
        one.end()
        seen = one.seen()
    place.node.request("POST", f"/{index}/_open?wait_for_active_shards=1")
    assert place.run(f"{place.url}?wait=30").code == 0
    assert place.records().ended() == FLOWS
    return seen


#: By the first words of the rows.
SCENARIOS: dict[str, Callable[[Place], Seen]] = {
    "the server is killed": killed,
    "the server stands still": stands_still,
    "the server is started after": later,
    "its password or key is changed": rotated,
    "the password or key is wrong": wrong,
    "the server refuses a row": refused,
    "the index of a day": index_closed,
}
ROWS = [row for row, _ in rows_of("elasticsearch")]


@pytest.mark.parametrize("store", list(KINDS))
def test_every_row_is_run(store: str) -> None:
    found = [scenarios(SCENARIOS, row) for row, _ in rows_of(store)]
    assert found == [[do] for do in SCENARIOS.values()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_a_row_of_the_table(row: Row, victim: Node, tmp_path: Path) -> None:
    (do,) = scenarios(SCENARIOS, row)
    check(row, do(Place(victim, tmp_path)))

# SPDX-License-Identifier: Apache-2.0
"""Whole runs of the command line: the store holds what `jsonl:` writes, however often the capture is read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from captures.build import CAPTURES
from commandline import invoke
from servers.elastic.reading import records, search
from servers.elastic.server import Node

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

PUBLIC = Path(os.environ.get("AICORE_ORACLE") or Path(__file__).parents[4] / "shared" / "pcaps") / "pcap"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def run(captures: Sequence[Path], url: str, lines: Path) -> list[dict[str, Any]]:
    """Reads captures into the store and beside it into JSON lines, which are returned."""
    lines.unlink(missing_ok=True)
    # A busy machine may take its time for the first documents.
    done = invoke("run", *captures, "--every", 16, "--wait", "forever", "--to", url, "--to", f"jsonl:{lines}")
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in lines.read_text().splitlines()]


def check(node: Node, index: str, expected: Iterable[dict[str, Any]], *, same_run: bool = True) -> None:
    """One document a flow, every field as in the record; `seq` only if both are of the same run."""
    drop = set() if same_run else {"seq"}
    wanted = {record["flow_id"]: {k: v for k, v in record.items() if k not in drop} for record in expected}
    found = {record["flow_id"]: {k: v for k, v in record.items() if k not in drop} for record in records(node, index)}
    assert found.keys() == wanted.keys()
    different = {flow: (found[flow], wanted[flow]) for flow in wanted if found[flow] != wanted[flow]}
    assert not different, next(iter(different.values()))
    assert len(search(node, index)) == len(wanted)


def compare(captures: Sequence[Path], node: Node, index: str, tmp_path: Path) -> int:
    """Reads the captures twice; returns the number of flows."""
    url = f"{node.url}/{index}?period=none"
    first = run(captures, url, tmp_path / "flows.jsonl")
    check(node, index, first)
    second = run(captures, url, tmp_path / "flows.jsonl")
    check(node, index, second)
    check(node, index, first, same_run=False)
    return len(first)


def test_the_projects_captures(node: Node, index: str, tmp_path: Path) -> None:
    captures = [CAPTURES[name]().write(tmp_path / f"{name}.pcap") for name in CAPTURES]
    assert compare(captures, node, index, tmp_path) >= len(captures)


def test_public_captures(node: Node, index: str, tmp_path: Path) -> None:
    captures = sorted(path for path in PUBLIC.glob("*") if path.is_file()) if PUBLIC.is_dir() else []
    if not captures:
        pytest.skip(f"no captures in {PUBLIC}")
    assert compare(captures, node, index, tmp_path) > 500


@pytest.mark.fault
def test_a_large_capture(node: Node, index: str, tmp_path: Path) -> None:
    capture = os.environ.get("AICORE_LARGE_CAPTURE")
    if capture is None:
        pytest.skip("AICORE_LARGE_CAPTURE names no capture")
    print(compare([Path(capture)], node, index, tmp_path), "flows")


def test_a_second_run_of_dated_indices(node: Node, index: str, tmp_path: Path) -> None:
    capture = CAPTURES["dns_many"]().write(tmp_path / "dns.pcap")
    for _ in range(2):
        expected = run([capture], f"{node.url}/{index}", tmp_path / "flows.jsonl")
        check(node, index, expected)
    assert {hit["_index"] for hit in search(node, index)} == {f"{index}-2023.11.14"}


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    capture = CAPTURES["dns_many"]().write(tmp_path / "dns.pcap")
    done = invoke("run", capture, "--to", "elasticsearch://user:canary-4711@127.0.0.1:1")
    assert done.exit_code not in (0, None)
    assert "Connection refused" in done.output
    assert "canary-4711" not in done.output

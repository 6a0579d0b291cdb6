# SPDX-License-Identifier: Apache-2.0
"""Every conversation of `messages` through the engine: recognised by its payload, with these values, however it is cut
into packets; and by nobody where nobody may."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pytest
from captures.files import Tcp, talks
from messages import TALKS
from talk import Talk

import aicore
from aicore._core import Registry


def read(talk: Talk, path: Path, size: int = Tcp.MSS, v6: bool = False) -> aicore.Flow:
    (flow,) = aicore.flows(str(talks(talk.conversation(size, v6)).write(path / "talk.pcap")))
    return flow


def check(flow: aicore.Flow, talk: Talk) -> None:
    assert (flow.layer7 if flow.layer7_by == "payload" else None) == talk.layer7
    wanted = {name: tuple(value) if isinstance(value, list) else value for name, value in talk.fields.items()}
    assert {name: getattr(flow, name) for name in wanted} == wanted
    assert "anomaly" in talk.fields or flow.anomaly is None


@pytest.mark.parametrize("name", TALKS)
def test_recognised(name: str, tmp_path: Path) -> None:
    check(read(TALKS[name], tmp_path), TALKS[name])
    check(read(TALKS[name], tmp_path, v6=True), TALKS[name])


@pytest.mark.parametrize("name", [name for name, talk in TALKS.items() if talk.transport == "tcp" and not talk.middle])
def test_in_small_segments(name: str, tmp_path: Path) -> None:
    for size in (1, 7):
        check(read(TALKS[name], tmp_path, size), TALKS[name])


def test_every_protocol_is_loaded_and_every_field_is_tested() -> None:
    entries = {entry.name: entry for entry in distribution("aicore-protocols").entry_points}
    rows = {row.name: row.status for row in aicore.list_plugins() if row.distribution == "aicore-protocols"}
    assert rows == {f"protocol:{name}": "ok" for name in entries}
    registry = Registry()
    for entry in entries.values():
        registry.add(entry.load())
    tested = {name for talk in TALKS.values() for name, value in talk.fields.items() if value is not None}
    assert [field["name"] for field in registry.fields() if field["name"] not in tested] == []
    assert {talk.layer7 for talk in TALKS.values()} >= set(entries)

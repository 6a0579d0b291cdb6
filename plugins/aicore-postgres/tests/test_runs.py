# SPDX-License-Identifier: Apache-2.0
"""Whole runs: the table holds every flow of a capture once, field by field, by the commands that people type."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from beside_jsonl import DEMO, real_captures, run
from captures.build import CAPTURES, dns, http, tls
from captures.files import talks
from commandline import call, environment
from conftest import Place
from servers.starting import free_port
from support import microseconds, record, write

from aicore.testing import make_batch

pytestmark = pytest.mark.server


def by_id(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {one["flow_id"]: one for one in records}
    assert len(found) == len(records)
    return found


def check(place: Place, records: Sequence[dict[str, Any]]) -> None:
    """Every field of the JSON, and no other."""
    wanted = by_id(records)
    for one in wanted.values():
        one |= {name: microseconds(one[name]) for name in ("opened", "first_seen", "last_seen")}
    assert {flow: record(row) for flow, row in by_id(place.records()).items()} == wanted


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("demo", ""),
        ("demo", "&partition=day"),
        ("vlan_twins", ""),
        ("dns_many", ""),
        ("dns_many", "&mode=append"),
        ("out_of_order", "&partition=day"),
    ],
)
def test_the_projects_captures_field_by_field(place: Place, tmp_path: Path, name: str, options: str) -> None:
    path = DEMO if name == "demo" else CAPTURES[name]().write(tmp_path / f"{name}.pcap")
    check(place, run(tmp_path, place.url + options, path))


def test_reading_again_changes_seq_and_version_alone(place: Place, tmp_path: Path) -> None:
    check(place, run(tmp_path, f"{place.url}&only=all", DEMO))
    before, old = by_id(place.records()), place.versions()
    check(place, run(tmp_path, place.url, DEMO))
    after, new = by_id(place.records()), place.versions()
    assert [{**one, "seq": 0} for one in before.values()] == [{**after[flow], "seq": 0} for flow, one in before.items()]
    assert all(new[flow] > old[flow] for flow in old)


def test_real_captures_field_by_field(place: Place, tmp_path: Path) -> None:
    captures = real_captures()
    records = run(tmp_path, place.url, *captures)
    assert len(records) > 300
    check(place, records)


def test_ended_flows_deleted(place: Place, tmp_path: Path) -> None:
    assert run(tmp_path, f"{place.url}&ended=delete&only=all", DEMO)
    assert place.records() == []


def test_check_says_what_is_wrong(place: Place, tmp_path: Path) -> None:
    """And makes the table, where create=yes says so: an owner's command for a sensor that may only write."""
    url = place.url.replace("&create=yes", "")
    code, out, _ = call(tmp_path, "check", DEMO, "--connect", "--to", url)
    assert code == 1
    assert "there is no table" in out
    assert place.server.password not in out
    for right in (place.url, url):
        code, out, err = call(tmp_path, "check", DEMO, "--connect", "--to", right)
        assert code == 0, out + err
    assert place.records() == []


def test_the_command_line_takes_the_password_from_the_environment(place: Place, tmp_path: Path) -> None:
    url = place.url.replace(f":{place.server.password}@", "@")
    good = environment(tmp_path, AICORE_POSTGRES_PASSWORD=place.server.password)
    code, _, err = call(tmp_path, "run", DEMO, "--to", url, environ=good)
    assert code == 0, err
    bad = environment(tmp_path, AICORE_POSTGRES_PASSWORD="canary-4711")
    code, out, err = call(tmp_path, "run", DEMO, "--to", url, environ=bad)
    assert code != 0
    assert "password authentication failed" in err
    assert "canary" not in out + err


def test_a_wrong_url_is_refused_before_the_first_packet(tmp_path: Path) -> None:
    code, _, err = call(tmp_path, "run", DEMO, "--to", "postgres://127.0.0.1/flows?partition=week")
    assert code == 2
    assert "partition must be one of none, day, hypertable" in err


def test_what_a_server_that_is_away_has_not_taken_waits_in_the_spool(place: Place, tmp_path: Path) -> None:
    """And goes in first at the next start, over whatever way the server is reached then."""
    visits = talks(*(talk for n in range(20) for talk in (dns(42000 + n), http(40000 + n), tls(41000 + n))))
    path = visits.write(tmp_path / "visits.pcap")
    port = free_port()
    away = place.url.replace(str(place.server.port), str(port))
    write(place.url, make_batch(1))
    options = ("--wait", "1", "--spool", tmp_path / "spool")
    code, _, err = call(tmp_path, "run", path, *options, "--to", away)
    assert code == 1, err
    assert "events wait in the spool" in err
    assert len(place.records()) == 1
    code, out, _ = call(tmp_path, "spool", "--spool", tmp_path / "spool", "list")
    assert code == 0
    assert str(port) in out
    settings = place.server.port
    place.server.stop()
    place.server.port = port
    place.server.start()
    try:
        code, _, err = call(tmp_path, "run", DEMO, "--spool", tmp_path / "spool", "--to", away)
        assert code == 0, err
        demo = run(tmp_path, "memory:", DEMO)
        assert len(place.records()) == 1 + len(visits.flows) + len(demo)
    finally:
        place.server.stop()
        place.server.port = settings
        place.server.start()


def test_dead_letters_are_replayed_and_newer_records_stay(place: Place, tmp_path: Path) -> None:
    write(place.url, make_batch(1))
    place.ask("ALTER TABLE flows ADD CONSTRAINT no_dns CHECK (portdst IS DISTINCT FROM 53) NOT VALID")
    options = ("--spool", tmp_path / "spool", "--to", place.url)
    code, _, err = call(tmp_path, "run", DEMO, *options)
    assert code != 0, err
    code, out, _ = call(tmp_path, "deadletter", "list", "--json", "--spool", tmp_path / "spool")
    (file,) = json.loads(out)
    records = run(tmp_path, "memory:", DEMO)
    refused = [one for one in records if one["portdst"] == 53]
    assert file["rows"] == len(refused) > 0
    assert len(place.records()) == 1 + len(records) - len(refused)
    place.ask("ALTER TABLE flows DROP CONSTRAINT no_dns")
    newer = refused[0]["flow_id"]
    write(place.url, make_batch(1, version=1 << 62, flow_id=newer, layer7="newer"))
    for _ in range(2):
        code, out, err = call(tmp_path, "deadletter", "replay", file["path"], place.url)
        assert code == 0, out + err
        found = by_id(place.records())
        assert len(found) == 1 + len(records)
        assert found[newer]["layer7"] == "newer"

# SPDX-License-Identifier: Apache-2.0
"""docs/guarantees.md: the rows of this store are made to happen, and show what they say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cassandra import InvalidRequest
from cassandra.cluster import NoHostAvailable
from commandline import call
from conftest import Keyspace, lets_in
from guarantees import Records, Row, Seen, check, harmed, rows_of, scenarios, started_later, visits

from aicore.testing.proxy import CutProxy


def records(keyspace: Keyspace) -> Records:
    keyspace.make()

    def ended() -> int:
        keyspace.wait()
        return sum("end_reason" in record for record in keyspace.records())

    def found() -> int:
        with contextlib.suppress(InvalidRequest, NoHostAvailable):  # there is no table yet, or it is being made
            return len(keyspace.records())
        return 0

    return Records(found, ended)


def killed(keyspace: Keyspace, folder: Path) -> Seen:
    server = keyspace.server
    return harmed(folder, keyspace.url, records(keyspace), server.kill, server.start)


def stands_still(keyspace: Keyspace, folder: Path) -> Seen:
    server = keyspace.server
    return harmed(folder, keyspace.url, records(keyspace), server.freeze, server.thaw)


def later(keyspace: Keyspace, folder: Path) -> Seen:
    found = records(keyspace)
    keyspace.server.stop()
    return started_later(folder, f"{keyspace.url}&wait=forever", found, keyspace.server.start)


def rotated(keyspace: Keyspace, folder: Path) -> Seen:
    file = folder / "password"
    file.write_text("canary-old\n")
    found, server, role = records(keyspace), keyspace.server, f"rotating_{keyspace.name}"
    keyspace.ask(f"CREATE ROLE {role} WITH PASSWORD = 'canary-old' AND LOGIN = true")
    keyspace.ask(f"GRANT ALL ON KEYSPACE {{}} TO {role}")

    with CutProxy(server.host, server.port) as proxy:

        def change() -> None:
            keyspace.ask(f"ALTER ROLE {role} WITH PASSWORD = 'canary-new'")
            while lets_in(server, role, "canary-old"):
                time.sleep(0.1)
            proxy.cut()
            proxy.mend()

        def write() -> None:
            file.write_text("canary-new\n")

        url = f"cassandra://{role}:${{file:{file}}}@127.0.0.1:{proxy.port}/{keyspace.name}?create=yes"
        seen = harmed(folder, url, found, change, write, "incorrect")
    assert "canary" not in seen.text
    return seen


def wrong(keyspace: Keyspace, folder: Path) -> Seen:
    (folder / "password").write_text("canary-wrong\n")
    visits().write(folder / "visits.pcap")
    url = f"cassandra://cassandra:${{file:{folder}/password}}@{keyspace.server.address}/{keyspace.name}"
    code, out, err = call(folder, "run", "visits.pcap", "-v", "--to", url, seconds=120)
    assert "canary" not in out + err
    return Seen(code, out + err)


#: By the first words of the rows.
SCENARIOS: dict[str, Callable[[Keyspace, Path], Seen]] = {
    "the server is killed": killed,
    "the server stands still": stands_still,
    "the server is started after": later,
    "its password or key is changed": rotated,
    "the password or key is wrong": wrong,
}
ROWS = [row for row, _ in rows_of("cassandra")]


def test_every_row_is_run() -> None:
    found = [scenarios(SCENARIOS, row) for row in ROWS]
    assert found == [[do] for do in SCENARIOS.values()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_a_row_of_the_table(row: Row, keyspace: Keyspace, tmp_path: Path) -> None:
    (do,) = scenarios(SCENARIOS, row)
    check(row, do(keyspace, tmp_path))

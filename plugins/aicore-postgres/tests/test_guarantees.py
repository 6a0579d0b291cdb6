# SPDX-License-Identifier: Apache-2.0
"""docs/guarantees.md: the rows of this store are made to happen, and show what they say."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from commandline import call
from conftest import Place, begun, made
from guarantees import Records, Row, Seen, check, harmed, rows_of, scenarios, started_later, visits
from servers.postgres.server import PostgresServer

from aicore.testing.proxy import CutProxy

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def victim() -> Iterator[PostgresServer]:
    """To be harmed; what it has confirmed outlasts that."""
    server = begun()
    yield server
    server.remove()


def records(place: Place) -> Records:
    def count(where: str = "") -> int:
        with contextlib.suppress(psycopg.errors.UndefinedTable):  # there is none yet
            (row,) = place.ask(f"SELECT count(*) AS n FROM flows {where}")
            return int(row["n"])
        return 0

    return Records(count, lambda: count("WHERE end_reason IS NOT NULL"))


def killed(place: Place, folder: Path) -> Seen:
    return harmed(folder, place.url, records(place), place.server.kill, place.server.start)


def stands_still(place: Place, folder: Path) -> Seen:
    return harmed(folder, place.url, records(place), place.server.freeze, place.server.thaw)


def later(place: Place, folder: Path) -> Seen:
    place.server.stop()
    return started_later(folder, f"{place.url}&wait=120", records(place), place.server.start)


def rotated(place: Place, folder: Path) -> Seen:
    file, role, server = folder / "password", f"rotating_{place.schema}", place.server
    file.write_text("canary-old\n")
    place.ask(f"CREATE ROLE {role} LOGIN PASSWORD 'canary-old'")
    place.ask(f"GRANT ALL ON SCHEMA {place.schema} TO {role}")
    with CutProxy(server.host, server.port) as proxy:

        def change() -> None:
            place.ask(f"ALTER ROLE {role} PASSWORD 'canary-new'")
            proxy.cut()
            proxy.mend()

        def write() -> None:
            file.write_text("canary-new\n")

        url = place.login(role, f"${{file:{file}}}").replace(server.address, f"127.0.0.1:{proxy.port}")
        seen = harmed(folder, f"{url}&create=yes", records(place), change, write, "authentication failed")
    assert "canary" not in seen.text
    return seen


def wrong(place: Place, folder: Path) -> Seen:
    (folder / "password").write_text("canary-wrong\n")
    visits().write(folder / "visits.pcap")
    url = place.login("postgres", f"${{file:{folder}/password}}")
    code, out, err = call(folder, "run", "visits.pcap", "-v", "--to", url)
    assert "canary" not in out + err
    return Seen(code, out + err)


#: By the first words of the rows.
SCENARIOS: dict[str, Callable[[Place, Path], Seen]] = {
    "the server is killed": killed,
    "the server stands still": stands_still,
    "the server is started after": later,
    "its password or key is changed": rotated,
    "the password or key is wrong": wrong,
}
ROWS = [row for row, _ in rows_of("postgres")]


def test_every_row_is_run() -> None:
    found = [scenarios(SCENARIOS, row) for row in ROWS]
    assert found == [[do] for do in SCENARIOS.values()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_a_row_of_the_table(row: Row, victim: PostgresServer, tmp_path: Path) -> None:
    (do,) = scenarios(SCENARIOS, row)
    check(row, do(made(victim), tmp_path))

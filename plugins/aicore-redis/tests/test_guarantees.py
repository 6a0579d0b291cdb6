# SPDX-License-Identifier: Apache-2.0
"""docs/guarantees.md: the rows of this store are made to happen, and show what they say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
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
from server import Server


def records(server: Server) -> Records:
    def found() -> list[dict[str, object]]:
        return [json.loads(text) for text in server.ask("HVALS", "udpflows")]

    return Records(lambda: len(found()), lambda: sum("end_reason" in record for record in found()))


def killed(server: Server, folder: Path) -> Seen:
    return harmed(folder, f"{server.url}?ended=keep", records(server), server.kill, server.start)


def stands_still(server: Server, folder: Path) -> Seen:
    return harmed(folder, f"{server.url}?ended=keep&timeout=0.5", records(server), server.pause, server.go_on)


def later(server: Server, folder: Path) -> Seen:
    server.end()
    return started_later(folder, f"{server.url}?ended=keep&wait=60", records(server), server.start)


def loads(server: Server, folder: Path) -> Seen:
    with server.client() as client:
        client.mset({f"key:{n}": "value" for n in range(4000)})
    server.ask("BGREWRITEAOF")
    until(lambda: not server.ask("INFO", "persistence")["aof_rewrite_in_progress"])
    server.kill()
    server.start(wait=False, key_load_delay=1000, loading_process_events_interval_bytes=1024)
    time.sleep(0.2)
    visits().write(folder / "visits.pcap")
    code, out, err = call(folder, "run", "visits.pcap", "-v", "--to", f"{server.url}?ended=keep")
    assert records(server).ended() == FLOWS
    return Seen(code, out + err)


def rotated(server: Server, folder: Path) -> Seen:
    file = folder / "password"
    file.write_text("canary-old\n")
    server.ask("ACL", "SETUSER", "flows", "on", ">canary-old", "~*", "+@all")

    def change() -> None:
        server.ask("ACL", "SETUSER", "flows", "resetpass", ">canary-new")
        server.ask("CLIENT", "KILL", "USER", "flows")

    url = server.url.replace("//", f"//flows:${{file:{file}}}@") + "?ended=keep"
    seen = harmed(folder, url, records(server), change, lambda: bool(file.write_text("canary-new\n")), "WRONGPASS")
    assert "canary" not in seen.text
    return seen


def wrong(server: Server, folder: Path) -> Seen:
    (folder / "password").write_text("canary-wrong\n")
    visits().write(folder / "visits.pcap")
    url = server.url.replace("//", f"//flows:${{file:{folder}/password}}@")
    code, out, err = call(folder, "run", "visits.pcap", "-v", "--to", url)
    assert "canary" not in out + err
    return Seen(code, out + err)


def refused(server: Server, folder: Path) -> Seen:
    """One flow's hash is something else."""
    visits().write(folder / "visits.pcap")
    call(folder, "run", "visits.pcap", "--to", f"{server.url}?layout=flow&ended=keep")
    one, *others = server.ask("KEYS", "flow:*")
    server.ask("DEL", one, *others)
    server.ask("SET", one, "mine")
    code, out, err = call(folder, "run", "visits.pcap", "-v", "--to", f"{server.url}?layout=flow&ended=keep")
    assert len(server.ask("KEYS", "flow:*")) == FLOWS
    return Seen(code, out + err)


def memory_full(server: Server, folder: Path) -> Seen:
    with running(folder, f"{server.url}?ended=keep&wait=2") as one:
        one.feed(visits())
        until(lambda: records(server).all() == FLOWS)
        server.ask("CONFIG", "SET", "maxmemory", "1")
        one.end()
        return one.seen()


#: By the first words of the rows.
SCENARIOS: dict[str, Callable[[Server, Path], Seen]] = {
    "the server is killed": killed,
    "the server stands still": stands_still,
    "the server is started after": later,
    "the server is there and still loads": loads,
    "its password or key is changed": rotated,
    "the password or key is wrong": wrong,
    "the server refuses a row": refused,
    "the server's memory": memory_full,
}
ROWS = [row for row, _ in rows_of("redis")]


def test_every_row_is_run() -> None:
    found = [scenarios(SCENARIOS, row) for row in ROWS]
    assert found == [[do] for do in SCENARIOS.values()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_a_row_of_the_table(row: Row, server: Server, tmp_path: Path) -> None:
    (do,) = scenarios(SCENARIOS, row)
    check(row, do(server, tmp_path))

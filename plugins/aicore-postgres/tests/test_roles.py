# SPDX-License-Identifier: Apache-2.0
"""The README's roles, by its own statements and commands: each can what it should, and nothing else."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import psycopg
import pytest
from commandline import call, environment
from conftest import Place
from servers.postgres.server import PostgresServer
from support import connected, write

from aicore.errors import Fatal
from aicore.testing import make_batch

pytestmark = pytest.mark.server

README = Path(__file__).resolve().parents[1] / "README.md"
DEMO = Path(__file__).resolve().parents[3] / "tests" / "captures" / "demo.pcap"


def test_the_roles_of_the_page(server: PostgresServer, tmp_path: Path) -> None:
    page = README.read_text().partition("## Roles")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    commands = re.findall(r"^    aicore (.*)$", page, re.MULTILINE)
    assert (len(blocks), len(commands)) == (2, 2)
    (tmp_path / "capture.pcap").symlink_to(DEMO)
    place = Place(server, "net")
    for sql, command, role in zip(blocks, commands, ("owner", "sensor"), strict=True):
        for statement in filter(str.strip, sql.split(";")):
            place.ask(statement)
        words = [word.replace("localhost", server.address) for word in shlex.split(command)]
        code, out, err = call(tmp_path, *words, environ=environment(tmp_path, PW=f"{role}-password"))
        assert code == 0, out + err
    assert len(place.records()) == 87
    sensor = place.login("flows_sensor", "sensor-password")
    write(sensor, make_batch(2))
    for statement, role in (
        ("DELETE FROM net.flows", "sensor"),
        ("DROP TABLE net.flows", "sensor"),
        ("CREATE TABLE net.mine ()", "sensor"),
        ("ALTER TABLE net.flows ADD COLUMN mine text", "sensor"),
        ("INSERT INTO net.flows (flow_id, version) VALUES ('x', 1)", "reader"),
        ("UPDATE net.flows SET bytes = 0", "reader"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _as(server, role, statement)
    _as(server, "reader", "SELECT * FROM net.flows")
    with pytest.raises(Fatal, match="permission denied"):
        write(place.login("flows_reader", "reader-password"), make_batch(1))
    with pytest.raises(Fatal, match="must be owner"):
        write(f"{sensor}&create=yes", make_batch(1, newfield=1))
    # ended=delete and ttl, and appending with one right alone
    with pytest.raises(Fatal, match="permission denied"):
        write(f"{sensor}&ended=delete", make_batch(1, kind="remove"))
    place.ask("GRANT DELETE ON net.flows TO flows_sensor")
    write(f"{sensor}&ended=delete", make_batch(2, kind="remove", version=10))
    write(f"{sensor}&ttl=3600", make_batch(1, version=20))
    owner = place.login("flows_owner", "owner-password", "appended")
    connected(f"{owner}&mode=append&create=yes").close()
    place.ask("GRANT INSERT ON net.appended TO flows_sensor")
    write(f"{place.login('flows_sensor', 'sensor-password', 'appended')}&mode=append", make_batch(2))
    assert len(place.records("appended")) == 2


def _as(server: PostgresServer, role: str, statement: str) -> None:
    with psycopg.connect(
        host=server.host, port=server.port, dbname="postgres", user=f"flows_{role}", password=f"{role}-password"
    ) as connection:
        connection.execute(statement.encode())

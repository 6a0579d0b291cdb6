# SPDX-License-Identifier: Apache-2.0
"""URLs, credentials, rights, and servers that are not there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aicore_cassandra import CassandraAdaptor
from aicore_cassandra.target import parse_target
from captures.build import dns, http, tls
from captures.files import talks
from cassandra.cluster import NoHostAvailable
from commandline import call, environment
from conftest import Keyspace, lets_in
from servers.starting import free_port
from support import connected, kinds, write

import aicore
from aicore import Option, open_adaptor
from aicore.delivery import Delivery
from aicore.errors import Fatal, UsageError
from aicore.run.replay import deadletter_replay
from aicore.testing import lives, make_batch
from aicore.testing.proxy import CutProxy

CANARY = "canary-4711-p/w@d"


def test_hosts_keyspace_and_login() -> None:
    target = parse_target("cassandra://me:p%2Fw%40d@db1,db2:9043,[::1]:9044/flows2?create=yes")
    assert target.hosts == (("db1", 9042), ("db2", 9043), ("::1", 9044))
    assert (target.keyspace, target.user, target.password) == ("flows2", "me", "p/w@d")
    assert "p/w@d" not in repr(target)
    assert parse_target("localhost").hosts == (("localhost", 9042),)
    assert parse_target("cassandra://").keyspace == "aicore"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("cassandra://h/Flows", "the path of the URL is a keyspace: a name is a small letter"),
        ("cassandra://h/a/b", "the path of the URL is a keyspace"),
        ("cassandra://h:port/flows", "hosts are written as"),
        ("cassandra://h:99999/flows", "hosts are written as"),
        ("cassandra://h,,i/flows", "hosts are written as"),
        ("cassandra://me@h/flows", "a user needs a password"),
        ("cassandra://h/flows?table=x;y", "option table cannot be"),
        ("cassandra://h/flows?ended=drop", "ended must be one of keep, delete"),
        ("cassandra://h/flows?ttl=-1", "ttl must be at least 0"),
        ("cassandra://h/flows?consistency=most", "consistency must be one of"),
        ("cassandra://h/flows?by_hosts=no", "did you mean by_host"),
        ("cassandra://h/flows?by_host=no&preset=seed", "by_host means nothing with preset=seed"),
    ],
)
def test_wrong_urls(url: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        open_adaptor(url)


def test_where_ended_flows_are_deleted_old_records_are_not_replayed(tmp_path: Path) -> None:
    """Nothing is known of a flow that was deleted yesterday: an old record of it would stand there as if it lived."""
    with pytest.raises(UsageError, match="is left out"):
        deadletter_replay(tmp_path / "letters", "cassandra://127.0.0.1:1?ended=delete")
    with pytest.raises(UsageError, match="there is no file"):
        deadletter_replay(tmp_path / "letters", "cassandra://127.0.0.1:1")


def test_not_connected() -> None:
    with pytest.raises(Fatal, match="not connected"):
        CassandraAdaptor().write(make_batch(1))
    CassandraAdaptor().close()


def test_nobody_listens() -> None:
    begun = time.monotonic()
    adaptor = open_adaptor(f"cassandra://127.0.0.1:{free_port()}/flows")
    with pytest.raises(NoHostAvailable, match=r"Connection refused"):
        adaptor.connect(adaptor.url)
    assert time.monotonic() - begun < 5
    assert not adaptor.answered


def test_a_wrong_password_is_fatal_and_never_shown(keyspace: Keyspace, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = keyspace.url.replace("cassandra:cassandra@", "cassandra:canary-4711-p%2Fw%40d@")
    adaptor = aicore.open_adaptor(url)
    with pytest.raises(Fatal, match="password are incorrect") as error:
        adaptor.connect(adaptor.url)
    assert CANARY not in f"{error.value!r} {caplog.text} {adaptor!r} {vars(adaptor)!r}"
    assert "canary" not in f"{error.value!r} {caplog.text} {adaptor!r} {vars(adaptor)!r}"


def test_a_rotated_password_is_read_again(keyspace: Keyspace, tmp_path: Path) -> None:
    """The store is away for as long as the file has the old one, and then goes on."""
    file = tmp_path / "password"
    file.write_text("canary-old\n")
    write(keyspace.url, make_batch(1))
    keyspace.ask("CREATE ROLE IF NOT EXISTS rotating WITH PASSWORD = 'canary-old' AND LOGIN = true")
    keyspace.ask("GRANT ALL ON KEYSPACE {} TO rotating")
    server = keyspace.server
    with CutProxy(server.host, server.port) as proxy:
        adaptor = open_adaptor(f"cassandra://rotating:${{file:{file}}}@127.0.0.1:{proxy.port}/{keyspace.name}")
        delivery = Delivery("x", adaptor, live=True, events="net", url=adaptor.url, backoff=(0.05, 0.2))
        delivery.start()
        try:
            delivery.put(make_batch(10))
            until(lambda: delivery.counters()["delivered"] == 10)
            keyspace.ask("ALTER ROLE rotating WITH PASSWORD = 'canary-new'")
            until(lambda: not lets_in(server, "rotating", "canary-old"))
            proxy.cut()
            proxy.mend()
            delivery.put(make_batch(10, first=10))
            until(lambda: "incorrect" in str(delivery.error))
            assert delivery.state == "retrying"
            assert "canary" not in str(delivery.error)
            file.write_text("canary-new\n")
            until(lambda: delivery.counters()["delivered"] == 20)
        finally:
            delivery.finish(5)
    assert len(keyspace.records()) == 20


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_no_login_is_fatal(keyspace: Keyspace) -> None:
    with pytest.raises(Fatal, match="requires authentication"):
        connected(keyspace.url.replace("cassandra:cassandra@", ""))


@pytest.fixture
def reader(keyspace: Keyspace) -> str:
    """The URL of somebody who may look at the keyspace, and nothing else."""
    write(keyspace.url, make_batch(1))
    keyspace.ask("CREATE ROLE IF NOT EXISTS reader WITH PASSWORD = 'reads' AND LOGIN = true")
    keyspace.ask("GRANT SELECT ON KEYSPACE {} TO reader")
    return keyspace.url.replace("cassandra:cassandra@", "reader:reads@")


def test_without_the_right_to_write(reader: str) -> None:
    adaptor = connected(reader)  # tables are there: create=yes has nothing to do
    errors = adaptor.write(make_batch(3))
    assert kinds(errors) == dict.fromkeys(range(3), "fatal")
    assert "no MODIFY permission" in errors[0].reason
    adaptor.close()
    with pytest.raises(Fatal, match="no CREATE permission"):
        connected(f"{reader}&table=others")


def test_a_right_that_is_taken_away(keyspace: Keyspace, reader: str) -> None:
    keyspace.ask("GRANT MODIFY ON KEYSPACE {} TO reader")
    time.sleep(1)
    adaptor = connected(reader)
    assert adaptor.write(make_batch(3)) == []
    keyspace.ask("REVOKE MODIFY ON KEYSPACE {} FROM reader")
    time.sleep(1)
    assert kinds(adaptor.write(make_batch(3, version=10))) == dict.fromkeys(range(3), "fatal")
    adaptor.close()


def test_the_command_line_takes_the_password_from_the_environment(keyspace: Keyspace, tmp_path: Path) -> None:
    visits = talks(*(talk for n in range(10) for talk in (dns(42000 + n), http(40000 + n), tls(41000 + n))))
    path = visits.write(tmp_path / "visits.pcap")
    url = f"cassandra://cassandra@{keyspace.server.address}/{keyspace.name}?create=yes"
    code, out, err = call(
        tmp_path, "run", path, "--to", url, environ=environment(tmp_path, AICORE_CASSANDRA_PASSWORD="cassandra")
    )
    assert code == 0, err
    assert len(keyspace.records()) == len(visits.flows)
    code, out, err = call(
        tmp_path, "run", path, "--to", url, environ=environment(tmp_path, AICORE_CASSANDRA_PASSWORD=CANARY)
    )
    assert code != 0
    assert "password are incorrect" in err
    assert "canary" not in out + err


def test_a_program_opens_it_as_the_seed_does(keyspace: Keyspace) -> None:
    class Mine(CassandraAdaptor):
        options = {**CassandraAdaptor.options, "create": Option(bool, default=True)}

    adaptor = Mine()
    adaptor.connect(f"cassandra:cassandra@{keyspace.server.address}/{keyspace.name}")
    assert adaptor.write(lives([1]).net()) == []
    adaptor.close()
    assert len(keyspace.records()) == 1

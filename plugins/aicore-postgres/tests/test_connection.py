# SPDX-License-Identifier: Apache-2.0
"""URLs, credentials, rights, TLS, and servers that are not there."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aicore_postgres import PostgresAdaptor, link
from aicore_postgres.target import parse_target
from conftest import Place, begun, made
from servers.postgres.server import PostgresServer
from servers.starting import free_port
from support import connected, write

import aicore
from aicore import Option, open_adaptor
from aicore.delivery import Delivery
from aicore.errors import Fatal, UsageError
from aicore.run.replay import deadletter_replay
from aicore.testing import lives, make_batch
from aicore.testing.proxy import CutProxy

CANARY = "canary-4711-p/w@d"


def test_hosts_database_and_login() -> None:
    target = parse_target("postgres://me:p%2Fw%40d@db1,db2:5433,[::1]:5434/flows2?create=yes")
    assert target.hosts == (("db1", 5432), ("db2", 5433), ("::1", 5434))
    assert (target.database, target.user, target.password) == ("flows2", "me", "p/w@d")
    assert "p/w@d" not in repr(target)
    assert parse_target("localhost").hosts == (("localhost", 5432),)
    assert parse_target("postgres://").database == "aicore"
    assert parse_target("postgres://%2Frun%2Fpostgresql:5433/flows").hosts == (("/run/postgresql", 5433),)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgres://h:port/flows", "hosts are written as"),
        (
            "postgres:///run/postgresql/flows",
            "the path of the URL is a database; the folder of a Unix socket is a host",
        ),
        ("postgres://run%2Fpostgresql/flows", "a host is a name, an address, or the folder of a Unix socket"),
        ("postgres://h/flows?tables=x", "did you mean table"),
        ("postgres://h/flows?insecure=yes&ca=/etc/passwd", "ca and insecure exclude each other"),
    ],
)
def test_wrong_urls(url: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        open_adaptor(url)


@pytest.mark.parametrize(
    ("host", "options", "mode"),
    [
        ("localhost", {}, "prefer"),
        ("127.0.0.2", {}, "prefer"),
        ("[::1]", {}, "prefer"),
        ("%2Frun%2Fpostgresql", {}, "prefer"),
        ("localhost,db2", {}, "verify-full"),
        ("db1", {}, "verify-full"),
        ("localhost.example", {}, "verify-full"),
        ("localhost", {"ca": "/ca.pem"}, "verify-full"),
        ("db1", {"insecure": True}, "require"),
        ("db1", {"allow_plaintext": True}, "prefer"),
    ],
)
def test_elsewhere_tls_is_verified(host: str, options: dict[str, bool], mode: str) -> None:
    defaults = {"ca": None, "insecure": False, "allow_plaintext": False}
    found = parse_target(f"postgres://{host}/flows").parameters(**{**defaults, **options})  # type: ignore[arg-type]
    assert found["sslmode"] == mode
    assert found.get("sslrootcert") == (options.get("ca") or "system" if mode == "verify-full" else None)


def test_where_ended_flows_are_deleted_old_records_are_not_replayed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is left out"):
        deadletter_replay(tmp_path / "letters", "postgres://127.0.0.1:1/x?ended=delete")
    with pytest.raises(UsageError, match="there is no file"):
        deadletter_replay(tmp_path / "letters", "postgres://127.0.0.1:1/x")


def test_not_connected() -> None:
    with pytest.raises(Fatal, match="not connected"):
        PostgresAdaptor().write(make_batch(1))
    PostgresAdaptor().close()


def test_nobody_listens() -> None:
    adaptor = open_adaptor(f"postgres://127.0.0.1:{free_port()}/flows")
    with pytest.raises(ConnectionError, match="Connection refused"):
        adaptor.connect(adaptor.url)
    assert not adaptor.answered


def test_a_server_that_takes_connections_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aicore_postgres.target.CONNECT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        adaptor = open_adaptor(f"postgres://127.0.0.1:{silent.getsockname()[1]}/flows")
        begun_at = time.monotonic()
        with pytest.raises(ConnectionError, match="timeout expired"):
            adaptor.connect(adaptor.url)
    assert time.monotonic() - begun_at < 4
    assert not adaptor.answered


@pytest.mark.server
def test_a_wrong_password_is_fatal_and_never_shown(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    adaptor = open_adaptor(place.login("postgres", quote(CANARY, safe="")))
    with pytest.raises(Fatal, match="password authentication failed") as error:
        adaptor.connect(adaptor.url)
    assert "canary" not in f"{error.value!r} {caplog.text} {adaptor!r} {vars(adaptor)!r}"
    assert adaptor.answered


@pytest.mark.server
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("postgres:{}@", "nobody:x@"), "password authentication failed"),
        (("/postgres?", "/nowhere?"), 'database "nowhere" does not exist'),
        (("postgres:{}@", "postgres@"), "no password supplied"),
    ],
)
def test_what_the_server_refuses_is_fatal(place: Place, change: tuple[str, str], text: str) -> None:
    with pytest.raises(Fatal, match=text):
        connected(place.url.replace(change[0].format(place.server.password), change[1]))


@pytest.mark.server
def test_a_rotated_password_is_read_again(place: Place, tmp_path: Path) -> None:
    """The store is away for as long as the file has the old one, and then goes on."""
    file = tmp_path / "password"
    file.write_text("canary-old\n")
    write(place.url, make_batch(1))
    role = f"rotating_{place.schema}"
    place.ask(f"CREATE ROLE {role} LOGIN PASSWORD 'canary-old'")
    place.ask(f"GRANT USAGE ON SCHEMA {place.schema} TO {role}")
    place.ask(f"GRANT SELECT, INSERT, UPDATE ON flows TO {role}")
    with CutProxy(place.server.host, place.server.port) as proxy:
        url = place.login(role, f"${{file:{file}}}").replace(place.server.address, f"127.0.0.1:{proxy.port}")
        adaptor = open_adaptor(url)
        delivery = Delivery("x", adaptor, live=True, events="net", url=adaptor.url, backoff=(0.05, 0.2))
        delivery.start()
        try:
            delivery.put(make_batch(10))
            until(lambda: delivery.counters()["delivered"] == 10)
            place.ask(f"ALTER ROLE {role} PASSWORD 'canary-new'")
            proxy.cut()
            proxy.mend()
            delivery.put(make_batch(10, first=10))
            until(lambda: "authentication failed" in str(delivery.error))
            assert delivery.state == "retrying"
            assert "canary" not in str(delivery.error)
            file.write_text("canary-new\n")
            until(lambda: delivery.counters()["delivered"] == 20)
        finally:
            delivery.finish(5)
    assert len(place.records()) == 20


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.server
def test_rights_that_are_missing_and_taken_away(place: Place) -> None:
    write(place.url, make_batch(1))
    role = f"reader_{place.schema}"
    place.ask(f"CREATE ROLE {role} LOGIN PASSWORD 'reads'")
    place.ask(f"GRANT USAGE ON SCHEMA {place.schema} TO {role}")
    place.ask(f"GRANT SELECT ON flows TO {role}")
    adaptor = connected(place.login(role, "reads"))
    with pytest.raises(Fatal, match=r"permission denied for table flows \(42501\)"):
        adaptor.write(make_batch(1, version=2))
    adaptor.close()
    with pytest.raises(Fatal, match="permission denied for schema"):
        connected(f"{place.login(role, 'reads', 'others')}&create=yes")
    place.ask(f"GRANT INSERT, UPDATE ON flows TO {role}")
    adaptor = connected(place.login(role, "reads"))
    assert adaptor.write(make_batch(1, version=3)) == []
    place.ask(f"REVOKE UPDATE ON flows FROM {role}")
    with pytest.raises(Fatal, match="permission denied"):
        adaptor.write(make_batch(1, version=4))
    adaptor.close()


@pytest.mark.server
def test_a_program_opens_it_by_host_and_goes_on_after_an_error(place: Place) -> None:
    """Nobody but the adaptor itself connects a program's object again."""

    class Mine(PostgresAdaptor):
        options = {
            **PostgresAdaptor.options,
            "create": Option(bool, default=True),
            "table": Option(str, default=f"{place.schema}.flows"),
        }

    adaptor = Mine()
    adaptor.connect(f"postgres:{place.server.password}@{place.server.address}/postgres")
    assert adaptor.write(lives([1]).net()) == []
    place.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aicore'")
    with pytest.raises(ConnectionError, match=r"terminating connection|closed"):
        adaptor.write(lives([2], version=10).net())
    assert adaptor.write(lives([2], version=10).net()) == []
    adaptor.close()
    assert len(place.records()) == 2


@pytest.mark.server
def test_a_server_that_stands_still_is_left_in_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer is waited for, not one for each statement."""
    monkeypatch.setattr(link, "ANSWER_SECONDS", 1.0)
    adaptor = connected(place.url)
    assert adaptor.write(make_batch(1)) == []
    place.server.freeze()
    try:
        begun_at = time.monotonic()
        with pytest.raises((TimeoutError, ConnectionError)):
            adaptor.write(make_batch(1, version=2))
        took = time.monotonic() - begun_at
    finally:
        place.server.thaw()
    assert 0.9 < took < 3
    assert adaptor.write(make_batch(1, version=2)) == []
    adaptor.close()


@pytest.mark.server
def test_a_lock_is_waited_for_and_then_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(link._SETTINGS, "lock_timeout", "300ms")
    adaptor = connected(place.url)
    assert adaptor.write(make_batch(1)) == []
    with place.connection() as other, other.transaction():
        other.execute("LOCK TABLE flows")
        with pytest.raises(OSError, match=r"lock timeout \(55P03\)") as error:
            adaptor.write(make_batch(1, version=2))
        assert not isinstance(error.value, ConnectionError | TimeoutError)
    assert adaptor.write(make_batch(1, version=2)) == []
    adaptor.close()


@pytest.mark.server
def test_a_unix_socket(place: Place) -> None:
    folder = quote(str(place.server.folder), safe="")
    url = place.url.replace(place.server.host, folder)
    write(url, make_batch(3))
    assert len(place.records()) == 3


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no `openssl`, which makes a certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=aicore"
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out crt.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "crt.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def tls(certificate: tuple[Path, Path]) -> Iterator[PostgresServer]:
    server = begun(("fsync=off",))
    server.stop()
    for path, name in zip(certificate, ("server.crt", "server.key"), strict=True):
        copied = server.data / name
        shutil.copy(path, copied)
        owner = server.data.stat()
        os.chown(copied, owner.st_uid, owner.st_gid)
        copied.chmod(0o600)
    server._settings = ("fsync=off", "ssl=on")
    server.start()
    yield server
    server.remove()


@pytest.mark.server
def test_certificates(tls: PostgresServer, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    place = made(tls)
    write(f"{place.url}&ca={certificate[0]}", make_batch(1))
    write(place.url, make_batch(1, version=2))  # on this machine it need not be verified
    with caplog.at_level(logging.WARNING, "aicore"):
        write(f"{place.url}&insecure=yes", make_batch(1, version=3))
    assert "the certificate of 127.0.0.1 is not verified" in caplog.text
    with pytest.raises(Fatal, match="certificate verify failed"):
        connected(f"{place.url}&ca={os.environ.get('SSL_CERT_FILE', '/etc/ssl/certs/ca-certificates.crt')}")
    url = f"{place.url}&ca={certificate[0]}".replace("127.0.0.1", "localhost")  # not the certificate's name
    with pytest.raises(Fatal, match="does not match host name"):
        connected(url)


@pytest.mark.server
def test_a_server_without_tls_is_refused_where_it_is_demanded(place: Place) -> None:
    with pytest.raises(Fatal, match="does not support SSL"):
        connected(f"{place.url}&insecure=yes")


def test_it_is_found_by_its_scheme() -> None:
    adaptor = aicore.open_adaptor("postgres://127.0.0.1/flows")
    assert isinstance(adaptor, PostgresAdaptor)
    assert aicore.AdaptorURL.parse("postgres://me:x@h/flows").redacted == "postgres://me:***@h/flows"

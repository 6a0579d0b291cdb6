# SPDX-License-Identifier: Apache-2.0
"""URLs, credentials, TLS, timeouts."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from proxy import Proxy, Toxics
from server import Server, free_port
from test_layouts import connected

import aicore
from aicore.errors import Fatal, UsageError
from aicore.testing import make_batch

SECRET = "canary-4711-p/w@d"
QUOTED = "canary-4711-p%2Fw%40d"


@pytest.fixture
def locked(redis_program: str, tmp_path: Path) -> Server:
    server = Server(redis_program, tmp_path, requirepass=SECRET)
    server.start()
    yield server
    server.end()


def test_the_path_is_the_database(empty: Server) -> None:
    assert connected(empty.url.removesuffix("0") + "3").write(make_batch(1)) == []
    with empty.client(db=3) as client:
        assert client.hlen("tcpflows") == 1
    assert empty.ask("HLEN", "tcpflows") == 0


def test_a_socket_and_its_database(redis_program: str, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    server = Server(redis_program, tmp_path, unixsocket=path)
    server.start()
    try:
        assert connected(f"redis+unix://{path}?db=2").write(make_batch(1)) == []
        with server.client(db=2) as client:
            assert client.hlen("tcpflows") == 1
    finally:
        server.end()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://127.0.0.1:1/flows", "the path of the URL is the number of a database"),
        ("redis://127.0.0.1:99999/0", "hosts are written as"),
        ("redis://127.0.0.1,127.0.0.2/0", "names one host"),
        ("redis+unix://host/run/redis.sock", "redis\\+unix:///"),
        ("redis://127.0.0.1:1?insecure=yes", "for rediss://"),
        ("redis://127.0.0.1:1?layout=list", "layout must be one of hash, flow, stream"),
        ("redis://127.0.0.1:1?tls=yes", "no option 'tls'"),
    ],
)
def test_wrong_urls(url: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        connected(url)


def test_what_a_program_passes(empty: Server) -> None:
    from aicore_redis import RedisAdaptor

    adaptor = RedisAdaptor()
    adaptor.connect(empty.url.removeprefix("redis://"))
    assert adaptor.write(make_batch(1)) == []
    with pytest.raises(UsageError, match="the URL begins with redis://"):
        RedisAdaptor().connect("http://localhost")


def test_a_server_has_sixteen_databases(empty: Server) -> None:
    with pytest.raises(Fatal, match="DB index is out of range"):
        connected(empty.url.removesuffix("0") + "99")


# -- credentials ------------------------------------------------------------------------------------------------------


def test_ways_to_give_a_password(locked: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"127.0.0.1:{locked.port}/0"
    assert connected(f"redis://:{QUOTED}@{place}").write(make_batch(1)) == []
    monkeypatch.setenv("FLOWS_PW", SECRET)
    assert connected(f"redis://default:${{FLOWS_PW}}@{place}").write(make_batch(1)) == []
    monkeypatch.setenv("AICORE_REDIS_PASSWORD", SECRET)
    assert connected(f"redis://{place}").write(make_batch(1)) == []
    assert connected(f"redis://default@{place}").write(make_batch(1)) == []


def test_no_password_and_a_wrong_one(locked: Server) -> None:
    place = f"127.0.0.1:{locked.port}/0"
    with pytest.raises(Fatal, match="NOAUTH"):
        connected(f"redis://{place}")
    with pytest.raises(Fatal, match="WRONGPASS") as error:
        connected(f"redis://:canary-0815@{place}")
    assert "canary" not in f"{error.value} {error.value!r}"


def test_the_password_stands_nowhere(locked: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    adaptor = connected(f"redis://:{QUOTED}@127.0.0.1:{locked.port}/0")
    locked.kill()
    with pytest.raises(ConnectionError) as error:
        adaptor.write(make_batch(1))
    logging.getLogger("aicore").error("failed", exc_info=error.value)
    shown = f"{adaptor!r} {adaptor.url!r} {adaptor._connection!r} {error.value!r} {caplog.text}"
    assert SECRET not in shown
    assert QUOTED not in shown


def test_a_password_in_clear_text_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    adaptor = aicore.open_adaptor(f"redis://:{QUOTED}@192.0.2.1:1/0?timeout=0.1")
    for _ in range(2):
        with pytest.raises((ConnectionError, TimeoutError)):
            adaptor.connect(adaptor.url)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["redis: the password goes to 192.0.2.1 in clear text; rediss:// encrypts it"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_the_loopback_is_no_network(host: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConnectionError):
        connected(f"redis://:x@{host}:1/0")
    assert caplog.records == []


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a certificate of it for localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    ca = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl(
        "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority", *ca
    )
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "server.crt", "-days", "2", "-extfile", "names"),
    )
    return folder


@pytest.fixture(scope="module")
def tls(redis_program: str, certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    port = free_port()
    server = Server(
        redis_program,
        tmp_path_factory.mktemp("redis-tls"),
        tls_port=port,
        tls_cert_file=certificates / "server.crt",
        tls_key_file=certificates / "server.key",
        tls_ca_cert_file=certificates / "ca.crt",
        tls_auth_clients="no",
    )
    server.start()
    server.tls_port = port
    yield server
    server.end()


def test_tls_with_an_authority_of_ones_own(tls: Server, certificates: Path, caplog: pytest.LogCaptureFixture) -> None:
    adaptor = connected(f"rediss://localhost:{tls.tls_port}/0?ca={certificates}/ca.crt")
    assert adaptor.write(make_batch(1000)) == []
    adaptor.close()
    assert tls.ask("HLEN", "tcpflows") == 1000
    assert caplog.records == []


def test_an_unknown_authority_is_fatal(tls: Server) -> None:
    with pytest.raises(Fatal, match="certificate is not trusted"):
        connected(f"rediss://localhost:{tls.tls_port}/0")


def test_another_name_is_fatal(tls: Server, certificates: Path) -> None:
    with pytest.raises(Fatal, match="certificate is not trusted"):
        connected(f"rediss://127.0.0.1:{tls.tls_port}/0?ca={certificates}/ca.crt")


def test_insecure_is_said_at_every_start(tls: Server, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        adaptor = connected(f"rediss://127.0.0.1:{tls.tls_port}/0?insecure=yes")
        assert adaptor.write(make_batch(1)) == []
        adaptor.close()
    assert [record.getMessage() for record in caplog.records] == [
        "redis: insecure: whoever answers as 127.0.0.1 gets the flows and the password"
    ] * 2


# -- timeouts ---------------------------------------------------------------------------------------------------------


def test_a_stopped_server_holds_a_call_for_its_timeout(server: Server) -> None:
    adaptor = connected(f"{server.url}?timeout=0.5")
    server.pause()
    for _ in range(2):  # the second has to connect
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            adaptor.write(make_batch(100))
        assert 0.4 < time.monotonic() - begin < 1.5
    server.go_on()
    assert adaptor.write(make_batch(100)) == []


def test_a_connection_that_the_server_ended_meanwhile_is_made_anew(server: Server) -> None:
    adaptor = connected(server.url)
    for version in (1, 2):
        assert adaptor.write(make_batch(1, version=version)) == []
        with server.client() as client:
            assert client.client_kill_filter(_type="normal", skipme=True) == 1
    server.kill()
    server.start()
    assert adaptor.write(make_batch(1, version=3)) == []


def test_a_refused_connection_is_refused_at_once(server: Server) -> None:
    server.kill()
    begin = time.monotonic()
    with pytest.raises(ConnectionError):
        connected(server.url)
    assert time.monotonic() - begin < 0.5


def test_replies_that_drip_have_one_deadline(server: Server) -> None:
    """Each reply comes in time, all of them do not."""
    proxy = Proxy(server.port)
    try:
        adaptor = connected(f"redis://127.0.0.1:{proxy.port}/0?layout=stream&timeout=0.5")
        adaptor.close()
        proxy.toxics = Toxics(rate=100_000)
        adaptor.connect(adaptor.url)
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            adaptor.write(make_batch(2000))
        assert time.monotonic() - begin < 1.5
        assert server.ask("XLEN", "flows") > 10
    finally:
        proxy.close()


def test_what_was_not_sent_in_time_is_never_sent(server: Server) -> None:
    """After close() the kernel would go on sending: old records behind the new ones of the next connection."""
    adaptor = connected(f"{server.url}?timeout=0.5")
    server.pause()
    # More than the stopped server's kernel takes, less than ours does.
    with pytest.raises(TimeoutError, match="reading"):
        adaptor.write(make_batch(1, first=7, sslhost="x" * 1_500_000))
    server.go_on()
    assert adaptor.write(make_batch(1, first=8)) == []
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        assert server.ask("HKEYS", "tcpflows") == list(make_batch(1, first=8).keys())
        time.sleep(0.02)


def test_what_a_proxy_kept_does_not_come_behind_newer_records(empty: Server) -> None:
    """A relay that keeps what it read, also after its client has gone."""
    kept: list[bytes] = []
    keeping = threading.Event()
    servers: list[socket.socket] = []

    def relay(source: socket.socket, target: socket.socket, *, to_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if to_server and keeping.is_set():
                    kept.append(data)
                else:
                    target.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                ends.append(client)
                servers.append(socket.create_connection(("127.0.0.1", empty.port)))
                for pair in ((client, servers[-1]), (servers[-1], client)):
                    threads.append(threading.Thread(target=relay, args=pair, kwargs={"to_server": pair[0] is client}))
                    threads[-1].start()

    listener = socket.create_server(("127.0.0.1", 0))
    ends, threads = [listener], [threading.Thread(target=accept)]
    threads[0].start()
    try:
        adaptor = connected(f"redis://127.0.0.1:{listener.getsockname()[1]}/0?timeout=0.5")
        assert adaptor.write(make_batch(1, version=1)) == []
        keeping.set()
        with pytest.raises(TimeoutError):
            adaptor.write(make_batch(1, version=2))
        keeping.clear()
        assert adaptor.write(make_batch(1, version=3)) == []
        newest = empty.ask("HGETALL", "tcpflows")
        with contextlib.suppress(OSError):  # the server has hung up
            servers[0].sendall(b"".join(kept))
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            assert empty.ask("HGETALL", "tcpflows") == newest
            time.sleep(0.02)
        assert b"HSET" in b"".join(kept)
    finally:
        for one in (*ends, *servers):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in threads:
            thread.join()


def test_what_the_last_connection_left_is_dropped_also_after_close_and_connect(
    empty: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As aicore does after a lost connection: what a proxy still holds of it must not be written later."""
    from aicore_redis import client

    killed: list[object] = []
    real = client._connect

    def spy(connection: client.RedisConnection, deadline: float) -> None:
        killed.append(connection.known_as)
        real(connection, deadline)

    adaptor = connected(empty.url)
    monkeypatch.setattr(client, "_connect", spy)
    first = adaptor._known_as
    assert first is not None
    adaptor.close()
    assert adaptor.url is not None
    adaptor.connect(adaptor.url)
    assert killed == [first]
    assert adaptor._known_as not in (None, first)
    assert adaptor.write(make_batch(1)) == []

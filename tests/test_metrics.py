# SPDX-License-Identifier: Apache-2.0
"""--metrics: what Prometheus reads, and a server that cannot harm the run."""

from __future__ import annotations

import base64
import http.client
import resource
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers.starting import free_port

from aicore import _core
from aicore.cli import metrics_server
from aicore.cli.metrics import serve
from aicore.delivery import Delivery
from aicore.delivery.counters import ADAPTOR, balance
from aicore.errors import UsageError
from aicore.testing import FaultyAdaptor, make_batch

prometheus = pytest.importorskip("prometheus_client.parser")
openmetrics = pytest.importorskip("prometheus_client.openmetrics.parser")


def nothing() -> dict[str, Any]:
    return {"run": {"packets": 42}, "flows": {"tcp": 3, "udp": 1}, "workers": [], "adaptors": {}}


@contextmanager
def served(form: str = "{port}", collect: Callable[[], Any] = nothing) -> Iterator[int]:
    port = free_port()
    stop = serve(form.format(port=port), collect)
    try:
        yield port
    finally:
        stop()


def get(port: int, accept: str = "text/plain", **headers: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept, **{k.title(): v for k, v in headers.items()}}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def of_a_delivery() -> dict[str, Any]:
    one = Delivery("redis#2", FaultyAdaptor(), live=False, events="net", transports={6})
    one.start()
    one.put(make_batch(7))
    one.finish(10)
    assert balance(one.counters()) == 0
    assert set(one.counters()) == set(ADAPTOR)
    state = {"counters": one.counters(), "lag_seconds": one.lag_seconds, "state": one.state}
    return {
        "run": dict.fromkeys(_core.counters_info(), 42),
        "flows": {"tcp": 5},
        "workers": [{"packets": 42}],
        "adaptors": {one.name: state},
    }


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        ("text/plain", prometheus.text_string_to_metric_families),
        ("application/openmetrics-text;version=1.0.0", openmetrics.text_string_to_metric_families),
    ],
    ids=["prometheus", "openmetrics"],
)
def test_every_counter_is_described_and_served(accept: str, parse: Any) -> None:
    """Read by the parser of each form; that of OpenMetrics takes no two families of one name."""
    numbers = of_a_delivery()
    with served(collect=lambda: numbers) as port:
        text = get(port, accept)
    families = list(parse(text))
    found = {sample.name: sample for family in families for sample in family.samples}
    assert all(family.documentation for family in families)
    for name in _core.counters_info():
        assert found[f"aicore_{name}_total"].value == 42
    assert found["aicore_flows_live"].labels == {"transport": "tcp"}
    assert found["aicore_worker_packets_total"].value == 42
    assert found["aicore_worker_packets_total"].labels == {"worker": "0"}
    assert found["aicore_adaptor_delivered_total"].value == 7
    assert found["aicore_adaptor_delivered_total"].labels == {"adaptor": "redis#2"}
    assert found["aicore_adaptor_state"].labels == {"adaptor": "redis#2", "state": "closed"}
    for name, (kind, _) in ADAPTOR.items():
        assert f"aicore_adaptor_{name}{'_total' if kind == 'counter' else ''}" in found


def test_a_stopped_server_answers_nobody_and_holds_no_thread() -> None:
    with served() as port:
        silent = socket.create_connection(("127.0.0.1", port), timeout=10)
        assert "aicore_packets_total 42" in get(port)
    with silent:
        assert silent.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        get(port)
    assert "aicore-metrics" not in {thread.name for thread in threading.enumerate()}


def test_connections_that_say_nothing_take_few_descriptors_and_keep_nobody_away() -> None:
    """Each held a thread and a descriptor for good: 1,020 of them ended a capture."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with served() as port:
        before, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(200, soft // 4))]
        try:
            assert "aicore_packets_total 42" in get(port)
            ours = len(idle)
            assert len(list(Path("/proc/self/fd").iterdir())) - before - ours <= metrics_server.CONNECTIONS + 1
            assert threading.active_count() - threads <= metrics_server.CONNECTIONS + 1
        finally:
            for one in idle:
                one.close()
        assert "aicore_packets_total 42" in get(port)


def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.1)
    monkeypatch.setattr(metrics_server, "PATIENCE", 0.1)
    with served() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
        assert silent.recv(1) == b""


@pytest.mark.parametrize(
    "sent", [b"\xff" * 70_000, b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\r\n\r\n"]
)
def test_nonsense_ends_its_own_connection_alone(sent: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with served() as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
            one.sendall(sent)
            one.shutdown(socket.SHUT_WR)
            try:
                while one.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        assert "aicore_packets_total 42" in get(port)
    assert capfd.readouterr().err == ""


def test_basic_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "s:cret/ü")
    with served("http://scraper:${{PW}}@127.0.0.1:{port}") as port:
        for wrong in ({}, {"authorization": "Basic eDp5"}, {"authorization": "Basic \xff"}):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                get(port, **wrong)
        right = base64.b64encode("scraper:s:cret/ü".encode()).decode()
        assert "aicore_packets_total 42" in get(port, authorization=f"Basic {right}")


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, which is its own authority."""
    folder = tmp_path_factory.mktemp("pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "pem"],
        check=True,
        capture_output=True,
    )
    return folder


def get_by_tls(port: int, trusted: ssl.SSLContext) -> bytes:
    with closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusted)) as client:
        client.request("GET", "/metrics")
        return client.getresponse().read()


def test_tls(pems: Path) -> None:
    """A client that sends no handshake keeps no other waiting."""
    with served(f"https://127.0.0.1:{{port}}?certificate={pems}/pem&key={pems}/key") as port:
        trusted = ssl.create_default_context(cafile=pems / "pem")
        with socket.create_connection(("127.0.0.1", port)):
            assert b"aicore_packets_total 42" in get_by_tls(port, trusted)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError, urllib.error.URLError)):
            get(port)  # speaks no TLS


def test_tls_that_asks_for_a_certificate(pems: Path) -> None:
    with served(f"https://127.0.0.1:{{port}}?certificate={pems}/pem&key={pems}/key&client_ca={pems}/pem") as port:
        trusted = ssl.create_default_context(cafile=pems / "pem")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            get_by_tls(port, trusted)
        trusted.load_cert_chain(pems / "pem", pems / "key")
        assert b"aicore_packets_total 42" in get_by_tls(port, trusted)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nonsense", "'nonsense' is not HOST:PORT or PORT"),
        ("127.0.0.1:99999", "'127.0.0.1:99999' is not"),
        ("192.0.2.1:80", "--metrics 192.0.2.1:80: "),
        (":x", "':x' is not"),
        ("ftp://127.0.0.1:9", "is not http://"),
        ("http://127.0.0.1", "names no port"),
        ("http://u@127.0.0.1:9", "needs a user and a password, or neither"),
        ("http://127.0.0.1:9?key=/x", "certificates are for https"),
        ("https://127.0.0.1:9", "needs .certificate=PEM"),
        ("https://127.0.0.1:9?certificate=/no/such", "/no/such: No such file"),
        ("https://127.0.0.1:9?certificates=/x", "certificate"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(address: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        serve(address, nothing)
    assert "\n" not in str(raised.value)

# SPDX-License-Identifier: Apache-2.0
"""Where the store is, how to log in, and what stops an adaptor before it begins."""

from __future__ import annotations

import base64
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from aicore_elastic import ElasticsearchAdaptor
from aicore_elastic.clients import Address, Login
from servers.elastic.front import certificate, tls_front
from servers.elastic.reading import search
from servers.elastic.server import Node
from servers.starting import free_port

from aicore import AdaptorURL, DatabaseAdaptor, open_adaptor
from aicore.delivery import Delivery
from aicore.errors import Fatal, UsageError
from aicore.run.replay import deadletter_replay
from aicore.testing import make_batch

pytestmark = pytest.mark.timeout(400)

CANARY = "canary-4711/+@:ä"
BASIC = "Basic " + base64.b64encode(f"flows:{CANARY}".encode()).decode()


def opened(url: str) -> DatabaseAdaptor:
    adaptor = open_adaptor(url)
    assert isinstance(adaptor, DatabaseAdaptor)
    assert adaptor.url is not None
    adaptor.connect(adaptor.url)
    return adaptor


@pytest.mark.parametrize(
    ("url", "hosts", "index"),
    [
        ("elasticsearch://", [("localhost", 9200)], "aicore-flows"),
        ("elasticsearch://a/", [("a", 9200)], "aicore-flows"),
        ("opensearch://a:1,b,[2001:db8::1]:3/flows?x=1", [("a", 1), ("b", 9200), ("2001:db8::1", 3)], "flows"),
    ],
)
def test_addresses(url: str, hosts: list[tuple[str, int]], index: str) -> None:
    address = Address.of(AdaptorURL.parse(url))
    assert (list(address.hosts), address.index, address.https) == (hosts, index, False)
    assert (address.user, address.password) == (None, None)


def test_an_address_with_a_log_in_does_not_show_it() -> None:
    address = Address.of(AdaptorURL.parse("elasticsearch+https://me:a%2Fb%40c@h:443/x"))
    assert (address.user, address.password, address.https) == ("me", "a/b@c", True)
    assert "a/b@c" not in repr(address)
    assert "canary" not in repr(Login(api_key="canary"))


@pytest.mark.parametrize("place", ["h/UPPER", "h/a*", "h/-a", "h:x", "h:70000", "user@h"])
def test_wrong_addresses(place: str) -> None:
    with pytest.raises(UsageError):
        open_adaptor(f"elasticsearch://{place}")
    with pytest.raises(UsageError):
        ElasticsearchAdaptor().connect(place)


@pytest.mark.parametrize(
    "url", ["elasticsearch://u:canary-4711@192.0.2.1:9", "opensearch://192.0.2.1:9?api_key=canary-4711"]
)
def test_credentials_go_over_tls_only(url: str) -> None:
    with pytest.raises(UsageError, match=r"\+https") as error:
        open_adaptor(url)
    assert "canary" not in str(error.value)


def test_where_ended_flows_are_deleted_old_records_are_not_replayed(tmp_path: Path) -> None:
    """Nothing is known of a flow that was deleted yesterday: an old record of it would stand there as if it lived."""
    with pytest.raises(UsageError, match="is left out"):
        deadletter_replay(tmp_path / "letters", "elasticsearch://127.0.0.1:1?ended=delete")
    with pytest.raises(UsageError, match="there is no file"):
        deadletter_replay(tmp_path / "letters", "elasticsearch://127.0.0.1:1")


def test_a_file_of_authorities_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="elasticsearch\\+https: ca: there is no file"):
        open_adaptor(f"elasticsearch+https://h?ca={tmp_path}/ca.pem")


def test_a_server_that_is_not_there_is_worth_another_attempt() -> None:
    adaptor = open_adaptor(f"elasticsearch://127.0.0.1:{free_port()}")
    for _ in range(2):
        with pytest.raises(Exception, match="refused") as error:
            adaptor.connect(adaptor.url)
        assert not isinstance(error.value, Fatal)
    assert not adaptor.answered
    adaptor.close()


class Cut(BaseHTTPRequestHandler):
    """Answers without a body, as a connection that ends behind the headers leaves them, from `server.cut` on."""

    def do_any(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(200)
        self.send_header("x-elastic-product", "Elasticsearch")
        self.send_header("content-type", "application/json")
        self.end_headers()
        if not self.path.startswith(self.server.cut):  # type: ignore[attr-defined]
            self.wfile.write(b'{"version":{"number":"8.19.0"},"component_templates":[],"acknowledged":true}')

    do_GET = do_POST = do_PUT = do_any

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.mark.parametrize("scheme", ["elasticsearch", "opensearch"])
@pytest.mark.parametrize("path", ["/_bulk", "/"])
def test_an_answer_without_a_body_is_the_servers_and_no_error_of_ours(scheme: str, path: str) -> None:
    """OSError: what an error of code would raise ends an adaptor, and what a row would raise condemns the row."""
    if scheme == "opensearch":
        pytest.importorskip("opensearchpy", reason="the extra `opensearch` is not installed")
    with HTTPServer(("127.0.0.1", 0), Cut) as server:
        server.cut = path  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        adaptor = open_adaptor(f"{scheme}://127.0.0.1:{server.server_port}?template=no")
        assert isinstance(adaptor, DatabaseAdaptor)

        def deliver() -> None:
            adaptor.connect(adaptor.url)
            adaptor.write(make_batch(3))

        try:
            with pytest.raises(OSError, match="no body"):
                deliver()
        finally:
            adaptor.close()
            server.shutdown()


@pytest.mark.parametrize("stranger", [503], indirect=True)
def test_a_server_that_is_not_ready_has_answered(stranger: int) -> None:
    """A run on files waits for it longer than for one that is not there."""
    adaptor = open_adaptor(f"elasticsearch://127.0.0.1:{stranger}")
    with pytest.raises(Exception, match="503") as error:
        adaptor.connect(adaptor.url)
    assert not isinstance(error.value, Fatal)
    assert adaptor.answered
    adaptor.close()


@pytest.fixture
def stranger(request: pytest.FixtureRequest) -> Iterator[int]:
    """A web server that is something else."""
    status = getattr(request, "param", 200)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_server_that_is_something_else_is_fatal(stranger: int) -> None:
    with pytest.raises(Fatal, match="not Elasticsearch"):
        opened(f"elasticsearch://127.0.0.1:{stranger}")


@pytest.mark.server
def test_opensearch_is_not_taken_for_elasticsearch(opensearch: Node) -> None:
    with pytest.raises(Fatal, match="opensearch://"):
        opened(f"elasticsearch://127.0.0.1:{opensearch.port}")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("there is no `openssl` to make a certificate")
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.server
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
class TestTls:
    def test_a_password(
        self, node: Node, index: str, pem: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        monkeypatch.setenv(f"AICORE_{node.kind.upper()}_PASSWORD", CANARY)
        with tls_front(node, pem, BASIC) as front:
            adaptor = opened(f"{node.kind}+https://flows@localhost:{front.port}/{index}?ca={pem}")
            assert not adaptor.write(make_batch(3))
            adaptor.close()
            assert len(search(node, index)) == 3
            monkeypatch.setenv(f"AICORE_{node.kind.upper()}_PASSWORD", "wrong-4711")
            with pytest.raises(Fatal, match="401"):
                opened(f"{node.kind}+https://flows@localhost:{front.port}/{index}?ca={pem}")
        assert "4711" not in caplog.text + repr(adaptor) + repr(vars(adaptor))

    def test_an_api_key(self, node: Node, index: str, pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KEY", "Zm9vOmJhcg==")
        with tls_front(node, pem, "ApiKey Zm9vOmJhcg==") as front:
            adaptor = opened(f"{node.kind}+https://127.0.0.1:{front.port}/{index}?ca={pem}&api_key=${{KEY}}")
            assert not adaptor.write(make_batch(3))
            adaptor.close()

    def test_a_certificate_of_nobody_we_know(
        self, node: Node, index: str, pem: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with tls_front(node, pem, BASIC) as front:
            url = f"{node.kind}+https://flows:canary-4711%2F%2B%40%3A%C3%A4@localhost:{front.port}/{index}"
            with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED") as error:
                opened(url)
            assert "canary" not in str(error.value)
            adaptor = opened(f"{url}?insecure=yes")
            assert not adaptor.write(make_batch(3))
            adaptor.close()
        assert "not verified" in caplog.text

    def test_a_rotated_key_is_read_again(self, node: Node, index: str, pem: Path, tmp_path: Path) -> None:
        """The store is away for as long as the file has the old one, and then goes on."""
        file = tmp_path / "key"
        file.write_text("canary-old\n")
        with tls_front(node, pem, "ApiKey canary-old") as front:
            where = f"{node.kind}+https://localhost:{front.port}/{index}?ca={pem}&api_key=${{file:{file}}}"
            adaptor = open_adaptor(where)
            delivery = Delivery("x", adaptor, live=True, events="net", url=adaptor.url, backoff=(0.01, 0.05))
            delivery.start()
            try:
                delivery.put(make_batch(3))
                until(lambda: delivery.counters()["delivered"] == 3)
                front.allowed = "ApiKey canary-new"
                delivery.put(make_batch(3, first=3))
                until(lambda: "401" in str(delivery.error))
                assert delivery.state == "retrying"
                assert "canary" not in str(delivery.error)
                file.write_text("canary-new\n")
                until(lambda: delivery.counters()["delivered"] == 6)
            finally:
                delivery.finish(5)
            file.write_text("canary-old\n")
            with pytest.raises(Fatal, match="401"):
                opened(where)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)

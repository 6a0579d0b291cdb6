# SPDX-License-Identifier: Apache-2.0
"""What stands before a store in the field: TLS and a log-in, passed on to a real node that has neither."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers.elastic.server import Node


class Front(ThreadingHTTPServer):
    """On 127.0.0.1. `allowed` is the one `Authorization` that is let through."""

    def __init__(self, node: Node, pem: Path, allowed: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.node = node
        self.allowed = allowed
        self.port = self.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        # The handshake belongs to the connection's thread, not to the one that accepts.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that distrust us hang up."""


class Handler(BaseHTTPRequestHandler):
    """Requests of one connection; 401 for those that are not let through."""

    protocol_version = "HTTP/1.1"
    server: Front

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("authorization") != self.server.allowed:
            self._answer(401, b'{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}')
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.node.port, timeout=60)
        headers = {name: self.headers[name] for name in ("accept", "content-type") if name in self.headers}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower().startswith("x-")}
        self._answer(answer.status, answer.read(), answer.getheader("content-type") or "application/json", kept)
        connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def _answer(
        self, status: int, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def certificate(folder: Path) -> Path:
    """Certificate and key of localhost in one PEM file, signed by itself."""
    file = folder / "localhost.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", file, "-out", folder / "certificate.pem", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text((folder / "certificate.pem").read_text() + file.read_text())
    return file


@contextmanager
def tls_front(node: Node, pem: Path, allowed: str) -> Iterator[Front]:
    with Front(node, pem, allowed) as front:
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield front
        finally:
            front.shutdown()
            thread.join()

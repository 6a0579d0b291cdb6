# SPDX-License-Identifier: Apache-2.0
"""An HTTP server beside a run, which may cost the run neither descriptors nor threads beyond a bound."""

from __future__ import annotations

import base64
import hmac
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger("aicore")

#: Open at one time, a thread and a descriptor each. One more takes the place of the oldest, so that who holds all of
#: them open keeps nobody away for long.
CONNECTIONS = 8
#: Seconds that a client may leave the server waiting, in the handshake of TLS, the request or the answer.
PATIENCE = 5.0
# Seconds that the oldest connection gets to end before the new one is closed in its place.
_MAKE_ROOM = 1.0
_POLL = 0.1  # seconds until the server sees that it has to stop
_NO_DESCRIPTOR = 0.1  # until the next try, in seconds: accept() would fail again at once and burn a core


class Server:
    """Serves `app` on a thread until stop(). OSError for an address that cannot be bound."""

    def __init__(
        self,
        host: str,
        port: int,
        app: WSGIApplication,
        *,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        """`login`: user and password of basic authentication (RFC 7617)."""
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        kind = type("_Bound", (_Bounded,), {"address_family": family})
        self._server: _Bounded = kind(address[:2], tls)
        self._server.set_app(app if login is None else _Authenticated(app, *login))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="aicore-metrics", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.close_all()


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE  # of each read and write

    def setup(self) -> None:
        self.request.settimeout(PATIENCE)
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug("metrics: " + format, *args)


class _Bounded(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # with the 5 of the library a burst of others costs a scraper seconds of TCP's retries

    def __init__(self, address: Any, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._room = threading.Semaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._open: dict[int, socket.socket] = {}  # by id, the oldest first
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without HTTPServer's search for the host's name, which may wait for a name server."""
        TCPServer.server_bind(self)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_name = str(host)
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            request, peer = super().get_request()
        except OSError:
            time.sleep(_NO_DESCRIPTOR)
            raise
        if self._tls is not None:
            # The handshake waits for the client: on the thread of the connection.
            request = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, peer

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            with self._lock:
                oldest = next(iter(self._open.values()), None)
            if oldest is not None:
                _hang_up(oldest)
            if not self._room.acquire(timeout=_MAKE_ROOM):
                self.shutdown_request(request)
                return
        with self._lock:
            self._open[id(request)] = request
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread can be started
            self._forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Clients that go away, speak no TLS or are too slow are no error of the run."""
        logger.debug("metrics: a connection of %s failed: %s", client_address, sys.exc_info()[1])

    def close_all(self) -> None:
        with self._lock:
            left = list(self._open.values())
        for request in left:
            _hang_up(request)

    def _forget(self, request: Any) -> None:
        with self._lock:
            self._open.pop(id(request), None)
        self._room.release()


def _hang_up(request: socket.socket) -> None:
    """Ends what another thread waits for there. Not SSLSocket's own, which takes the connection from that thread."""
    with suppress(OSError):  # it has just ended
        socket.socket.shutdown(request, socket.SHUT_RDWR)


class _Authenticated:
    def __init__(self, app: WSGIApplication, user: str, password: str) -> None:
        self._app = app
        self._expected = b"Basic " + base64.b64encode(f"{user}:{password}".encode())

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
        if hmac.compare_digest(given, self._expected):
            return self._app(environ, start_response)
        start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="aicore"')])
        return [b""]

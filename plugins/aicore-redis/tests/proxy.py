# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that spoils connections: delays, throttles, cuts, resets, swallows."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

_RESET = struct.pack("ii", 1, 0)


@dataclass
class Toxics:
    """What happens to each new connection. Numbers of bytes count from its beginning."""

    #: Seconds that data spends in the proxy, each way.
    delay: float = 0.0
    #: Bytes a second, each way; 0: as fast as it can.
    rate: int = 0
    #: After so many bytes from the client both ends are reset.
    reset_after: int | None = None
    #: After so many bytes from the server, mid-reply perhaps, both ends are closed.
    cut_after: int | None = None
    #: After so many bytes from the client nothing is passed on any more, and nobody is told.
    mute_after: int | None = None


@dataclass
class _Way:
    source: socket.socket
    target: socket.socket
    from_client: bool
    count: int = 0
    waiting: list[tuple[float, bytes]] = field(default_factory=list)


class Proxy:
    """Listens on a free loopback port until `close`. `toxics` may be replaced at any time, for connections to come."""

    def __init__(self, port: int, toxics: Toxics | None = None) -> None:
        self.toxics = toxics or Toxics()
        self.connections = 0
        self._upstream = port
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(0.02)
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(client, self.toxics), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket, toxics: Toxics) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream))
        except OSError:
            client.close()
            return
        ways = [_Way(client, server, True), _Way(server, client, False)]
        with client, server, selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
            for way in ways:
                selector.register(way.source, selectors.EVENT_READ, way)
            while not self._closed.is_set():
                for key, _ in selector.select(0.01):
                    way = key.data
                    data = way.source.recv(65536)
                    if not data:
                        return
                    way.waiting.append((time.monotonic() + toxics.delay, data))
                if not all(self._pass(way, toxics) for way in ways):
                    for way in ways:
                        way.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    return

    def _pass(self, way: _Way, toxics: Toxics) -> bool:
        """Passes on what is due. False: both ends shall be reset."""
        while way.waiting and way.waiting[0][0] <= time.monotonic() and not self._closed.is_set():
            _, data = way.waiting.pop(0)
            if toxics.rate and len(data) > (slice_ := max(1, toxics.rate // 50)):
                way.waiting.insert(0, (0.0, data[slice_:]))
                data = data[:slice_]
            if toxics.rate:
                self._closed.wait(len(data) / toxics.rate)
            if way.from_client and toxics.mute_after is not None:
                data = data[: max(0, toxics.mute_after - way.count)]
            if way.from_client and toxics.reset_after is not None and way.count + len(data) >= toxics.reset_after:
                return False
            if not way.from_client and toxics.cut_after is not None and way.count + len(data) >= toxics.cut_after:
                way.target.sendall(data[: toxics.cut_after - way.count])
                raise ConnectionAbortedError
            way.target.sendall(data)
            way.count += len(data)
        return True

# SPDX-License-Identifier: Apache-2.0
"""The adaptor: a batch becomes commands, one pipeline carries them, each reply says what became of its rows.

Every command of the two hash layouts says what shall stand there, so a batch whose fate is unknown is simply sent
again. The delivery keeps the order of each key; against what other runs wrote, layout=flow compares versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from aicore import AdaptorURL, DatabaseAdaptor, Option
from aicore.errors import Fatal, RowError, UsageError
from aicore_redis import commands as make
from aicore_redis.commands import Command
from aicore_redis.target import PORT, Target

if TYPE_CHECKING:
    from aicore import FlowBatch

#: Options that mean something in one layout only.
_OF_LAYOUT = {"tcp": "hash", "udp": "hash", "prefix": "flow", "ttl": "flow", "stream": "stream", "maxlen": "stream"}


class RedisAdaptor(DatabaseAdaptor):
    """See README.md for the layouts. Redis' driver is imported in `connect`."""

    options = {
        "layout": Option(
            str,
            default="hash",
            choices=("hash", "flow", "stream"),
            help="hash: one for each transport, key -> JSON; flow: one for each flow; stream: an entry for each event",
        ),
        "ended": Option(str, default="delete", choices=("delete", "keep"), help="what becomes of ended flows"),
        "tcp": Option(str, default="tcpflows", help="hash of the TCP flows"),
        "udp": Option(str, default="udpflows", help="hash of the UDP flows"),
        "prefix": Option(str, default="flow:", help="layout=flow: a flow's hash is this and its flow_id"),
        "ttl": Option(int, default=0, minimum=0, help="layout=flow: seconds from a flow's last record; 0: for good"),
        "stream": Option(str, default="flows", help="layout=stream: the stream's name"),
        "maxlen": Option(int, default=0, minimum=0, help="layout=stream: entries kept, about; 0: all"),
        "db": Option(int, default=0, minimum=0, help="database, where the URL's path does not name it"),
        "timeout": Option(
            float, default=5.0, minimum=0.1, help="seconds for connecting, and for each answer", tuning=True
        ),
        "ca": Option(
            str, help="file of the authorities that vouch for a rediss:// server, instead of the system's", tuning=True
        ),
        "insecure": Option(bool, default=False, help="rediss:// without verifying the server", tuning=True),
    }
    aicore_api = 1
    default_port = PORT

    _connection: Any = None
    #: The server has let us in: credentials that it refuses later are being changed.
    _let_in = False
    _warned = False
    #: How the server calls the last connection: what it still has of that must not be written after what comes now.
    _known_as: tuple[str, str] | None = None

    @property
    def events(self) -> Literal["all", "net"]:  # type: ignore[override]  # depends on the option
        return "all" if self.config["layout"] == "stream" else "net"

    @property
    def versions(self) -> bool:  # type: ignore[override]  # depends on the options
        """A hash of a flow holds its version, and a flow that was deleted none."""
        return (self.config["layout"], self.config["ended"]) == ("flow", "keep")

    def check(self, url: AdaptorURL) -> None:
        """UsageError for a URL or option that cannot be."""
        layout = self.config["layout"]
        for name in url.options:
            if _OF_LAYOUT.get(name, layout) != layout or (name == "ended" and layout == "stream"):
                raise UsageError(f"redis: option {name} means nothing with layout={layout}")
        Target.of(url, self.config)

    def connect(self, connection_str: str) -> None:
        """Fatal for wrong credentials or an unverified certificate, unless the server has let us in before; UsageError
        for a URL that cannot be; ConnectionError, TimeoutError or what redis-py raises where another attempt makes
        sense."""
        from aicore_redis import client

        target = Target.of(AdaptorURL.of(connection_str, "redis://"), self.config)
        connection = client.open_connection(target)
        connection.known_as = self._known_as
        connection.let_in = self._let_in
        if not self._warned:  # connect is called until the server is there
            client.warn(target)
            self._warned = True
        try:
            client.connect(connection)
        except ConnectionError as error:
            self.answered = self.answered or client.answered(error)
            raise
        self.answered = self._let_in = connection.let_in = True
        self._connection = connection
        self._known_as = connection.known_as

    def write(self, batch: FlowBatch) -> Sequence[RowError] | None:
        """One pipeline. ConnectionError and TimeoutError: nothing is known, the whole batch again."""
        if self._connection is None:
            raise Fatal("redis: not connected")
        from aicore_redis import client

        return client.send(self._connection, self._commands(batch))

    def close(self) -> None:
        if self._connection is not None:
            self._known_as = self._connection.known_as
            self._connection.disconnect()
            self._connection = None

    def _commands(self, batch: FlowBatch) -> Iterator[Command]:
        layout, delete = self.config["layout"], self.config["ended"] == "delete"
        if layout == "hash":
            return make.hashes(batch, self.config["tcp"], self.config["udp"], delete)
        if layout == "flow":
            return make.flow_hashes(batch, self.config["prefix"], delete, self.config["ttl"])
        return make.stream(batch, self.config["stream"], self.config["maxlen"])

# SPDX-License-Identifier: Apache-2.0
"""The driver: a session as it suits batches, requests in flight, and what its exceptions mean for rows."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    FunctionFailure,
    InvalidRequest,
    OperationTimedOut,
    ProtocolVersion,
    Unauthorized,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, DefaultConnection, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    FallthroughRetryPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import ErrorMessage, SyntaxException
from cassandra.query import BatchStatement, BatchType, BoundStatement, SimpleStatement

from aicore.errors import Fatal
from aicore_cassandra.cells import Cell
from aicore_cassandra.target import Target

TIMEOUT = 5.0  # seconds for connecting, and for each answer
SCHEMA_TIMEOUT = 30.0  # seconds; nodes agree on each change of the schema
IN_FLIGHT = 8  # requests; more made nothing faster

#: What the driver raises. Anything else is a fault of this code or of a row, which the delivery finds.
PASSING = (DriverException, NoHostAvailable, ConnectionException, ErrorMessage, OSError)


class _Connection(DefaultConnection):  # type: ignore[misc]  # the driver has no types
    # With the driver's 4 KiB a larger batch leaves in pieces, and each waits 40 ms for the last one's acknowledgement.
    out_buffer_size = 65_536


class Statement(BoundStatement):  # type: ignore[misc]  # the driver has no types
    """A prepared statement with cells that are serialised already, for one row of the batch. `clear` is another one, of
    the same partition, that goes with it."""

    def __init__(self, prepared: Any, cells: Sequence[Cell], row: int, clear: Statement | None = None) -> None:
        super().__init__(prepared)
        self.values = self.raw_values = cells
        self.row = row
        self.clear = clear


@dataclass(eq=False, slots=True)
class Request:
    statements: Sequence[Statement]

    def make(self) -> Any:
        if len(self.statements) == 1 and self.statements[0].clear is None:
            return self.statements[0]
        # Rows of one partition are one write to the server anyway. A logged batch would write them twice, for an
        # atomicity that nobody needs here.
        batch = BatchStatement(BatchType.UNLOGGED)
        for statement in self.statements:
            if statement.clear is not None:
                batch.add(statement.clear)
            batch.add(statement)
        return batch


class NotLetIn(ConnectionError):
    """The server refuses the credentials."""


class Link:
    """A session. NotLetIn for wrong credentials, the driver's NoHostAvailable where no host answers."""

    def __init__(self, target: Target, consistency: str) -> None:
        auth = PlainTextAuthProvider(target.user, target.password) if target.user is not None else None
        profile = ExecutionProfile(
            consistency_level=ConsistencyLevel.name_to_value[consistency.upper()],
            request_timeout=TIMEOUT,
            retry_policy=FallthroughRetryPolicy(),  # the delivery repeats
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
        )
        self._cluster = Cluster(
            contact_points=list(target.hosts),
            auth_provider=auth,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            connection_class=_Connection,
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            connect_timeout=TIMEOUT,
            control_connection_timeout=TIMEOUT,
            reconnection_policy=ExponentialReconnectionPolicy(0.5, 10.0, max_attempts=None),
            protocol_version=ProtocolVersion.V5,  # of Cassandra 4.0; finding it out costs two more connections
            application_name="aicore",
        )
        try:
            self._session = self._cluster.connect()
        except BaseException as error:
            self._cluster.shutdown()
            if isinstance(error, NoHostAvailable) and (reason := refused(error)):
                raise NotLetIn(f"cassandra: {reason}") from error
            raise
        self.protocol_version: int = self._cluster.protocol_version

    def close(self) -> None:
        self._cluster.shutdown()

    def execute(self, cql: str, *values: Any) -> list[Any]:
        """For the schema alone, which every node has. Fatal without the right."""
        statement = SimpleStatement(cql, consistency_level=ConsistencyLevel.ONE)
        try:
            return list(self._session.execute(statement, values or None, timeout=SCHEMA_TIMEOUT))
        except Unauthorized as error:
            raise Fatal(f"cassandra: {text_of(error)}") from error

    def prepare(self, cql: str) -> Any:
        try:
            return self._session.prepare(cql)
        except Unauthorized as error:
            raise Fatal(f"cassandra: {text_of(error)}") from error

    def send(self, requests: Iterable[Request]) -> list[tuple[Request, Exception]]:
        """Sends all, several at a time; returns those that failed. After one that may pass later nothing more is sent:
        a server that does not answer would cost the timeout again and again."""
        failed: list[tuple[Request, Exception]] = []
        busy: list[Request] = []
        waiting: deque[tuple[Request, Any]] = deque()
        stop: Exception | None = None

        def settle() -> None:
            nonlocal stop
            request, future = waiting.popleft()
            try:
                future.result()
            except Exception as error:
                if _busy(error) and request not in busy:
                    busy.append(request)
                    return
                failed.append((request, error))
                if stop is None and judge(error) == "retry":
                    stop = error

        def send(requests: Iterable[Request], in_flight: int) -> None:
            for request in requests:
                if len(waiting) >= in_flight:
                    settle()
                if stop is not None:
                    failed.append((request, stop))
                else:
                    waiting.append((request, self._session.execute_async(request.make())))
            while waiting:
                settle()

        send(requests, IN_FLIGHT)
        send(busy.copy(), 1)
        return failed


def _busy(error: Exception) -> bool:
    """The driver did not send: the socket has not taken all of the requests before."""
    if not isinstance(error, NoHostAvailable) or not error.errors:
        return False
    return all(isinstance(cause, ConnectionBusy) for cause in error.errors.values())


def judge(error: Exception) -> Literal["retry", "poison", "fatal"]:
    """What an exception of a request means. Timeouts, overload, replicas that are missing, lost connections, a password
    that was changed: later."""
    if isinstance(error, InvalidRequest | FunctionFailure):
        return "poison"
    if isinstance(error, Unauthorized | SyntaxException):
        return "fatal"
    return "retry"


def refused(error: NoHostAvailable) -> str | None:
    """Why credentials are wrong, if that is it. A server that cannot look them up yet says so by the same exception."""
    for cause in error.errors.values() if isinstance(error.errors, dict) else ():
        if isinstance(cause, AuthenticationFailed) and "Unable to perform authentication" not in str(cause):
            return text_of(cause)
    return None


def answered(error: Exception) -> bool:
    """A server is there, though it does not let us begin yet: its system tables are not loaded, or it is too slow."""
    causes = (
        error.errors.values() if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) else (error,)
    )
    return any(isinstance(cause, OperationTimedOut | AuthenticationFailed | ErrorMessage) for cause in causes)


def text_of(error: Exception) -> str:
    """One line; the driver's name the hosts and hold no value of a row."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"

# SPDX-License-Identifier: Apache-2.0
"""Everything that needs redis-py: the connection, one pipeline, and what its replies mean for rows.

One `Connection` without redis-py's client around it: commands are sent while the next are made, packed by hiredis alone
(the client looks at every argument in Python, which takes several times as long), and nothing is retried here (the
client's ten retries held one call for 25 s in front of a stopped server); the delivery does that.
"""

from __future__ import annotations

import logging
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any, Literal

import hiredis
from redis import connection as connections
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from aicore.errors import Fatal, RowError
from aicore_redis.commands import Command
from aicore_redis.target import Target

logger = logging.getLogger("aicore")

RedisConnection = Any  # redis-py's connection classes have no types

#: Bytes that make a system call worth its while.
_SEND_BYTES = 1 << 16

# Replies about the server, which pass: full, a replica, replicas missing, a disk that fails, a script that runs or that
# was flushed between two commands. By class where redis-py has one, else by the first word.
_PASSING = (
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
)
_PASSING_WORDS = ("MISCONF", "NOREPLICAS", "BUSY", "NOSCRIPT")
# Replies that no later attempt changes: rights, and a cluster, which this client does not follow.
_FINAL = (exceptions.NoPermissionError, exceptions.AskError)


class _Known:
    #: Number and address of this connection at the server; None before the first, or where the server does not say.
    known_as: tuple[str, str] | None = None
    #: The server has let us in, perhaps through an earlier connection.
    let_in = False


class _Forgetting(_Known):
    """What a call has not sent when it gives up shall not be sent: after close() the kernel would go on trying, and a
    network that heals would bring old records behind the new ones of the next connection. So closing resets."""

    def _connect(self) -> socket.socket:
        sock: socket.socket = super()._connect()  # type: ignore[misc]  # of the class that it is mixed into
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return sock


class _Plain(_Forgetting, connections.Connection):
    pass


class _Encrypted(_Forgetting, connections.SSLConnection):
    pass


class _Local(_Known, connections.UnixDomainSocketConnection):
    pass


# redis-py has types for some of their parameters only.
_CLASSES: dict[str, Any] = {"redis": _Plain, "rediss": _Encrypted, "redis+unix": _Local}


def open_connection(target: Target) -> RedisConnection:
    """The connection, not connected yet."""
    settings: dict[str, Any] = {
        "username": target.user,
        "password": target.password,
        "db": target.db,
        "socket_timeout": target.timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # what the next one adds, pushed messages, nobody waits for
        "client_name": "aicore",
    }
    if target.scheme == "redis+unix":
        settings["path"] = target.path
    else:
        settings |= {"host": target.host, "port": target.port, "socket_connect_timeout": target.timeout}
    if target.scheme == "rediss":
        if target.insecure:
            settings |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
        else:
            settings |= {"ssl_ca_certs": target.ca, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    return _CLASSES[target.scheme](**settings)


def warn(target: Target) -> None:
    """Says what is not safe in the way the server is reached."""
    if target.insecure:
        logger.warning("redis: insecure: whoever answers as %s gets the flows and the password", target.host)
    elif target.scheme == "redis" and target.password and not _loopback(target.host):
        logger.warning("redis: the password goes to %s in clear text; rediss:// encrypts it", target.host)


def connect(connection: RedisConnection) -> None:
    """Connects and waits for an answer. Fatal where no later attempt can succeed."""
    send(connection, [Command(("PING",), ())])


def answered(error: ConnectionError) -> bool:
    """The server is there, but not ready: it loads its data."""
    return isinstance(error.__cause__, exceptions.BusyLoadingError)


def send(connection: RedisConnection, commands: Iterable[Command]) -> list[RowError]:
    """Sends commands as they are made, connecting if need be, then reads the replies; the answer names rows that were
    not delivered. What is raised leaves all of them unknown: an OSError if the connection is lost or too slow."""
    deadline = time.monotonic() + connection.socket_timeout
    try:
        if connection.is_connected and _ended(connection):
            connection.disconnect()
        if not connection.is_connected:
            _connect(connection, deadline)
        sent = _sent(connection, commands, deadline)
        replies = [_reply(connection, deadline) for _ in sent]
    except BaseException as error:
        connection.disconnect()  # else the next batch would read this one's replies
        if isinstance(error, exceptions.RedisError) and (reason := _final(error)):
            if connection.let_in:
                raise ConnectionError(f"{reason} (it let us in before)") from error
            raise Fatal(f"redis: {reason}") from error
        if isinstance(error, exceptions.ConnectionError):
            raise ConnectionError(str(error)) from error
        if isinstance(error, exceptions.TimeoutError):
            raise TimeoutError(str(error)) from error
        raise
    return _errors(sent, replies)


def _connect(connection: RedisConnection, deadline: float) -> None:
    """A reset does not reach what a proxy or the server itself has taken already. So the server first drops the
    connection that was given up, and with it what has not come out of it yet. Both number and address must be right:
    after a restart of the server the number may be another client's."""
    connection.connect()
    commands: list[Any] = [("CLIENT", "INFO")]
    if connection.known_as is not None:
        number, address = connection.known_as
        commands.insert(0, ("CLIENT", "KILL", "ID", number, "ADDR", address))
    connection.send_packed_command([b"".join(map(hiredis.pack_command, commands))])
    info = [_reply(connection, deadline) for _ in commands][-1]
    # An error from servers before 6.2, proxies that know no CLIENT, and users without the right to it.
    words = info.decode(errors="replace").split() if isinstance(info, bytes) else []
    told = dict(word.partition("=")[::2] for word in words)
    connection.known_as = (told["id"], told["addr"]) if told.get("id") and told.get("addr") else None


def _sent(connection: RedisConnection, commands: Iterable[Command], deadline: float) -> list[Command]:
    """The server works on the first commands while the next are made; none is so small that it is sent alone."""
    sent: list[Command] = []
    waiting: list[bytes] = []
    size = 0
    for command in commands:
        sent.append(command)
        waiting.append(hiredis.pack_command(tuple(command.args)))
        size += len(waiting[-1])
        if size >= _SEND_BYTES:
            if time.monotonic() > deadline:
                raise exceptions.TimeoutError("Timeout writing to socket")
            connection.send_packed_command([b"".join(waiting)])
            waiting, size = [], 0
    if waiting:
        connection.send_packed_command([b"".join(waiting)])
    return sent


def _reply(connection: RedisConnection, deadline: float) -> Any:
    """One deadline for all replies: a server that drips must not get the timeout for each."""
    try:
        return connection.read_response(timeout=max(deadline - time.monotonic(), 0.001))
    except exceptions.ResponseError as error:
        if str(error).startswith("Protocol error"):
            raise  # the server hangs up: a value was larger than it takes
        return error


def _ended(connection: RedisConnection) -> bool:
    """Whether the server has hung up since the last batch, as it does after its `timeout`: no reason to fail."""
    try:
        return bool(connection.can_read())
    except exceptions.RedisError:
        return True


def _errors(commands: Sequence[Command], replies: Sequence[Any]) -> list[RowError]:
    found: dict[int, RowError] = {}
    passing: str | None = None
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, Exception):
            kind, text = _meaning(command, reply)
            if _passes(reply):
                passing = text
            found |= {row: RowError(row, kind, text) for row in command.rows}
    if passing is not None:
        # A server that is full takes a command now and then. That says nothing against the rows of the others, so all
        # that was written counts as not written; deletions, which free memory, stand.
        for command in commands:
            if not command.frees:
                for row in command.rows:
                    found.setdefault(row, RowError(row, "retry", passing))
    return list(found.values())


def _meaning(command: Command, error: Exception) -> tuple[Literal["retry", "poison", "fatal"], str]:
    """What a reply means for the command's rows. Raises it where it does not say which of them it meant."""
    text = _text(error)
    if text.startswith("WRONGTYPE"):
        # The hash of one flow is one row's matter; that of all flows, or the stream, is the store's.
        name = command.args[3 if command.own else 1]
        return "poison" if command.own else "fatal", f"{name} is there and is something else: {text}"
    if isinstance(error, _FINAL):
        return "fatal", text
    if len(command.rows) > 1 and not _passes(error):
        raise error  # the delivery finds the row
    return "retry", text


def _passes(error: Exception) -> bool:
    return isinstance(error, _PASSING) or _text(error).startswith(_PASSING_WORDS)


def _text(error: Exception) -> str:
    """The reply as the server gave it; redis-py keeps the first word of known ones apart."""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)


def _final(error: exceptions.RedisError) -> str | None:
    """Why no later attempt can succeed, if so: not unless credentials, rights or certificates change."""
    if isinstance(error, exceptions.AuthenticationError | exceptions.NoPermissionError) or "DB index" in str(error):
        return _text(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the server's certificate is not trusted: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return None


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

# SPDX-License-Identifier: Apache-2.0
"""The driver: a connection that waits for no answer longer than it should, and what its exceptions mean."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

import psycopg
from psycopg.waiting import Ready, Wait

from aicore.errors import Fatal

#: Seconds for each answer. The server gives up a little sooner, so that a write which is repeated does not wait for the
#: locks of the first attempt.
ANSWER_SECONDS = 10.0
_SETTINGS = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "client_min_messages": "warning",
    "statement_timeout": "9s",
    "lock_timeout": "4s",
    # Of a process that stands still, or whose machine is gone, nobody shall wait for the locks.
    "idle_in_transaction_session_timeout": "30s",
}
OLDEST = 120_000  # 12: ATTACH PARTITION beside readers

Judgement = Literal["rows", "table", "connection", "timeout", "retry", "fatal"]

# By class or whole code of SQLSTATE (PostgreSQL's Appendix A); the longest that fits.
_JUDGED: dict[str, Judgement] = {
    "08": "connection",
    "0A": "table",  # such as a plan for a table that was changed
    "21": "rows",
    "22": "rows",
    "23": "rows",
    "25": "connection",
    "28": "fatal",
    "3D": "fatal",
    "3F": "table",
    "40": "retry",
    "42": "table",
    "42501": "fatal",
    "44": "rows",
    "53": "retry",
    "54": "rows",
    "55": "retry",
    "57": "connection",
    "57014": "timeout",
    "58": "retry",
    "P0": "rows",  # raised by somebody's trigger
    "XX": "retry",
}

# Connecting fails without a code. A server that speaks another language is taken for one that is away.
_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|certificate"
    r"|does not support SSL|no encryption|is not permitted to log in|permission denied for database"
    r"|(?:database|role) \".*\" does not exist|password .*expired"
)
_ANSWERED = re.compile(r"FATAL:|" + _REFUSED.pattern)


class Unreachable(ConnectionError):
    """No connection. `answered`: a server is there, though it does not let us begin yet."""

    def __init__(self, text: str) -> None:
        super().__init__(f"postgres: {text}")
        self.answered = bool(_ANSWERED.search(text))


class NotLetIn(Unreachable):
    """The server refuses us: credentials, database, or its certificate is not what it should be."""


class _Connection(psycopg.Connection[Any]):
    def wait(self, gen: Any, *_: Any, **__: Any) -> Any:
        """psycopg's own waits without an end for a server that is frozen, and after each second looks for a signal."""
        deadline = time.monotonic() + ANSWER_SECONDS
        poll = select.poll()
        fd = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                poll.register(fd, select.POLLIN * bool(wanted & Wait.R) | select.POLLOUT * bool(wanted & Wait.W))
                events = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
                if not events:
                    # Whatever is done with it from here on fails at once, instead of waiting, too.
                    self.pgconn.finish()
                    raise TimeoutError(f"no answer in {ANSWER_SECONDS:.0f} s")
                mask = events[0][1]
                ready = Ready.R * bool(mask & ~select.POLLOUT) | Ready.W * bool(mask & ~select.POLLIN)
                wanted = gen.send(ready & wanted or wanted)
        except StopIteration as stop:
            return stop.value


class Link:
    """A connection. Made with libpq's parameters: Unreachable, TimeoutError, Fatal for a server that
    cannot hold the records."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        try:
            self._connection = _Connection.connect(autocommit=True, **parameters)
        except psycopg.Error as error:
            text = one_line(str(error))
            raise (NotLetIn if _REFUSED.search(text) else Unreachable)(text) from error
        try:
            with raising():
                self._settle()
        except BaseException:
            self.close()
            raise

    def _settle(self) -> None:
        version = self._connection.info.server_version
        if version < OLDEST:
            raise Fatal(f"postgres: the server is {version // 10_000}; aicore needs {OLDEST // 10_000} or newer")
        self.execute("; ".join(f"SET {name} = '{value}'" for name, value in _SETTINGS.items()))
        ((encoding,),) = self.rows("SHOW server_encoding")
        if encoding != "UTF8":
            raise Fatal(
                f"postgres: database {self._connection.info.dbname} has the encoding {encoding}, which does not hold"
                " all names; make it with ENCODING 'UTF8' TEMPLATE template0"
            )

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.close()

    def execute(self, sql: str, values: Sequence[Any] | None = None, *, prepare: bool = False) -> int:
        """How many rows it was about."""
        return self._connection.execute(sql.encode(), values, prepare=prepare or None).rowcount

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql.encode(), values or None).fetchall()

    def copy(self, sql: str, data: Iterable[bytes]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
            for piece in data:
                copy.write(piece)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Committed at the end, or nothing of it is done."""
        self.execute("BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if not self.closed:
                with suppress(psycopg.Error, OSError):
                    self.execute("ROLLBACK")
            raise


def judge(error: psycopg.Error) -> Judgement:
    """What it means: rows cannot be stored, the table is not as it should be, the connection is gone, ..."""
    code = error.sqlstate
    if code == "23514" and error.diag.constraint_name is None:
        return "table"  # no partition for the row
    if code is None:
        return "connection" if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else "rows"
    return _JUDGED.get(code) or _JUDGED.get(code[:2], "retry")


@contextmanager
def raising(*, worked: bool = False) -> Iterator[None]:
    """The driver's exceptions as those that the delivery understands, about the table or the connection as a whole.
    `worked`: the table was as it should be before. It is looked at again at the next connection, which then knows what
    is wrong."""
    try:
        yield
    except psycopg.Error as error:
        text = f"postgres: {text_of(error)}"
        kind = judge(error)
        if kind in ("fatal", "rows") or (kind == "table" and not worked):
            raise Fatal(text) from error
        if kind == "timeout":
            raise TimeoutError(text) from error
        if kind in ("connection", "table"):
            raise ConnectionError(text) from error
        raise OSError(text) from error


def text_of(error: psycopg.Error) -> str:
    """One line without the values of a row, which the server's DETAIL has."""
    primary = error.diag.message_primary
    return one_line(f"{primary} ({error.sqlstate})" if primary else str(error))


def one_line(text: str) -> str:
    return " ".join(text.split())

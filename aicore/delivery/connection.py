# SPDX-License-Identifier: Apache-2.0
"""The adaptor as its delivery calls it: one call at a time, with its name and time, so that one that hangs shows."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aicore.delivery.faults import ATTEMPTS, CODE_ERRORS, Tracebacks
from aicore.delivery.timing import Clock, log
from aicore.errors import AicoreError, Fatal, PartialWrite, RowError
from aicore.plugins.adaptor import DatabaseAdaptor, write_batch, write_rows
from aicore.plugins.secrets import scrub, text_of
from aicore.record.batch import FlowBatch

#: A call that has not returned for so long is named.
STUCK_SECONDS = 5.0


class Away(Exception):
    """The store could not be reached, or has no room: says nothing about any row."""


class Connection:
    """Connects, writes and closes; after a write that lost the store, connects again before the next one.

    What was not opened by URL is neither connected nor closed: it is the program's.
    """

    def __init__(self, name: str, adaptor: Any, url: str | None, clock: Clock = time.monotonic) -> None:
        self.adaptor = adaptor
        self.write_seconds = 0.0
        self._name = name
        self._url = url
        self._clock = clock
        self._connected = False
        self._lost = False  # the last write lost the store
        self._code_errors = 0  # of connect(), in a row
        self._reload = False  # set by any thread
        self._call: tuple[str, float] | None = None  # what the adaptor is in, since when
        self._named = False  # that call, in the log
        self._tracebacks = Tracebacks(name)

    @property
    def needs_connect(self) -> bool:
        return self._url is not None and not self._connected

    def connect(self) -> None:
        """Raises what the adaptor raises; see `broken`."""
        assert self._url is not None
        try:
            with self._calling("connect"):
                self.adaptor.connect(self._url)
        except BaseException as error:
            self._code_errors = self._code_errors + 1 if isinstance(error, CODE_ERRORS) else 0
            raise
        self._code_errors = 0
        self._connected = True
        self._lost = False

    @property
    def broken(self) -> bool:
        """connect() fails by an error of its code, time after time: no store comes back by waiting for that."""
        return self._code_errors >= ATTEMPTS

    def write(self, batch: FlowBatch, *, merged: bool) -> Sequence[RowError] | None:
        """Gives a batch to the adaptor; raises what it raises, Away if there was no way to the store, and Fatal if it
        does not let us in any more.

        merged: a row may stand for several events.
        """
        if self._lost:
            self._connect_again()
        begin = self._clock()
        try:
            with self._calling("write"):
                if merged and getattr(type(self.adaptor), "write", None) in (None, DatabaseAdaptor.write):
                    # Of an adaptor that gets every event row by row: no flow's insert may be missing, nor its last
                    # update.
                    write_rows(self.adaptor, batch, events="net")
                    return None
                return write_batch(self.adaptor, batch)
        except (ConnectionError, TimeoutError, PartialWrite) as error:
            cause = error.__cause__ if isinstance(error, PartialWrite) else error
            self._lost = self._url is not None and isinstance(cause, ConnectionError | TimeoutError)
            raise
        finally:
            self.write_seconds += self._clock() - begin

    def want_reload(self) -> None:
        """Has the adaptor reload between two batches. Safe from any thread."""
        self._reload = True

    def reload(self) -> None:
        """What want_reload() asked for."""
        if not self._reload:
            return
        self._reload = False
        if isinstance(self.adaptor, DatabaseAdaptor):
            try:
                with self._calling("reload"):
                    self.adaptor.reload()
            except BaseException as error:  # on the delivery's thread, which it must not end
                log.warning("%s: reload: %s", self._name, describe(error))

    def close(self) -> None:
        """Idempotent."""
        self._close(logging.WARNING)

    def _close(self, level: int) -> None:
        if not self._connected:
            return
        self._connected = False
        try:
            with self._calling("close"):
                self.adaptor.close()
        except (Exception, SystemExit) as error:
            log.log(level, "%s: close: %s", self._name, describe(error))

    def _connect_again(self) -> None:
        """Many drivers never come back from a connection that was cut."""
        self._close(logging.DEBUG)  # of what is broken anyway
        try:
            self.connect()
        except AicoreError as error:  # does not heal
            raise Fatal(f"connect: {describe(error)}") from error
        except BaseException as error:
            if self.broken:
                raise Fatal(f"its connect() fails by an error of its code: {describe(error)}") from error
            raise Away(describe(error)) from error

    @property
    def calling_for(self) -> float:
        """Seconds."""
        call = self._call
        return self._clock() - call[1] if call else 0.0

    def stuck_in(self) -> str | None:
        """The call that does not return. Named in the log once, so that looking is all that is needed."""
        call = self._call
        if call is None or self._clock() - call[1] <= STUCK_SECONDS:
            return None
        if not self._named:
            self._named = True
            log.error("%s: %s() has not returned for %.0f s", self._name, call[0], STUCK_SECONDS)
        return call[0]

    @contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        self._named = False
        self._call = (what, self._clock())
        try:
            yield
        except Exception as error:
            self._tracebacks.note(what, error)
            raise
        finally:
            self._call = None


def describe(error: BaseException) -> str:
    """One line without secrets."""
    text = " ".join(scrub(text_of(error)).split())[:500]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

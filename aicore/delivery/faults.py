# SPDX-License-Identifier: Apache-2.0
"""What an error is about: the adaptor's code, the place where the store is, or perhaps a row."""

from __future__ import annotations

import errno

from aicore.delivery.timing import log
from aicore.plugins.secrets import scrub, text_of

#: What Python raises where code is wrong: no store is away by them.
CODE_ERRORS = (
    TypeError,
    AttributeError,
    NameError,
    LookupError,
    AssertionError,
    NotImplementedError,
    ImportError,
    ArithmeticError,
)
#: What the system says of a disk, a network or its own limits, never of a row: of a disk with little room left
#: small rows go in and large ones do not, and no number of attempts makes a large one poison.
_PLACE_ERRORS = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EIO,
        errno.EBUSY,
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    )
)
#: Attempts in a row that fail by them, before the adaptor is taken for broken.
ATTEMPTS = 5
#: Flows whose rows must have failed by them: of fewer it may be the rows.
FLOWS = 3

_MOST = 16  # places remembered


def of_its_place(error: BaseException | None) -> bool:
    """The store is away by it, as it is where nobody answers."""
    return isinstance(error, OSError) and error.errno in _PLACE_ERRORS


class _Raised(Exception):
    """Shown for an error: its text has no secrets, and others that led to it are left out."""


class Tracebacks:
    """Logs where an adaptor raises what may be an error of its code: the first time, and for each new place."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen: set[tuple[type[BaseException], str, int]] = set()

    def note(self, call: str, error: BaseException) -> None:
        error = error.__cause__ or error  # of a PartialWrite
        trace = error.__traceback__
        if isinstance(error, OSError) or type(error).__module__ != "builtins" or trace is None:
            return
        while trace.tb_next is not None:
            trace = trace.tb_next
        place = (type(error), trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        if place in self._seen or len(self._seen) >= _MOST:
            return
        self._seen.add(place)
        shown = _Raised(f"{type(error).__name__}: {scrub(text_of(error))[:500]}")
        log.error(
            "%s: %s() raises, perhaps by an error of its code",
            self._name,
            call,
            exc_info=(_Raised, shown, error.__traceback__),
        )


class CodeFaults:
    """Whether a write fails by its code whatever it is given."""

    def __init__(self) -> None:
        self._attempts = 0
        self._flows: set[str] = set()

    def delivered(self) -> None:
        """Of something it does not."""
        self._attempts = 0
        self._flows.clear()

    def failed(self, error: BaseException, flows: list[str]) -> None:
        if not isinstance(error, CODE_ERRORS):
            self.delivered()
        elif len(self._flows) < FLOWS:
            self._flows.update(flows)

    def attempt(self) -> bool:
        """After a round that delivered nothing: True if the adaptor is broken."""
        if not self._flows:
            return False
        self._attempts += 1
        return self._attempts >= ATTEMPTS and len(self._flows) >= FLOWS

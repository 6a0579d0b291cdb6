# SPDX-License-Identifier: Apache-2.0
"""A function that is asked about addresses, without waiting for it."""

from __future__ import annotations

import ipaddress
import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import lru_cache

from cachetools import TTLCache

logger = logging.getLogger("aicore")

CACHE = 1 << 16  # answers remembered
WAITING = 1 << 12  # questions that wait for a thread
THREADS = 4


@lru_cache(CACHE)
def _public(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_global and not parsed.is_multicast


class Service:
    """Scores of public addresses from `function(address) -> int | None`, called on daemon threads of this object.

    An answer is kept for `seconds`. A call longer than `timeout` seconds counts as the answer None: its thread cannot
    be stopped, so it is left to itself and replaced; while THREADS such calls have not returned, none is replaced
    and questions wait. `ask` belongs to one thread, everything else may be read from any.
    """

    def __init__(
        self,
        function: Callable[[str], int | None],
        *,
        seconds: float = 3600.0,
        timeout: float = 2.0,
        name: str = "service",
    ) -> None:
        if seconds <= 0 or timeout <= 0:
            raise ValueError("seconds and timeout must be above 0")
        self.name = name
        self.counters = {"asked": 0, "answered": 0, "failed": 0, "late": 0, "refused": 0}
        self._function = function
        self._timeout = timeout
        self._lock = threading.Lock()
        self._answers: TTLCache[str, int | None] = TTLCache(CACHE, seconds, timer=time.monotonic)
        self._waiting: queue.Queue[str] = queue.Queue(WAITING)
        self._asked: set[str] = set()
        #: When a thread's call began; a thread that was given up is not in it.
        self._calls: dict[threading.Thread, tuple[str, float]] = {}
        self._threads: set[threading.Thread] = set()
        self._given_up: set[threading.Thread] = set()

    def ask(self, address: str) -> int | None:
        """The score, if it is known by now; else the question is on its way. Never waits."""
        with self._lock:
            if address in self._answers:
                return self._answers[address]
            if address in self._asked or not _public(address):
                return None
            try:
                self._waiting.put_nowait(address)
            except queue.Full:
                self.counters["refused"] += 1
                return None
            self._asked.add(address)
            self.counters["asked"] += 1
            self._start()
        return None

    def check(self) -> None:
        """Gives up calls that are late. To be called now and then, from the thread that asks."""
        with self._lock:
            oldest = time.monotonic() - self._timeout
            for thread, (address, began) in list(self._calls.items()):
                if began < oldest:
                    self._finish(thread, address, None, "late")
                    self._threads.discard(thread)
                    self._given_up.add(thread)
            for _ in range(min(THREADS, self._waiting.qsize())):
                self._start()

    def _start(self) -> None:
        """One more thread, if there may be one."""
        if len(self._threads) >= THREADS or len(self._threads) + len(self._given_up) >= 2 * THREADS:
            return
        # Daemons, unlike those of concurrent.futures: a call that hangs must not keep the process from ending.
        thread = threading.Thread(target=self._work, name=f"aicore-reputation-{self.name}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            address = self._waiting.get()
            with self._lock:
                self._calls[me] = (address, time.monotonic())
            score, outcome = None, "answered"
            try:
                score = _checked(self._function(address))
            except Exception as error:
                outcome = "failed"
                logger.debug("reputation: %s failed: %s", self.name, type(error).__name__)
            with self._lock:
                if me in self._given_up:
                    self._given_up.discard(me)
                    return
                self._finish(me, address, score, outcome)

    def _finish(self, thread: threading.Thread, address: str, score: int | None, outcome: str) -> None:
        del self._calls[thread]
        self._asked.discard(address)
        self._answers[address] = score
        self.counters[outcome] += 1


def _checked(score: object) -> int | None:
    if score is None or (isinstance(score, int) and not isinstance(score, bool) and 0 <= score <= 100):
        return score
    raise ValueError("a score is a whole number from 0 to 100")

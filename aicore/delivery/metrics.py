# SPDX-License-Identifier: Apache-2.0
"""Every counter of a delivery, in one place, and the run's numbers for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aicore.errors import UsageError

#: name: (gauge or counter, meaning). Events unless the name says otherwise.
ADAPTOR: dict[str, tuple[str, str]] = {
    "accepted": ("counter", "events handed over by the run, and those an earlier run left in the spool"),
    "delivered": ("counter", "events that the store has"),
    "merged": ("counter", "events merged into a later one of their flow"),
    "filtered": ("counter", "events of transports that the adaptor does not get"),
    "dead_lettered": ("counter", "events that the store refuses for good"),
    "shed": ("counter", "updates dropped because queue and spool were full"),
    "lost": ("counter", "events for which there was no room anywhere, or that the disk lost"),
    "queued": ("gauge", "events in memory"),
    "spooled": ("gauge", "events in the spool"),
    "queued_bytes": ("gauge", "bytes in memory"),
    "spooled_bytes": ("gauge", "bytes of the spool"),
    "spooled_total": ("counter", "events that went through the spool"),
    "spool_age_seconds": ("gauge", "age of the oldest segment that waits"),
    "spool_damaged_bytes": ("counter", "bytes of the spool that were damaged and skipped"),
    "spool_damaged_rows": ("counter", "events that damage of the spool has cost, as far as can be told"),
    "spool_vanished": ("counter", "events that became unreadable in the spool while the run went on"),
    "recovered": ("counter", "events found in the spool at the start"),
    "replayed": ("counter", "events delivered from the spool"),
    "retried": ("counter", "events of failed writes, each time"),
    "dead_letters_unwritten": ("counter", "dead letters for which there was no file or no room"),
    "batches": ("counter", "batches handed over"),
    "writes": ("counter", "calls of write()"),
    "write_ms": ("counter", "milliseconds in write()"),
}

#: Where an accepted event can be. The sum of these is `accepted`, always.
PLACES = ("delivered", "merged", "filtered", "dead_lettered", "shed", "lost", "queued", "spooled")

Collect = Callable[[], Mapping[str, Any]]


def new_counters() -> dict[str, int]:
    return dict.fromkeys(ADAPTOR, 0)


def balance(counters: Mapping[str, int]) -> int:
    """accepted minus everywhere an event can be: 0 unless something was miscounted."""
    return counters["accepted"] - sum(counters[place] for place in PLACES)


def serve(address: str, collect: Collect) -> Callable[[], None]:
    """Serves Prometheus on HOST:PORT or PORT (then loopback alone) until the returned function is called.

    `collect` gives {"run": {name: number}, "adaptors": {name: {"counters": ..., "lag_seconds": ..., "state": ...}}},
    and is called on the server's thread. UsageError without prometheus_client, or for an address that cannot be used.
    """
    try:
        import prometheus_client
    except ImportError:
        raise UsageError("--metrics needs the package prometheus_client (the extra `metrics`)") from None
    host, _, port = address.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{address!r} is not HOST:PORT or PORT")
    registry = prometheus_client.CollectorRegistry()
    registry.register(_Collector(collect))
    try:
        server, thread = prometheus_client.start_http_server(int(port), host.strip("[]") or "127.0.0.1", registry)
    except OSError as error:
        raise UsageError(f"--metrics {address}: {error.strerror or error}") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


class _Collector:
    def __init__(self, collect: Collect) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        found = self._collect()
        for name, value in found.get("run", {}).items():
            yield GaugeMetricFamily("aicore_" + re.sub(r"[^a-zA-Z0-9_]", "_", name), f"{name} of the core", value=value)
        adaptors = found.get("adaptors", {})
        for name, (kind, text) in ADAPTOR.items():
            make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            family = make("aicore_adaptor_" + name, text, labels=["adaptor"])
            for adaptor, numbers in adaptors.items():
                family.add_metric([adaptor], numbers["counters"].get(name, 0))
            yield family
        lag = GaugeMetricFamily("aicore_adaptor_lag_seconds", "age of the oldest undelivered event", labels=["adaptor"])
        state = GaugeMetricFamily("aicore_adaptor_state", "1 for the state it is in", labels=["adaptor", "state"])
        for adaptor, numbers in adaptors.items():
            lag.add_metric([adaptor], numbers["lag_seconds"])
            state.add_metric([adaptor, numbers["state"]], 1)
        yield lag
        yield state

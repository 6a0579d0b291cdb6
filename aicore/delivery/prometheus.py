# SPDX-License-Identifier: Apache-2.0
"""The run's numbers for Prometheus."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aicore.delivery.counters import ADAPTOR
from aicore.errors import UsageError

Collect = Callable[[], Mapping[str, Any]]


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

# SPDX-License-Identifier: Apache-2.0
"""A run's numbers for Prometheus, in its text form and in OpenMetrics'."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aicore import _core
from aicore.cli.metrics_server import Server
from aicore.delivery.counters import ADAPTOR
from aicore.errors import UsageError
from aicore.plugins.options import Option, check_options
from aicore.plugins.url import AdaptorURL
from aicore.run.workers import SHOWN

Collect = Callable[[], Mapping[str, Any]]

_OPTIONS = {
    "certificate": Option(str, default="", help="PEM file of the server's certificate and its chain, for https"),
    "key": Option(str, default="", help="PEM file of its private key, unless the certificate's file holds it"),
    "client_ca": Option(str, default="", help="PEM file: clients must have a certificate of one of these authorities"),
}


def serve(address: str, collect: Collect) -> Callable[[], None]:
    """Serves Prometheus until the returned function is called. `address`: PORT of the loopback, HOST:PORT, or
    `https://user:${PASSWORD}@HOST:PORT?certificate=PEM&key=PEM&client_ca=PEM`, each part after HOST:PORT optional but
    the certificate; `http://` the same without it.

    `collect` gives {"run": {counter: number}, "flows": {transport: number}, "workers": [{counter: number}],
    "adaptors": {name: {"counters": ..., "lag_seconds": ..., "state": ...}}}, and is called on threads of the server.
    UsageError without prometheus_client, or for an address that cannot be used.
    """
    try:
        import prometheus_client
    except ImportError:
        raise UsageError("--metrics needs the package prometheus_client (the extra `metrics`)") from None
    place = _Address.parse(address)
    registry = prometheus_client.CollectorRegistry()
    registry.register(_Collector(collect))
    app = prometheus_client.make_wsgi_app(registry)
    try:
        server = Server(place.host, place.port, app, tls=place.tls, login=place.login)
    except OSError as error:
        raise UsageError(f"--metrics {place.shown}: {error.strerror or error}") from None
    return server.stop


@dataclass(frozen=True)
class _Address:
    host: str
    port: int
    shown: str
    login: tuple[str, str] | None = None
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, address: str) -> _Address:
        if "://" not in address:
            host, _, port = address.rpartition(":")
            if not port.isdigit() or int(port) > 65535:
                raise UsageError(f"--metrics: {address!r} is not HOST:PORT or PORT, nor a URL with http:// or https://")
            return cls(host.strip("[]") or "127.0.0.1", int(port), address)
        url = AdaptorURL.parse(address)
        if url.scheme not in ("http", "https") or len(url.hosts) != 1 or url.path not in ("", "/"):
            raise UsageError(f"--metrics: {url.redacted} is not http://HOST:PORT or https://HOST:PORT")
        host, number = url.hosts[0]
        if number is None:
            raise UsageError(f"--metrics: {url.redacted} names no port")
        if (url.user is None) != (url.password is None):
            raise UsageError(f"--metrics: {url.redacted} needs a user and a password, or neither")
        config = check_options("--metrics", _OPTIONS, url.options)
        login = None if url.user is None or url.password is None else (url.user, url.password)
        return cls(host, number, url.redacted, login, _tls(url, config))


def _tls(url: AdaptorURL, config: Mapping[str, str]) -> ssl.SSLContext | None:
    if url.scheme == "http":
        if any(config.values()):
            raise UsageError(f"--metrics: {url.redacted}: certificates are for https://")
        return None
    if not config["certificate"]:
        raise UsageError(f"--metrics: {url.redacted} needs ?certificate=PEM")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    at = config["certificate"]
    try:
        context.load_cert_chain(at, config["key"] or None, password="")  # no question on the terminal
        if config["client_ca"]:
            at = config["client_ca"]
            context.load_verify_locations(at)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        raise UsageError(f"--metrics: {url.hide(at)}: {getattr(error, 'strerror', None) or error}") from None
    return context


class _Collector:
    def __init__(self, collect: Collect) -> None:
        self._collect = collect
        self._help = _core.counters_info()

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        found = self._collect()
        for name, value in found["run"].items():
            yield CounterMetricFamily(f"aicore_{name}", self._help.get(name, name), value=value)
        live = GaugeMetricFamily("aicore_flows_live", "flows in the table", labels=["transport"])
        for transport, flows in found["flows"].items():
            live.add_metric([transport], flows)
        yield live
        for name in SHOWN:
            each = CounterMetricFamily(f"aicore_worker_{name}", self._help.get(name, name), labels=["worker"])
            for worker, counters in enumerate(found["workers"]):
                each.add_metric([str(worker)], counters.get(name, 0))
            yield each
        adaptors = found["adaptors"]
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

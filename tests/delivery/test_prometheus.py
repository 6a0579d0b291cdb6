# SPDX-License-Identifier: Apache-2.0
"""One table of counters, and what Prometheus reads of it."""

from __future__ import annotations

import socket
import urllib.request
from typing import Any

import pytest

from aicore.delivery import Delivery
from aicore.delivery.counters import ADAPTOR, balance
from aicore.delivery.prometheus import serve
from aicore.errors import UsageError
from aicore.testing import FaultyAdaptor, make_batch

prometheus = pytest.importorskip("prometheus_client.parser")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_every_counter_is_described_and_served() -> None:
    one = Delivery("redis#2", FaultyAdaptor(), live=False, events="net", transports={6})
    one.start()
    one.put(make_batch(7))
    one.finish(10)
    assert balance(one.counters()) == 0
    assert set(one.counters()) == set(ADAPTOR)

    def collect() -> dict[str, Any]:
        state = {"counters": one.counters(), "lag_seconds": one.lag_seconds, "state": one.state}
        return {"run": {"packets": 42, "odd-name": 1}, "adaptors": {one.name: state}}

    port = free_port()
    stop = serve(str(port), collect)
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    finally:
        stop()
    found = {
        sample.name: sample for family in prometheus.text_string_to_metric_families(text) for sample in family.samples
    }
    assert found["aicore_packets"].value == 42
    assert found["aicore_odd_name"].value == 1
    assert found["aicore_adaptor_delivered_total"].value == 7
    assert found["aicore_adaptor_delivered_total"].labels == {"adaptor": "redis#2"}
    assert found["aicore_adaptor_state"].labels == {"adaptor": "redis#2", "state": "closed"}
    for name, (kind, _) in ADAPTOR.items():
        assert f"aicore_adaptor_{name}{'_total' if kind == 'counter' and not name.endswith('_total') else ''}" in found
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "192.0.2.1:80", ":x"])
def test_an_address_that_cannot_be_used_is_one_line(address: str) -> None:
    with pytest.raises(UsageError, match=address.replace(".", r"\.")):
        serve(address, dict)

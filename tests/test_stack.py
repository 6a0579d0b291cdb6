# SPDX-License-Identifier: Apache-2.0
"""StackLan: settings within bounds, and where flows go."""

from __future__ import annotations

from typing import Any

import pytest

import aicore
from aicore.run.stack import TCP, UDP


class Store(aicore.DatabaseAdaptor):
    def remove(self, key: str) -> None: ...


class Misspelt(aicore.DatabaseAdaptor):
    def write_rows(self, batch: aicore.FlowBatch) -> None: ...


class Duck:
    def insert(self, key: str) -> None: ...
    def update(self, key: str, data: str) -> None: ...
    def remove(self, key: str) -> None: ...


def test_defaults() -> None:
    stack = aicore.StackLan()
    assert (stack.tcp_flows, stack.udp_flows) == (163840, 163840)
    assert (stack.idle_tcp, stack.idle_udp, stack.half_open, stack.active) == (300, 180, 70, 0)
    options = stack.engine_options()
    assert options["idle_udp"] == 180_000_000_000
    assert (stack.every_tcp, stack.every_udp) == (32, 32)
    assert "sensor" not in options
    assert stack.statistics == {}


def test_settings_are_checked() -> None:
    stack = aicore.StackLan(tcp_flows=10, sensor="tap1")
    stack.configure({"udp_flows": "20", "linger": 0, "vlan_in_key": "off"})
    assert (stack.tcp_flows, stack.udp_flows, stack.sensor, stack.vlan_in_key) == (10, 20, "tap1", False)
    stack.flows_timeout = 60
    assert (stack.idle_tcp, stack.idle_udp, stack.flows_timeout) == (60, 60, 60)
    assert aicore.StackLan().tcp_flows == 163840
    for name, value in (("tcp_flows", -1), ("udp_flows", 1.5), ("udp_flows", True), ("idle_tcp", 0), ("sensor", 5)):
        with pytest.raises(ValueError, match=name):
            setattr(stack, name, value)
    with pytest.raises(aicore.UsageError, match="no setting 'tcpflows'; did you mean tcp_flows"):
        aicore.StackLan(tcpflows=1)


@pytest.mark.parametrize("n", [-1, 1.5, "16", None, True, 1 << 31])
def test_n_must_be_a_whole_number_from_0(n: Any) -> None:
    stack = aicore.StackLan()
    with pytest.raises(ValueError, match="n must be a whole number"):
        stack.set_udp_database_adaptor(Store(), n)
    with pytest.raises(ValueError, match="n must be a whole number"):
        stack.set_tcp_database_adaptor(Store(), n)
    assert stack.attached() == []


def test_one_object_for_both_transports_is_attached_once() -> None:
    stack, store, other = aicore.StackLan(), Store(), Store()
    stack.set_tcp_database_adaptor(store, 4)
    stack.set_udp_database_adaptor(store, 0)
    stack.add_database_adaptor(other, udp=False)
    stack.add_database_adaptor("jsonl:x")
    assert [(one.adaptor, one.every) for one in stack.attached()] == [
        (store, {TCP: 4, UDP: 0}),
        (other, {TCP: 4}),
        ("jsonl:x", {TCP: 4, UDP: 0}),
    ]
    assert (stack.every_tcp, stack.every_udp) == (4, 0)
    stack.set_tcp_database_adaptor(None)
    stack.set_udp_database_adaptor(Duck())
    assert [set(one.every) for one in stack.attached()] == [{UDP}, {TCP}, {TCP, UDP}]


@pytest.mark.parametrize("wrong", [object(), 5, Store, Duck, Misspelt()])
def test_what_is_no_adaptor_is_refused(wrong: Any) -> None:
    with pytest.raises(aicore.UsageError, match=r"adaptor|neither write nor"):
        aicore.StackLan().set_tcp_database_adaptor(wrong)


def test_classes_say_which_events_they_want() -> None:
    class Simple(aicore.DatabaseAdaptor):
        def __init__(self) -> None:
            """Does not call the base class, which keeps no state."""

    class Fast(Simple):
        def write(self, batch: aicore.FlowBatch) -> None: ...

    class Both(aicore.DatabaseAdaptor):
        events = "all"

        def write(self, batch: aicore.FlowBatch) -> None: ...

    class Mixin:
        def write(self, batch: aicore.FlowBatch) -> None: ...

    class Mixed(Mixin, aicore.DatabaseAdaptor):
        pass

    assert (Simple.events, Fast.events, Both.events, Mixed.events) == ("all", "net", "all", "net")


def test_a_setting_with_a_slip_in_its_name_is_said() -> None:
    stack = aicore.StackLan()
    with pytest.raises(aicore.UsageError, match=r"no setting 'tcp_flow'.*tcp_flows"):
        stack.tcp_flow = 5  # type: ignore[attr-defined]
    stack.tcp_flows, stack.every_tcp, stack.flows_timeout = 5, 1, 60
    assert (stack.tcp_flows, stack.idle_udp) == (5, 60)

    class Mine(aicore.StackLan):
        """May have attributes of its own."""

    mine = Mine(udp_flows=7)
    mine.place = "roof"  # type: ignore[attr-defined]
    assert (mine.place, mine.udp_flows) == ("roof", 7)  # type: ignore[attr-defined]

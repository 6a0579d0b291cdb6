# SPDX-License-Identifier: Apache-2.0
"""Every name that a client sends reaches hooks: each Host of a connection, each DNS question of a flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from captures import payloads as pay
from captures.build import CLIENT, RESOLVER, SERVER
from captures.files import Capture, Tcp, Udp, talks

import aicore


class Names:
    """The newest name of a list at each update, and the last record."""

    def __init__(self, field: str) -> None:
        self.field = field
        self.seen: list[str] = []
        self.last: dict[str, Any] = {}

    @aicore.hookimpl
    def flow_update(self, flows: aicore.FlowBatch) -> None:
        for names in flows.column(self.field):
            if names and names[-1:] != tuple(self.seen[-1:]):
                self.seen.append(names[-1])

    @aicore.hookimpl
    def flow_remove(self, flows: aicore.FlowBatch) -> None:
        (flow,) = flows
        self.last = flow.to_dict()


def run(capture: Capture, folder: Path, field: str) -> tuple[Names, dict[str, int]]:
    hook, stack = Names(field), aicore.StackLan()
    stack.use(hook)
    with aicore.PacketDispatcher(str(capture.write(folder / "capture.pcap"))) as dispatcher:
        dispatcher.stack = stack
        dispatcher.run()
    return hook, stack.statistics


def test_two_hosts_of_a_connection(tmp_path: Path) -> None:
    talk = Tcp((CLIENT, 40000), (SERVER, 80)).open()
    for host in ("one.example.org", "two.example.org", "one.example.org"):
        talk.say(pay.http_request(host, method="POST", body=b"x" * 5000)).say(pay.http_response(b"y" * 5000), True)
    hook, counters = run(talks(talk.close()), tmp_path, "httphosts")
    assert hook.seen == ["one.example.org", "two.example.org"]
    assert hook.last["httphost"] == "one.example.org"
    assert list(hook.last["httphosts"]) == hook.seen
    assert counters["names_beyond_list"] == 0


@pytest.mark.parametrize("n", [25, 10_000])
def test_each_question_of_a_flow(tmp_path: Path, n: int) -> None:
    names = [f"n{i}.example.org" for i in range(n)]
    talk = Udp((CLIENT, 42000), (RESOLVER, 53))
    for name in names:
        talk.ask(pay.dns_query((name, pay.A)), pay.dns_response((name, pay.A), answers=[(pay.A, SERVER)]))
    hook, counters = run(talks(talk), tmp_path, "dnsdomains")
    assert hook.seen == names
    assert hook.last["dnsdomain"] == names[0]
    assert list(hook.last["dnsdomains"]) == names[-16:]
    assert counters["names_beyond_list"] == n - 16
    assert counters["strings_cut"] == 0

# SPDX-License-Identifier: Apache-2.0
"""Every capture of the project against what its generator says a reader must report, and every capture format."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from captures import packets as p
from captures.build import CAPTURES, dns, http, tls
from captures.files import EPOCH, Capture, Frame, talks

import aicore

FOLDER = Path(__file__).parent / "captures"


def differences(got: list[Any], capture: Capture) -> list[str]:
    """What does not agree, flow by flow; several flows of one key are told apart by their fields."""
    left, out = list(got), []
    for want in capture.flows:
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in want.fields.items()}
        wanted = {"key": want.key, "packets": want.packets, "bytes": want.bytes, **fields}
        same_key = [flow for flow in left if flow.key == want.key]
        wrong = [{n: getattr(flow, n) for n, v in wanted.items() if getattr(flow, n) != v} for flow in same_key]
        if {} in wrong:
            left.remove(same_key[wrong.index({})])
        else:
            out.append(f"want {wanted}, differing: {wrong}")
    return out + [f"not expected: {flow.key}" for flow in left]


@pytest.mark.parametrize("name", CAPTURES)
def test_flows(name: str, tmp_path: Path) -> None:
    capture = CAPTURES[name]()
    assert differences(list(aicore.flows(capture.write(tmp_path / name))), capture) == []


@pytest.mark.parametrize(("ng", "order", "nano"), list(itertools.product((False, True), "<>", (False, True))))
def test_formats(ng: bool, order: str, nano: bool, tmp_path: Path) -> None:
    capture = talks(http(), tls())
    capture.frames = [Frame(f.time + 789, f.data, f.length) for f in capture.frames]
    flows = list(aicore.flows(capture.write(tmp_path / "capture", ng=ng, order=order, nano=nano)))
    assert differences(flows, capture) == []
    assert min(flow.first_seen for flow in flows) == EPOCH + (789 if nano else 0)
    assert max(flow.last_seen for flow in flows) == capture.frames[-1].time - (0 if nano else 789)


OWN_NAMES = ("gre", "erspan", "vxlan", "geneve", "gtpu", "teredo", "etherip", "l2tp", "capwap", "ayiya")
TUNNELS = dict(zip(OWN_NAMES, OWN_NAMES, strict=True)) | {
    "gre_wccp": "gre",
    "vxlan_gpe": "vxlan",
    "l2tp3_ip": "l2tp",
    "l2tp3_udp": "l2tp",
    "mpls_ip": "mpls",
    "mpls_udp": "mpls",
    "pim_register": "pim",
    "ipcomp": "ipip",
}


def test_tunnel_names_are_reported(tmp_path: Path) -> None:
    for capture, tunnel in TUNNELS.items():
        (flow,) = aicore.flows(CAPTURES[capture]().write(tmp_path / capture))
        assert flow.tunnel.split(":")[0] == tunnel
    for name, tunnel in {"pbb": "pbb:100", "trill": "trill"}.items():
        assert {flow.tunnel for flow in aicore.flows(CAPTURES[name]().write(tmp_path / name))} == {tunnel}


@pytest.mark.parametrize("name", ["arcnet_bsd", "arcnet_linux", "pflog"])
def test_filters_know_link_types(name: str, tmp_path: Path) -> None:
    flows = list(aicore.flows(CAPTURES[name]().write(tmp_path / name), filter="tcp port 80"))
    assert [flow.layer7 for flow in flows] == ["http"]


@pytest.mark.parametrize("name", ["nflog", "pktap"])
def test_filters_that_libpcap_lacks_are_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(aicore.SourceError, match="filtering not implemented"):
        list(aicore.flows(CAPTURES[name]().write(tmp_path / name), filter="tcp port 80"))


def test_a_tunnels_id_may_be_left_out_of_the_key(tmp_path: Path) -> None:
    path = CAPTURES["vni_twins"]().write(tmp_path / "twins.pcap")
    (flow,) = aicore.flows(path, tunnel_in_key=False)
    assert flow.tunnel == "vxlan:1"
    assert {flow.tunnel for flow in aicore.flows(path)} == {"vxlan:1", "vxlan:2"}


def test_vlan_ids_are_reported(tmp_path: Path) -> None:
    flows = list(aicore.flows(CAPTURES["qinq"]().write(tmp_path / "qinq")))
    assert {(flow.vlan, flow.vlan_inner) for flow in flows} == {(200, 100)}


def test_what_a_tunnel_carries_is_broken(tmp_path: Path) -> None:
    """The outer UDP is the flow then."""
    headers = 20 + 8 + 8 + 14  # outer IPv4 and UDP, VXLAN, inner Ethernet
    datagrams = [p.vxlan(packet) for packet in http().packets]
    broken = [datagram[:headers] + b"\xff" * (len(datagram) - headers) for datagram in datagrams]
    (flow,) = aicore.flows(Capture().add(broken).write(tmp_path / "broken"))
    assert (flow.proto, flow.portdst, flow.packets) == (17, 4789, len(broken))


def test_generator_is_deterministic(tmp_path: Path) -> None:
    """The committed demo capture is what the generator writes."""
    subprocess.run([sys.executable, FOLDER / "generate.py", tmp_path], check=True)
    assert (tmp_path / "demo.pcap").read_bytes() == (FOLDER / "demo.pcap").read_bytes()


def test_demo_capture_is_worth_showing() -> None:
    flows = list(aicore.flows(FOLDER / "demo.pcap"))
    assert {flow.layer7 for flow in flows} >= {"http", "tls", "dns", "mdns"}
    assert {flow.end_reason for flow in flows} >= {"fin", "rst"}
    assert all(flow.httphost for flow in flows if flow.layer7 == "http")
    assert all(flow.sslhost for flow in flows if flow.layer7 == "tls")
    assert len({flow.ipsrc for flow in flows} | {flow.ipdst for flow in flows}) >= 12


def test_a_pause_in_a_capture_splits_no_flow(tmp_path: Path) -> None:
    """The clock of a file takes small steps, so that one broken timestamp ends nothing; an hour's pause is no such."""
    visits = [http(40000 + i) for i in range(5)] + [dns(42000 + i) for i in range(20)]
    before, after = talks(http(39999)), talks(*visits)
    after.frames = [frame._replace(time=frame.time + 3_600_000_000_000) for frame in after.frames]
    before.frames += after.frames
    flows = Counter(flow.key for flow in aicore.flows(before.write(tmp_path / "pause.pcap")))
    assert set(flows.values()) == {1}
    assert len(flows) == 26

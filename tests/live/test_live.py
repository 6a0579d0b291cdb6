# SPDX-License-Identifier: Apache-2.0
"""Live capture: what an interface carries reaches the store, in time, and nothing that was admitted goes without its
end: not at a signal, not when the interface goes away."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from captures.build import CAPTURES
from live_hosts import DEMO, PEER, SENSOR, Network, complete, join, need, send, sockets

import aicore

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"


def test_a_capture_replayed_gives_the_flows_of_its_file(network: Network, sensor: Any) -> None:
    tcpreplay = need("tcpreplay", "tcpreplay")
    one = sensor()
    network.run(network.peer, tcpreplay, "--pps", "2000", "-i", "eth0", DEMO)
    time.sleep(0.5)
    summary = one.stop()
    fields = ("key", "vlan", "packets", "bytes", "payload_bytes", "layer7", "httphost", "sslhost", "dnsdomain", "ja4")
    live = Counter(tuple(event.get(name) for name in fields) for event in one.of("remove"))
    read = Counter(tuple(flow.to_dict().get(name) for name in fields) for flow in aicore.flows(str(DEMO)))
    assert live == read
    counters = summary["counters"]
    assert [counters[name] for name in ("kernel_drop", "interface_drop", "updates_shed", "not_admitted")] == [0] * 4


#: What hides flows from the kernel's program, or does not.
HIDDEN = ("ethernet", "vlan", "qinq", "mpls", "pppoe", "gre_key", "gre_ethernet", "erspan", "vxlan", "geneve", "gtpu")
HIDDEN += ("gtpu_extension", "teredo", "tunnel_in_tunnel", "ipip_6in4", "fragments", "fragments_v6", "reset")


def test_several_workers_share_an_interface(network: Network, sensor: Any, tmp_path: Path) -> None:
    """Each flow has one record, whichever sockets its packets came in by."""
    tcpreplay = need("tcpreplay", "tcpreplay")
    one = sensor("--workers", "3")
    files = [CAPTURES[name]().write(tmp_path / f"{name}.pcap") for name in HIDDEN]
    for file in (DEMO, *files):
        network.run(network.peer, tcpreplay, "--pps", "2000", "-i", "eth0", file)
    time.sleep(0.5)
    summary = one.stop()
    assert len(summary["workers"]) == 3
    assert all(worker["packets"] for worker in summary["workers"])
    counters = summary["counters"]
    assert [counters[name] for name in ("kernel_drop", "interface_drop", "updates_shed", "not_admitted")] == [0] * 4
    live, read = Counter[str](), Counter[str]()
    for event in one.of("remove"):
        live[event["key"]] += event["packets"]
    for file in (str(DEMO), *map(str, files)):
        for flow in aicore.flows(file):
            read[flow.key] += flow.packets
    assert live == read
    demo = {flow.key for flow in aicore.flows(str(DEMO))}
    ended = Counter(event["key"] for event in one.of("remove") if event["key"] in demo)
    assert ended == Counter(flow.key for flow in aicore.flows(str(DEMO)))


def test_real_clients_and_servers(network: Network, sensor: Any, tmp_path: Path) -> None:
    need("curl", "curl")
    need("dnsmasq", "dnsmasq-base")
    need("dig", "bind9-dnsutils")
    certificate = tmp_path / "server.pem"
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", certificate, "-out", certificate],
            *["-days", "2", "-subj", "/CN=www.example.org"],
        ],
        check=True,
        capture_output=True,
    )
    web = (
        "import http.server, ssl, sys\n"
        "address = (sys.argv[1], int(sys.argv[2]))\n"
        "server = http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler)\n"
        "if len(sys.argv) > 3:\n"
        "    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        "    context.load_cert_chain(sys.argv[3])\n"
        "    server.socket = context.wrap_socket(server.socket, server_side=True)\n"
        "server.serve_forever()\n"
    )
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    network.start(network.peer, sys.executable, "-c", web, PEER, 8080, **quiet)
    network.start(network.peer, sys.executable, "-c", web, PEER, 8443, certificate, **quiet)
    resolver = ["dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", f"--listen-address={PEER}", "--bind-interfaces"]
    network.start(network.peer, *resolver, "--address=/example.org/192.0.2.7", "--pid-file=", **quiet)
    one = sensor()
    retry = ["--retry", "30", "--retry-connrefused", "--retry-delay", "1", "--silent", "--output", "/dev/null"]
    to_peer = ["--connect-to", f"www.example.org:80:{PEER}:8080", "--connect-to", f"www.example.org:443:{PEER}:8443"]
    network.run(network.sensor, "curl", *retry, *to_peer, "--user-agent", "test/1", "http://www.example.org/x?y=1")
    network.run(network.sensor, "curl", *retry, *to_peer, "--insecure", "https://www.example.org/")
    network.run(network.sensor, "dig", "+tries=5", f"@{PEER}", "host.example.org", "A")
    time.sleep(0.5)
    one.stop()
    complete(one.events())
    web_flows = [event for event in one.of("remove") if event["portdst"] == 8080 and event.get("layer7") == "http"]
    expected = {"httphost": "www.example.org", "httpuri": "/x?y=1", "httpmethod": "GET", "httpstatus": 404}
    assert [{name: flow[name] for name in expected} for flow in web_flows] == [expected]
    assert web_flows[0]["useragent"] == "test/1"
    assert web_flows[0]["end_reason"] == "fin"
    (tls,) = [event for event in one.of("remove") if event["portdst"] == 8443 and event.get("layer7") == "tls"]
    assert (tls["sslhost"], tls["tlsversion"]) == ("www.example.org", "1.3")
    assert re.fullmatch(r"t13d[0-9a-z]{6}_[0-9a-f]{12}_[0-9a-f]{12}", tls["ja4"])
    (dns,) = [event for event in one.of("remove") if event.get("layer7") == "dns"]
    assert (dns["dnsdomain"], dns["dnsips"], dns["dnsrcode"]) == ("host.example.org", ["192.0.2.7"], "NOERROR")


def test_the_seeds_main_program(network: Network, tmp_path: Path) -> None:
    """Unchanged: it listens on eth0, and an interrupt ends it with every flow written."""
    program = network.start(
        network.sensor,
        sys.executable,
        EXAMPLES / "seed" / "main.py",
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONSAFEPATH": "", "PYTHONPATH": str(EXAMPLES / "seed")},
    )
    end = time.monotonic() + 20
    while sockets(network) == 0:
        assert program.poll() is None, program.stderr and program.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    send(network, 20)
    time.sleep(0.5)
    program.send_signal(signal.SIGINT)
    program.wait(20)
    lines = (tmp_path / "udpflows.txt").read_text().splitlines()
    records = [json.loads(line.partition("] ")[2]) for line in lines]
    assert [record["packets"] for record in records] == [16, 20]  # every 16 packets, and what is left at the end
    assert {record["key"] for record in records} == {f"{PEER}:6000:17:{SENSOR}:5000"}


def test_flows_expire_while_no_packet_arrives(network: Network, sensor: Any) -> None:
    one = sensor("--idle-udp", "1")
    send(network, 3)
    one.wait_for(lambda: one.of("remove"), "the flow's end", 5)
    (end,) = one.of("remove")
    assert (end["end_reason"], end["packets"]) == ("idle", 3)
    one.stop()


def test_events_come_within_the_flush_interval_and_a_second(network: Network, sensor: Any) -> None:
    one = sensor()
    begin = time.time()
    send(network, 1)
    one.wait_for(lambda: one.of("insert"), "the insert", 5)
    assert time.time() - begin < 0.1 + 1 + 1  # a second for the sender to start
    one.stop()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_with_final_events(network: Network, sensor: Any, how: int) -> None:
    one = sensor()
    for i in range(20):
        send(network, 2, sport=6000 + i)
    one.wait_for(lambda: len(one.of("insert")) == 20, "the inserts")
    summary = one.stop(how)
    assert len(complete(one.events())) == 20
    assert {event["end_reason"] for event in one.of("remove")} == {"shutdown"}
    assert summary["counters"]["flows_udp"] == 20


@pytest.mark.usefixtures("live_plugins")
def test_hangup_calls_the_reload_hook(network: Network, sensor: Any, tmp_path: Path) -> None:
    one = sensor("--plugin", f"reloader?path={tmp_path / 'reloaded'}")
    send(network, 1)
    one.wait_for(lambda: one.of("insert"), "the first events")
    one.process.send_signal(signal.SIGHUP)
    one.wait_for(lambda: (tmp_path / "reloaded").exists(), "the hook")
    send(network, 1, sport=6001)
    one.wait_for(lambda: len(one.of("insert")) == 2, "events after the hangup")
    one.stop()


def test_the_interface_goes_down_and_up(network: Network, sensor: Any) -> None:
    one = sensor()
    for i in range(3):
        send(network, 5, gap=0.01)
        one.wait_for(lambda n=i: any(e["packets"] >= 1 for e in one.events()) and n >= 0, "events")
        network.link("down")
        time.sleep(0.2)
        network.link("up")
        one.wait_for(network.carrier, "the link")
    send(network, 5)
    time.sleep(0.5)
    one.stop()
    (flow,) = complete(one.events())
    (end,) = one.of("remove")
    assert end["flow_id"] == flow
    assert end["packets"] == 20


def test_the_interface_is_made_again(network: Network, sensor: Any) -> None:
    one = sensor()
    send(network, 5)
    one.wait_for(lambda: one.of("insert"), "the insert")
    network.run(network.sensor, "ip", "link", "del", "eth0")
    time.sleep(0.5)
    join(network)
    end = time.monotonic() + 15
    while not one.of("insert")[1:] and time.monotonic() < end:  # until it has found the new one
        send(network, 1, sport=6001)
        time.sleep(0.3)
    one.stop()
    assert len(complete(one.events())) == 2


def test_an_interface_that_is_gone_has_its_own_exit_code(network: Network, sensor: Any) -> None:
    one = sensor()
    send(network, 5)
    one.wait_for(lambda: one.of("insert"), "the insert")
    network.run(network.sensor, "ip", "link", "del", "eth0")
    one.finish(code=5)
    assert len(complete(one.events())) == 1
    assert "eth0" in one.log


@pytest.mark.usefixtures("live_plugins")
def test_a_stalled_hook_costs_no_packet(network: Network, sensor: Any) -> None:
    """A second in which Python does nothing, at the highest rate the sender reaches."""
    one = sensor("--plugin", "staller")
    send(network, 60_000, size=200)
    time.sleep(1)
    summary = one.stop()
    counters = summary["counters"]
    assert (counters["kernel_drop"], counters["updates_shed"]) == (0, 0)
    (end,) = one.of("remove")
    assert end["packets"] == 60_000


def test_two_interfaces_are_one_input(network: Network, sensor: Any) -> None:
    network.run(network.sensor, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1")
    for name in ("eth1", "far1"):
        network.run(network.sensor, "ip", "link", "set", name, "up")
    one = sensor("-i", "eth1")
    network.run(network.sensor, "tcpreplay", "-q", "--pps", "2000", "-i", "far1", DEMO)
    send(network, 5)
    one.wait_for(lambda: any(e["portdst"] == 5000 for e in one.events()), "the other interface's flow")
    one.stop()
    flows = complete(one.events())
    assert len(flows) == len(list(aicore.flows(str(DEMO)))) + 1


def test_root_is_dropped_before_plugins(network: Network, open_place: Any) -> None:
    """With --user: another user, no capabilities, no new privileges, in every thread, and plugins never saw root."""
    folder = open_place.folder
    program = network.start(
        network.sensor,
        *[open_place.python, "-m", "aicore", "run", "-i", "eth0", "--user", "nobody", "--no-spool"],
        *["--to", f"jsonl:{folder}/records.jsonl", "--plugin", f"whoami?path={folder}/whoami"],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(open_place.site)},
    )
    end = time.monotonic() + 20
    while not (folder / "whoami").exists():
        assert program.poll() is None, program.stderr and program.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    status = [path.read_text() for path in Path(f"/proc/{program.pid}/task").glob("*/status")]
    for text in status:
        assert re.search(r"^Uid:\t(\d+)", text, re.M).group(1) != "0"  # type: ignore[union-attr]
        assert re.search(r"^CapEff:\t0+$", text, re.M)
        assert re.search(r"^NoNewPrivs:\t1$", text, re.M)
    assert set(map(int, (folder / "whoami").read_text().split())) == {pwd.getpwnam("nobody").pw_uid}
    program.terminate()
    assert program.wait(20) == 0

# SPDX-License-Identifier: Apache-2.0
"""What the predecessor (AIEngine) was measured to get wrong, numbered as in its list of weaknesses: each must be right
here, shown on a small capture made for it."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from captures import packets as p
from captures import payloads as pay
from captures.build import CLIENT, RESOLVER, SERVER, dns, equal_ports, http, midstream, short_segments, tls
from captures.files import EPOCH, RAW, Capture, Frame, Tcp, Udp, talks

import aicore


class Recorder(aicore.DatabaseAdaptor):
    """Keeps every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any] | None]] = []

    def insert(self, key: str) -> None:
        self.calls.append(("insert", key, None))

    def update(self, key: str, data: str) -> None:
        self.calls.append(("update", key, json.loads(data)))

    def remove(self, key: str) -> None:
        self.calls.append(("remove", key, None))

    def kinds(self, key: str | None = None) -> list[str]:
        return [kind for kind, name, _ in self.calls if key in (None, name)]

    def updates(self, key: str | None = None) -> list[dict[str, Any]]:
        return [data for _, name, data in self.calls if data is not None and key in (None, name)]


def run(capture: Capture, folder: Path, tcp: Any = None, udp: Any = None, n: int = 16) -> aicore.StackLan:
    stack = aicore.StackLan()
    stack.set_tcp_database_adaptor(tcp, n)
    stack.set_udp_database_adaptor(udp, n)
    with aicore.PacketDispatcher(str(capture.write(folder / "capture.pcap"))) as dispatcher:
        dispatcher.stack = stack
        dispatcher.run()
    return stack


def flows(capture: Capture, folder: Path) -> list[Any]:
    return list(aicore.flows(capture.write(folder / "capture.pcap")))


def test_01_flows_are_told_apart_by_the_whole_tuple(tmp_path: Path) -> None:
    """100 pairs whose source XOR destination is the same, and pairs that collide as source XOR 7 x port."""
    pairs = [Udp((f"10.0.0.{i}", 5000), (f"10.0.1.{i}", 5000)).say(b"hello") for i in range(1, 101)]
    pairs += [Udp((f"2001:db8::{i:x}", 5000), (f"2001:db8:1::{i:x}", 5000)).say(b"hello") for i in range(1, 101)]
    for i in range(100):
        pairs.append(Udp((f"10.9.{(i * 7) >> 8}.{(i * 7) & 255}", i), ("10.8.0.1", 9)).say(b"hello"))
    capture = talks(*pairs)
    got = flows(capture, tmp_path)
    assert Counter(flow.key for flow in got) == Counter(flow.key for flow in capture.flows)
    assert len({flow.flow_id for flow in got}) == len(pairs)


def test_02_a_short_flow_is_reported_whole(tmp_path: Path) -> None:
    """Fewer packets than N: the host and the last bytes reach the store all the same."""
    talk, long = http(), Tcp((CLIENT, 40100), (SERVER, 9000)).open().say(bytes(90 * 1000), True, size=1000).close()
    recorder = Recorder()
    run(talks(talk, long), tmp_path, tcp=recorder)
    for conversation in (talk, long):
        key = conversation.flow.key
        kinds = recorder.kinds(key)
        assert (kinds[0], kinds[-1]) == ("insert", "remove")
        assert recorder.updates(key)[-1]["packets"] == conversation.flow.packets
        assert recorder.updates(key)[-1]["bytes"] == conversation.flow.bytes
    assert recorder.updates(talk.flow.key)[-1]["httphost"] == "www.example.org"


def test_03_a_normal_close_gives_a_remove(tmp_path: Path) -> None:
    """Also for connections of few packets, and before the input ends: a later flow keeps it going."""
    closed = Tcp((CLIENT, 40101), (SERVER, 80)).open().close()
    refused = Tcp((CLIENT, 40102), (SERVER, 81)).segment(p.SYN).segment(p.RST | p.ACK, from_server=True)
    later = Tcp((CLIENT, 40103), (SERVER, 80)).segment(p.SYN)
    capture = talks(closed, refused).add(later, at=20.0)
    recorder = Recorder()
    run(capture, tmp_path, tcp=recorder)
    order = [(kind, key) for kind, key, _ in recorder.calls]
    for talk in (closed, refused):
        assert order.count(("remove", talk.flow.key)) == 1
        assert order.index(("remove", talk.flow.key)) < order.index(("remove", later.flow.key))
    reasons = {flow.key: flow.end_reason for flow in flows(capture, tmp_path)}
    assert reasons == {closed.flow.key: "fin", refused.flow.key: "rst", later.flow.key: "shutdown"}


def test_04_a_stream_caught_in_the_middle_is_one_flow(tmp_path: Path) -> None:
    capture, recorder = midstream(), Recorder()
    run(capture, tmp_path, tcp=recorder)
    (expected,) = capture.flows
    assert {key for _, key, _ in recorder.calls} == {expected.key}
    assert Counter(recorder.kinds())["insert"] == Counter(recorder.kinds())["remove"] == 1
    assert recorder.updates()[-1]["packets"] == expected.packets == 40


def test_05_an_adaptor_that_raises_stops_neither_the_run_nor_another_store(tmp_path: Path) -> None:
    class Hiccup(Recorder):
        failures = 0

        def update(self, key: str, data: str) -> None:
            if len(self.updates()) >= 3 and self.failures < 2:
                self.failures += 1
                raise ConnectionError("the store went away")
            super().update(key, data)

    broken, healthy = Hiccup(), Recorder()
    visits = [talk for i in range(10) for talk in (http(40200 + i), dns(42200 + i))]
    run(talks(*visits), tmp_path, tcp=broken, udp=healthy, n=4)
    assert broken.failures == 2
    for recorder, kind in ((broken, Tcp), (healthy, Udp)):
        for talk in visits:
            if isinstance(talk, kind):
                assert recorder.updates(talk.flow.key)[-1]["packets"] == talk.flow.packets
                assert recorder.kinds(talk.flow.key)[-1] == "remove"


NASTY_HOSTS = [
    b'a"b\\c.com',
    b"caf\xe9.com",
    "\N{PILE OF POO}.example".encode(),
    b"tab\there.com",
    b"\0.com",
    b"\xc3.com",
]
NASTY_LABELS = [b'quo"te', b"back\\slash", b"\x01\x02\x1f\x7f", b"\xff\xfe", b"do.t"]


def test_06_json_is_valid_whatever_a_packet_says(tmp_path: Path) -> None:
    web = [Tcp((CLIENT, 40300 + i), (SERVER, 80)).open() for i in range(len(NASTY_HOSTS) + 1)]
    for talk, host in zip(web, [*NASTY_HOSTS, b"x" * 3000], strict=True):
        talk.say(pay.http_request(host)).say(pay.http_response(), True).close()
    questions = [Udp((CLIENT, 42300 + i), (RESOLVER, 53)) for i in range(len(NASTY_LABELS))]
    for question, label in zip(questions, NASTY_LABELS, strict=True):
        question.say(pay.dns_query(([label, b"org"], pay.A)))
    tcp, udp = Recorder(), Recorder()
    run(talks(*web, *questions), tmp_path, tcp=tcp, udp=udp)  # json.loads in Recorder.update would raise
    assert all(udp.updates(talk.flow.key) for talk in questions)
    hosts = [tcp.updates(talk.flow.key)[-1].get("httphost") for talk in web]
    assert hosts[0] == 'a"b\\c.com'
    assert hosts[1] == "caf\\xe9.com"
    assert hosts[2] == "\N{PILE OF POO}.example"
    assert all(len(host.encode()) <= 1024 for host in hosts if host is not None)


def test_07_sampling_of_zero_means_detections_only(tmp_path: Path) -> None:
    recorder, unknown = Recorder(), Tcp((CLIENT, 40401), (SERVER, 9000)).open().say(bytes(50_000), True).close()
    run(talks(http(), unknown), tmp_path, tcp=recorder, n=0)
    assert recorder.kinds(unknown.flow.key) == ["insert", "update", "remove"]  # no update but the final one
    stack = aicore.StackLan()
    for wrong in (-1, True, 2.5):
        with pytest.raises((ValueError, TypeError)):
            stack.set_tcp_database_adaptor(recorder, wrong)
    for _ in range(100):  # attaching and detaching is harmless
        stack.set_tcp_database_adaptor(recorder, 16)
        stack.set_tcp_database_adaptor(None)


def test_08_other_threads_run_while_packets_are_read(tmp_path: Path) -> None:
    """The packets come through a pipe that another Python thread fills: a run() that held the GIL would never end."""
    capture = talks(*(http(40500 + i) for i in range(200)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(capture.pcap()), daemon=True)
    feeder.start()
    assert len(list(aicore.flows(str(pipe)))) == 200
    feeder.join(10)
    assert not feeder.is_alive()


def test_09_a_store_costs_a_call_a_batch_and_a_slow_one_loses_nothing(tmp_path: Path) -> None:
    class Slow(aicore.DatabaseAdaptor):
        events = "all"

        def __init__(self) -> None:
            self.calls, self.kinds, self.threads = 0, Counter[str](), set[int]()

        def write(self, batch: aicore.FlowBatch) -> None:
            self.calls += 1
            self.kinds.update(batch.column("event"))
            self.threads.add(threading.get_ident())
            time.sleep(0.02)

    talks_ = [Udp((f"10.1.{i >> 8}.{i & 255}", 5000), (SERVER, 9)).say(b"x").say(b"y") for i in range(5000)]
    slow = Slow()
    run(talks(*talks_, gap=0.0001), tmp_path, udp=slow, n=1)
    assert (slow.kinds["insert"], slow.kinds["remove"]) == (5000, 5000)
    assert slow.kinds["update"] >= 10_000
    assert slow.calls < slow.kinds.total() / 100
    assert len(slow.threads) == 1
    assert threading.get_ident() not in slow.threads


def test_10_counters_have_64_bits(tmp_path: Path) -> None:
    """More than 2^32 bytes in one flow, as frames of 64 KiB of which 64 bytes were captured."""
    packet = p.udp(CLIENT, 5000, SERVER, 9, bytes(65_535 - 28))
    frame = p.ethernet(packet)
    count = 2**32 // len(packet) + 10
    frames = [Frame(EPOCH + i * 1000, frame[:64], len(frame)) for i in range(count)]
    (flow,) = flows(Capture(frames=frames), tmp_path)
    assert (flow.packets, flow.bytes) == (count, count * 65_535)
    assert flow.bytes > 2**32


def test_11_dns_type_names_and_labels(tmp_path: Path) -> None:
    """A name seen before keeps its type, a flow with several names lists them, long and odd labels are decoded."""
    twice = [dns(42400 + i, "again.example.org") for i in range(2)]
    names = ["first.example.org", "second.example.org"]
    two = Udp((CLIENT, 42402), (RESOLVER, 53))
    for i, name in enumerate(names):
        two.ask(pay.dns_query((name, pay.AAAA), ident=i), pay.dns_response((name, pay.AAAA), ident=i))
    long = "x" * 63 + "." + "y" * 40 + ".example.org"
    got = {flow.portsrc: flow for flow in flows(talks(*twice, two, dns(42403, long)), tmp_path)}
    assert [got[42400 + i].dnsqtype for i in range(2)] == [got[42400].dnsqtype] * 2
    assert got[42400].dnsqtype != got[42402].dnsqtype
    assert got[42400].dnsips == (SERVER,)
    assert (got[42402].dnsdomain, got[42402].dnsdomains) == (names[0], tuple(names))
    assert got[42403].dnsdomain == long


def test_12_fragments_belong_to_their_datagram(tmp_path: Path) -> None:
    """The later ones carry bytes that look like ports 31354 (the letters `zz`)."""
    talk = Udp((CLIENT, 42500), (SERVER, 9)).say(b"z" * 4000)
    talk.packets = p.fragments(talk.packets[0], 1480)
    (flow,) = flows(talks(talk), tmp_path)
    assert (flow.key, flow.packets, flow.bytes) == talk.flow[:3]
    assert len(talk.packets) == 3


def test_13_large_and_tiny_frames_are_counted(tmp_path: Path) -> None:
    jumbo = Udp((CLIENT, 42600), (SERVER, 9)).say(bytes(8972)).say(bytes(60_000))
    tiny = Udp((CLIENT, 42601), (SERVER, 9)).say(b"")
    bare = Tcp((CLIENT, 42602), (SERVER, 9)).segment(p.ACK)
    got = {flow.key: flow.bytes for flow in flows(talks(jumbo, tiny), tmp_path)}
    got |= {flow.key: flow.bytes for flow in flows(talks(bare, linktype=RAW, wrap=p.raw), tmp_path)}
    assert got == {talk.flow.key: talk.flow.bytes for talk in (jumbo, tiny, bare)}
    assert (len(tiny.packets[0]), len(bare.packets[0])) == (28, 40)


def test_14_direction_with_equal_ports(tmp_path: Path) -> None:
    capture = equal_ports()
    (flow,) = flows(capture, tmp_path)
    sent = [frame for frame in capture.frames if p.packed(CLIENT) == frame.data[26:30]]
    assert (flow.src_packets, flow.dst_packets) == (len(sent), len(capture.frames) - len(sent))
    assert flow.src_bytes == sum(len(frame.data) - 14 for frame in sent)
    assert (flow.httphost, flow.httpstatus, flow.end_reason) == ("peer.example.org", 200, "fin")


def test_15_recognition_needs_neither_the_first_segment_nor_a_port(tmp_path: Path) -> None:
    """Segments of three bytes, ports that say nothing, and connections that were open before the capture began."""
    middle = Tcp((CLIENT, 42700), (SERVER, 49200)).say(pay.http_request("middle.example.org"))
    middle.say(pay.http_response(), True)
    question = ("odd.example.org", pay.A)
    odd = Udp((CLIENT, 42702), (RESOLVER, 49202)).ask(pay.dns_query(question), pay.dns_response(question))
    capture = talks(middle, tls(42701, "odd.example.org", dport=49201), odd)
    got = {flow.portsrc: flow for flow in flows(capture, tmp_path)}
    assert (got[42700].layer7, got[42700].httphost) == ("http", "middle.example.org")
    assert (got[42701].layer7, got[42701].sslhost) == ("tls", "odd.example.org")
    assert (got[42702].layer7, got[42702].dnsdomain) == ("dns", "odd.example.org")
    short = {flow.layer7: flow for flow in flows(short_segments(), tmp_path)}
    assert short["http"].httphost == short["tls"].sslhost == "www.example.org"


def test_16_nothing_has_to_be_sized_before_use(tmp_path: Path) -> None:
    """Every flow is tracked and every one has its names: no pool of a fraction of the flows."""
    visits = [http(42800 + i, f"host{i}.example.org") for i in range(1000)]
    visits += [tls(45800 + i, f"name{i}.example.org") for i in range(1000)]
    capture = Capture()
    for i, visit in enumerate(visits):
        capture.add(visit, at=i * 1e-6, step=1.0)
    capture.sorted()  # all alive at once
    recorder = Recorder()
    run(capture, tmp_path, tcp=recorder)
    last = {key: data for _, key, data in recorder.calls if data is not None}
    assert {data.get("httphost") or data.get("sslhost") for data in last.values()} == {
        talk.fields.get("httphost") or talk.fields.get("sslhost") for talk in visits
    }


def test_17_a_long_flow_does_not_keep_idle_ones_alive(tmp_path: Path) -> None:
    """A goes on for 20 minutes; B is idle for most of them, and it is UDP packets that tell the time to TCP's flows."""
    alive = Udp((CLIENT, 42900), (SERVER, 9))
    for _ in range(120):
        alive.say(b"still here")
    idle_udp = Udp((CLIENT, 42901), (SERVER, 9)).say(b"once")
    idle_tcp = Tcp((CLIENT, 42902), (SERVER, 9)).open().say(b"once")
    capture = Capture().add(alive, step=10.0).add(idle_udp, at=1.0).add(idle_tcp, at=2.0).sorted()
    got = {flow.portsrc: flow for flow in flows(capture, tmp_path)}
    assert [got[port].end_reason for port in (42900, 42901, 42902)] == ["shutdown", "idle", "idle"]
    tcp, udp = Recorder(), Recorder()
    run(capture, tmp_path, tcp=tcp, udp=udp)
    removes = [key for kind, key, _ in udp.calls if kind == "remove"]
    assert removes == [idle_udp.flow.key, alive.flow.key]


def test_18_nothing_is_read_beyond_what_was_captured(tmp_path: Path) -> None:
    """A frame says 1,514 bytes on the wire and holds 60: counted by the former, read by the latter."""
    talk = http(43000)
    capture = talks(talk).cut(60)
    (flow,) = flows(capture, tmp_path)
    assert (flow.packets, flow.bytes, flow.httphost) == (talk.flow.packets, talk.flow.bytes, None)


def test_18_a_missing_device_is_an_error_not_an_exit(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    with pytest.raises(aicore.AicoreError, match="nothing"):
        list(aicore.flows(missing))
    program = subprocess.run(
        [Path(sys.executable).with_name("aicore"), "run", missing],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert 0 < program.returncode < 128
    assert len(program.stderr.strip().splitlines()) == 1
    assert str(missing) in program.stderr
    assert "Traceback" not in program.stderr


def test_18_frames_that_lie_about_their_lengths(tmp_path: Path) -> None:
    """Headers cut at every length: counted, never a crash, and the whole flow among them is found."""
    packet = p.ethernet(http(43100).packets[3])
    capture = Capture().add(dns(43101))
    capture.frames += [Frame(capture.frames[0].time, packet[:n], len(packet)) for n in range(1, 80)]
    lying = bytearray(packet)
    struct.pack_into("!H", lying, 16, 65_535)  # IP total length
    lying[46] = 0xF0  # TCP data offset
    capture.frames.append(Frame(capture.frames[0].time, bytes(lying), len(lying)))
    got = {flow.portsrc: flow for flow in flows(capture, tmp_path)}
    assert got[43101].dnsdomain == "www.example.org"
    assert set(got) <= {43100, 43101}

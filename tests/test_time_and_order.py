# SPDX-License-Identifier: Apache-2.0
"""Time stamps that cannot be right, files of one time, and flows that are continued: by captures of the generator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from captures import packets as p
from captures import payloads as pay
from captures.build import http
from captures.files import EPOCH, Capture, Frame, Tcp, Udp, talks
from commandline import invoke

import aicore

SECOND = 1_000_000_000
FAR = 2_145_916_800 - EPOCH // SECOND  # 2038, as broken clocks say
QUERY = Udp(("192.168.1.10", 5000), ("203.0.113.123", 123)).say(bytes(48)).packets
OTHER = Udp(("192.168.9.9", 1), ("192.168.9.8", 2)).say(b"x").packets


def queries(*before: float, between: tuple[float, ...] = ()) -> Capture:
    """Twenty, 400 s apart, from one port, and packets of others before them and behind the first."""
    capture = Capture()
    for t in before:
        capture.add(OTHER, t)
    for i in range(20):
        capture.add(QUERY, 400 * i)
        for t in between if i == 0 else ():
            capture.add(OTHER, t)
    return capture


@pytest.mark.parametrize(
    "capture",
    [
        queries(),
        queries(FAR),
        queries(FAR, FAR),
        queries(3 * 3600),
        queries(*(86400.0 + i for i in range(30))),
        queries(between=(FAR,)),
        queries(between=(FAR, FAR)),
        queries(between=(-FAR, -FAR)),
    ],
)
def test_time_stamps_far_off_freeze_no_end(capture: Capture, tmp_path: Path) -> None:
    flows = [flow for flow in aicore.flows(capture.write(tmp_path / "far")) if flow.portdst == 123]
    assert [flow.packets for flow in flows] == [1] * 20


@pytest.mark.parametrize("far", [FAR, -FAR, 301, -301])
@pytest.mark.parametrize("many", [1, 2, 30])
def test_time_stamps_far_off_end_no_flow(far: int, many: int, tmp_path: Path) -> None:
    capture = Capture()
    for i in range(100):
        if i == 50:
            for k in range(many):
                capture.add(OTHER, i + far + k * 0.001)
        capture.add([p.udp("192.168.1.10", 6000 + k, "203.0.113.123", 4500, b"x") for k in range(10)], i)
    flows = Counter(flow.packets for flow in aicore.flows(capture.write(tmp_path / "far")) if flow.portdst == 4500)
    assert flows == {100: 10}


@pytest.mark.parametrize(("gap", "idle", "flows"), [(3600, 900, 8), (600, 180, 8), (3600, 4000, 1)])
def test_idle_times_are_kept_over_pauses(gap: int, idle: int, flows: int, tmp_path: Path) -> None:
    capture = Capture()
    for i in range(8):
        capture.add(QUERY, gap * i)
    assert len(list(aicore.flows(capture.write(tmp_path / "pauses"), idle_udp=idle))) == flows


def test_ids_are_unique_without_times_and_the_same_again(tmp_path: Path) -> None:
    capture = Capture()
    for i in range(3000):
        capture.add(Udp((f"10.0.{i >> 8}.{i & 255}", 1000), ("203.0.113.53", 53)).say(b"x"))
    for isn in (1000, 5_000_000, 9_000_000):
        capture.add(Tcp(("192.168.1.10", 40000), ("203.0.113.80", 80), (isn, isn + 7)).open().close())
    capture.frames = [Frame(0, frame.data, frame.length) for frame in capture.frames]
    path = capture.write(tmp_path / "no-times")
    ids = [flow.flow_id for flow in aicore.flows(path)]
    assert len(set(ids)) == len(ids) == 3003
    assert {flow.flow_id for flow in aicore.flows(path)} == set(ids)
    twice = [flow.flow_id for flow in aicore.flows(path, path)]
    assert len(set(twice)) == len(twice)


def halves(tmp_path: Path) -> tuple[Path, Path]:
    """Twenty connections, 20 s apart, by the two interfaces of a tap."""
    whole = talks(*(http(44000 + i) for i in range(20)), gap=20)
    sides: list[Path] = []
    for side in (http().packets[0][12:16], http().packets[1][12:16]):
        half = Capture()
        half.frames = [frame for frame in whole.frames if frame.data[26:30] == side]
        sides.append(half.write(tmp_path / f"side{len(sides)}.pcap"))
    return sides[0], sides[1]


@pytest.mark.parametrize("first", [0, 1])
def test_files_of_one_time_are_merged(first: int, tmp_path: Path) -> None:
    files = halves(tmp_path)
    flows = list(aicore.flows(files[first], files[1 - first], merge=True))
    assert len(flows) == 20
    assert all(flow.src_packets and flow.dst_packets and flow.portdst == 80 for flow in flows)
    assert all(flow.httphost and flow.httpstatus == 200 for flow in flows)
    assert len(list(aicore.flows(*files))) > 20, "one after the other they are of two times"


def test_the_command_merges_and_says_when_it_should(tmp_path: Path) -> None:
    files = halves(tmp_path)
    for options in ("--merge",), ():
        store = tmp_path / f"flows{len(options)}.jsonl"
        done = invoke("run", *files, *options, "--to", f"jsonl:{store}", "--no-spool")
        assert done.exit_code == 0
        assert (len(store.read_text().splitlines()) == 20) is bool(options)
        assert ("--merge reads files of one time together" in done.output) is not bool(options)


def test_what_cannot_be_merged_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(aicore.UsageError, match="merge is for capture files"):
        aicore.PacketDispatcher(tmp_path, follow=True, merge=True)
    with pytest.raises(aicore.UsageError, match="merge is for capture files"):
        aicore.flows("lo", merge=True)
    with pytest.raises(aicore.SourceError, match="not a regular file; only such can be merged"):
        aicore.flows("/dev/null", merge=True)
    for others in (("-i", "lo"), (tmp_path, "--follow")):
        assert "--merge is for capture files" in invoke("run", *others, "--merge").output


def test_a_damaged_file_stops_no_other_one(tmp_path: Path) -> None:
    files = halves(tmp_path)
    files[1].write_bytes(files[1].read_bytes()[:-5])
    flows = list(aicore.flows(*files, merge=True, on_damage="warn"))
    assert len(flows) == 20
    with pytest.raises(aicore.SourceError, match="capture ends inside"):
        list(aicore.flows(*files, merge=True))


def test_a_flow_is_continued_after_the_active_timeout(tmp_path: Path) -> None:
    """RFC 5103: the pieces have the direction of the whole; they keep the names, too."""
    talk = http()
    del talk.packets[-3:]  # not closed
    capture = Capture().add(talk)
    for i in range(40):
        pushed = p.tcp("203.0.113.80", 80, "192.168.1.10", 40000, talk.seq[1] - 1 + i * 10, 0, p.ACK, bytes(10))
        capture.add([pushed], 1 + 5 * i)
    flows = list(aicore.flows(capture.write(tmp_path / "active"), active=60))
    assert len(flows) == 4
    assert {flow.key for flow in flows} == {talk.flow.key}
    assert {(flow.httphost, flow.layer7, flow.layer7_by) for flow in flows} == {("www.example.org", "http", "payload")}
    assert [flow.end_reason for flow in flows] == ["active"] * 3 + ["shutdown"]
    assert [bool(flow.continued) for flow in flows] == [False, True, True, True]
    assert len({flow.flow_id for flow in flows}) == 4


@pytest.mark.parametrize("from_server", [False, True])
def test_who_greets_first_does_not_matter_behind_a_syn_ack(from_server: bool, tmp_path: Path) -> None:
    """Dissectors see client and server as the handshake tells them, also where its SYN is missing."""
    host = "www.example.org"
    talk = Tcp(("192.168.1.10", 45000), ("203.0.113.80", 80)).open()
    talk.say(pay.http_request(host)).say(pay.http_response(), True).close(from_server)
    del talk.packets[0]
    (flow,) = aicore.flows(Capture().add(talk).write(tmp_path / "answer"))
    assert (flow.key, flow.httphost, flow.httpstatus) == (talk.flow.key, host, 200)

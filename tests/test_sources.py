# SPDX-License-Identifier: Apache-2.0
"""What captures may be: files and folders, compressed or not, of several interfaces, damaged; by whichever way they
are read."""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from captures.build import dns
from captures.files import Capture, Tcp, talks
from commandline import environment, invoke

import aicore
from aicore.run.source import natural_order


def arrow_codec(name: str) -> Callable[[bytes], bytes]:
    """Frames as the programs of that name write them."""

    def pack(data: bytes) -> bytes:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, name) as stream:
            stream.write(data)
        return bytes(sink.getvalue())

    return pack


PACK = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": arrow_codec("zstd"), "lz4": arrow_codec("lz4")}


def flow(port: int, at: float = 0.0) -> Capture:
    return Capture().add(dns(port), at)


def ports(source: Any, **settings: Any) -> list[int]:
    return [flow.portsrc for flow in aicore.flows(source, **settings)]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


# -- compressed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PACK)
def test_compressed_by_whichever_way(name: str, tmp_path: Path, visits: Capture) -> None:
    """By content: names say nothing. Standard input is a pipe here."""
    pack, expected = PACK[name], len(visits.flows)
    Path("packed").write_bytes(pack(visits.pcap()))
    assert len(list(aicore.flows("packed"))) == expected
    Path("folder").mkdir()
    Path("folder/ng").write_bytes(pack(visits.pcapng()))
    assert len(list(aicore.flows("folder"))) == expected
    done = subprocess.run(
        [sys.executable, "-m", "aicore", "run", "-", "--to", "memory:", "--json"],
        input=Path("packed").read_bytes(),
        capture_output=True,
        env=environment(tmp_path),
        check=True,
    )
    assert json.loads(done.stdout)["counters"]["packets"] == len(visits.frames)
    assert done.stderr == b""


@pytest.mark.parametrize("name", PACK)
def test_damaged_compression_is_damage(name: str, visits: Capture) -> None:
    visits.frames *= 20  # zstd unpacks 128 KiB at a time
    data = PACK[name](visits.pcap())
    Path("cut").write_bytes(data[:-4])
    result = invoke("run", "cut", "--to", "memory:", "--json")
    assert result.exit_code == 1
    (broken,) = json.loads(result.stdout)["broken_files"]
    assert broken["error"].startswith("cut: cannot be read after packet ")
    assert f": {name} data end early; read " in broken["error"]


# -- folders -----------------------------------------------------------------------------------------------------------


def test_names_are_in_natural_order() -> None:
    names = ["cap.pcap", "cap.pcap1.gz", "cap.pcap2", "cap.pcap10.gz", "cap1.pcap", "cap01.pcap", "cap2", "cap10"]
    names += ["day-2-part-9.xz", "day-2-part-10", "day-10-part-1", "x", "x.gz"]
    for order in (names[::-1], sorted(names)):
        assert sorted(order, key=natural_order) == [
            *("cap01.pcap", "cap1.pcap", "cap2", "cap10", "cap.pcap", "cap.pcap1.gz", "cap.pcap2", "cap.pcap10.gz"),
            *("day-2-part-9.xz", "day-2-part-10", "day-10-part-1", "x", "x.gz"),
        ]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_parts_of_one_capture_are_one(pack: Callable[[bytes], bytes]) -> None:
    """As `tcpdump -C` names them. Between the 20th part and the third lies more than an idle timeout."""
    Path("parts").mkdir()
    talk = Tcp(("10.0.0.1", 40000), ("10.0.0.2", 22)).open().say(bytes(60), size=2, ack=False)
    whole = Capture().add(talk, step=25.0)
    ending = ".gz" if pack is gzip.compress else ""
    for number, frame in enumerate(whole.frames):
        name = f"cap.pcap{number or ''}{ending}"
        Path("parts", name).write_bytes(pack(Capture(frames=[frame]).pcap()))
    (flow,) = aicore.flows("parts")
    assert flow.packets == len(whole.frames) > 30


def test_what_a_folder_holds_beside_captures_is_said() -> None:
    Path("folder/deeper").mkdir(parents=True)
    flow(1).write("folder/1.pcap")
    for name in ("a.txt", "b.txt", "c.txt", "d10.txt", "d9.txt", "e.txt"):
        Path("folder", name).write_text("no capture")
    Path("folder/f.pcap").touch()
    Path("folder/notes.gz").write_bytes(gzip.compress(b"no capture"))
    result = invoke("run", "folder", "--to", "memory:", "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert summary["warnings"] == [
        "folder: left out, as they are no capture files: a.txt, b.txt, c.txt, d9.txt, d10.txt and 3 more",
        "folder/notes.gz: is not a capture (pcap or pcapng) (unpacked from gzip); it is left out",
    ]
    assert result.stderr == "".join(f"aicore: warning: {line}\n" for line in summary["warnings"])
    assert summary["broken_files"] == []


def test_a_damaged_capture_in_a_folder_keeps_no_other_from_being_read() -> None:
    Path("folder").mkdir()
    for port in (1, 2, 3):
        flow(port, port).write(f"folder/{port}.pcap")
    Path("folder/2.pcap").write_bytes(flow(2).pcap()[:20])
    Path("folder/3.pcap.bz2").write_bytes(b"BZh91AY&SY")
    result = invoke("run", "folder", "--to", "memory:", "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert [one["file"] for one in summary["broken_files"]] == ["folder/2.pcap", "folder/3.pcap.bz2"]
    assert summary["broken_files"][1]["error"] == (
        "folder/3.pcap.bz2: is compressed with bzip2, which this aicore cannot read;"
        " unpack it: bzcat folder/3.pcap.bz2 | aicore run -"
    )
    assert summary["error"] == "folder/2.pcap: ends inside the capture's header (and 1 more broken files)"
    assert summary["counters"]["files_broken"] == 2
    assert ports("folder", on_damage="warn") == [1, 3]


# -- damage ------------------------------------------------------------------------------------------------------------


def test_flows_of_a_damaged_capture_are_told_and_then_the_damage(caplog: pytest.LogCaptureFixture) -> None:
    cut = Path("cut.pcap")
    cut.write_bytes(talks(dns(1), dns(2)).pcap()[:-1])
    said = "cut.pcap: capture ends inside packet 4; read 3"
    found = aicore.flows(cut)
    assert [next(found).portsrc, next(found).portsrc] == [1, 2]
    with pytest.raises(aicore.SourceError) as error:
        next(found)
    assert str(error.value) == said
    with pytest.raises(aicore.SourceError, match="capture ends inside packet 4"):
        aicore.flows(cut).to_arrow()
    assert ports(cut, on_damage="warn") == [1, 2]
    assert aicore.flows(cut, on_damage="warn").to_arrow().num_rows == 2
    assert [record.getMessage() for record in caplog.records] == [said] * 4


def test_a_dispatcher_raises_after_all_is_delivered() -> None:
    Path("cut.pcap").write_bytes(talks(dns(1), dns(2)).pcap()[:-1])
    for on_damage in ("raise", "warn"):
        stack = aicore.StackLan()
        store = aicore.open_adaptor("memory:?only=ended")
        stack.add_database_adaptor(store)
        with aicore.PacketDispatcher("cut.pcap", on_damage=on_damage) as dispatcher:
            dispatcher.stack = stack
            if on_damage == "raise":
                with pytest.raises(aicore.SourceError, match="capture ends inside packet 4; read 3"):
                    dispatcher.run()
            else:
                dispatcher.run()
            assert dispatcher.summary is not None
            assert [one.file for one in dispatcher.summary.broken_files] == ["cut.pcap"]
            assert dispatcher.summary.adaptors[0].counters["delivered"] == 2


@pytest.mark.parametrize("make", [aicore.flows, aicore.PacketDispatcher])
def test_what_to_do_on_damage_is_one_of_two(make: Callable[..., Any]) -> None:
    flow(1).write("1.pcap")
    with pytest.raises(aicore.UsageError, match="on_damage is 'raise' or 'warn', not 'ignore'"):
        make("1.pcap", on_damage="ignore")


# -- several interfaces ------------------------------------------------------------------------------------------------


def test_a_capture_of_several_interfaces(visits: Capture) -> None:
    """As mergecap joins captures of other snapshot lengths: no packet is lost, and flows are what they were."""
    one, other = visits.pcapng(snaplen=65535), visits.pcapng(snaplen=262144, nano=True)
    section, sizes = one[:28], (20, 32)  # of the interfaces, without options and with a unit of time
    first, second = one[28 : 28 + sizes[0]], other[28 : 28 + sizes[1]]
    packets = one[28 + sizes[0] :]
    late = bytearray(other[28 + sizes[1] :])
    at = 0
    while at < len(late):
        late[at + 8 : at + 12] = (1).to_bytes(4, "little")  # interface
        at += int.from_bytes(late[at + 4 : at + 8], "little")
    Path("both.pcapng").write_bytes(section + first + second + packets + bytes(late))
    alone = {(one.key, one.packets) for one in aicore.flows(visits.write("alone.pcap"))}
    assert sum(one.packets for one in aicore.flows("both.pcapng")) == 2 * len(visits.frames)
    Path("second.pcapng").write_bytes(section + first + second + bytes(late))
    assert {(one.key, one.packets) for one in aicore.flows("second.pcapng")} == alone

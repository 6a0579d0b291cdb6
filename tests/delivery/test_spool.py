# SPDX-License-Identifier: Apache-2.0
"""The spool alone: order, acknowledgement, bounds, recovery from whatever a crash or a bad disk leaves."""

from __future__ import annotations

import os
import random
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aicore.delivery import spool as spool_module
from aicore.delivery import spool_check, spool_list
from aicore.delivery.segment import HEADER_BYTES, MAGIC, Frame, header, scan
from aicore.delivery.spool import Spool
from aicore.delivery.spoolfiles import SpoolInUse


def open_spool(path: Path, **options: object) -> Spool:
    return Spool(path, min_free=0.0, **options)  # type: ignore[arg-type]


def payload(number: int, size: int = 0) -> bytes:
    return b"%d:" % number + b"x" * size + b"\n"


def drain(spool: Spool) -> list[int]:
    numbers = []
    while frame := spool.read():
        numbers.append(int(frame.payload.split(b":")[0]))
    return numbers


def test_frames_come_back_in_order_until_acknowledged(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "s")
    for number in range(10):
        assert spool.append(payload(number), 3)
    assert spool.rows == 30
    assert drain(spool) == list(range(10))
    spool.close()

    spool = open_spool(tmp_path / "s")
    assert spool.rows == 30
    assert [spool.read().payload for _ in range(4)] == [payload(n) for n in range(4)]  # type: ignore[union-attr]
    spool.ack()
    assert spool.rows == 18
    spool.close()

    spool = open_spool(tmp_path / "s")
    assert drain(spool) == [4, 5, 6, 7, 8, 9]
    spool.ack()
    spool.append(payload(99), 1)
    assert drain(spool) == [99]
    spool.ack()
    spool.close()
    assert not list((tmp_path / "s").glob("*.seg"))
    assert open_spool(tmp_path / "s").rows == 0


def test_segments_roll_and_are_freed_as_they_are_delivered(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_bytes=1000, max_bytes=100_000)
    for number in range(50):
        assert spool.append(payload(number, 100), 1)
    before = len(list(tmp_path.glob("*.seg")))
    assert before >= 5
    for number in range(49):
        assert spool.read().payload == payload(number, 100)  # type: ignore[union-attr]
        spool.ack()
    assert len(list(tmp_path.glob("*.seg"))) <= 2
    assert spool.used_bytes <= 2000


def test_private_and_for_one_process(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "s")
    spool.append(b"x\n", 1)
    assert stat.S_IMODE(os.stat(tmp_path / "s").st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "s").glob("*.seg")} == {0o600}
    with pytest.raises(SpoolInUse, match="in use"):
        open_spool(tmp_path / "s")
    spool.close()
    open_spool(tmp_path / "s").close()


def test_the_last_tenth_is_for_final_rows(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=10_000)
    count = 0
    while spool.append(b"x" * (500 - HEADER_BYTES), 1):
        count += 1
    assert count == 18  # 9,000 bytes
    assert "are used" in spool.error
    assert spool.append(b"x" * (500 - HEADER_BYTES), 1, final=True)
    assert spool.append(b"x" * (500 - HEADER_BYTES), 1, final=True)
    assert not spool.append(b"x" * (500 - HEADER_BYTES), 1, final=True)
    assert spool.used_bytes == 10_000


def test_min_free_keeps_the_disk_for_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path, min_free=1.0)
    assert not spool.append(b"x\n", 1, final=True)
    assert "free" in spool.error


def test_prepended_rows_come_before_the_undelivered_rest(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(10, 20):
        spool.append(payload(number), 1)
    assert [spool.read().rows for _ in range(3)] == [1, 1, 1]  # type: ignore[union-attr]
    spool.ack()
    assert spool.prepend([(payload(1), 1), (payload(2), 1)]) == 2
    spool.close()
    spool = open_spool(tmp_path)
    assert spool.rows == 9
    assert drain(spool) == [1, 2, 13, 14, 15, 16, 17, 18, 19]
    spool.ack()
    spool.close()
    assert open_spool(tmp_path).rows == 0


def test_torn_last_frame_is_cut_off(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(3):
        spool.append(payload(number, 50), 1)
    spool.close()
    (segment,) = tmp_path.glob("*.seg")
    whole = segment.read_bytes()
    for cut in range(1, len(whole) // 3 + 1):
        segment.write_bytes(whole[:-cut])
        spool = open_spool(tmp_path)
        assert spool.rows == 2
        assert spool.lost_rows == 1
        assert spool.damaged_bytes == (len(whole) // 3 - cut)
        assert drain(spool) == [0, 1]
        spool.close()
    assert not list(tmp_path.glob("*.bad"))


def test_damage_in_the_middle_costs_one_frame_and_is_kept(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(5):
        spool.append(payload(number, 50), 2)
    spool.close()
    (segment,) = tmp_path.glob("*.seg")
    size = segment.stat().st_size // 5
    data = bytearray(segment.read_bytes())
    data[2 * size + HEADER_BYTES + 3] ^= 1
    segment.write_bytes(data)
    spool = open_spool(tmp_path)
    assert spool.rows == 8
    assert drain(spool) == [0, 1, 3, 4]
    assert spool.lost_rows == 2
    assert spool.damaged_bytes == size
    (bad,) = tmp_path.glob("*.bad")
    assert bad.read_bytes() == data[2 * size : 3 * size]


@pytest.mark.parametrize("version", [1, 2, 4])
def test_another_version_is_set_aside(tmp_path: Path, version: int) -> None:
    (tmp_path / f"{7:020d}.seg").write_bytes(b"AIS%d of another time" % version)
    spool = open_spool(tmp_path)
    assert spool.set_aside == 1
    assert (tmp_path / f"{7:020d}.seg-v{version}").read_bytes() == b"AIS%d of another time" % version
    assert spool.append(b"x:\n", 1)


def test_rows_that_vanish_while_running_are_counted(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_bytes=200)
    for number in range(9):
        spool.append(payload(number, 60), 5)
    first = sorted(tmp_path.glob("*.seg"))[0]
    assert spool.read().payload == payload(0, 60)  # type: ignore[union-attr]
    first.write_bytes(b"")
    assert drain(spool) == list(range(2, 9))
    assert spool.vanished == 5
    spool.ack()
    assert spool.rows == 0


def test_the_end_of_the_spool_cannot_vanish_without_a_word(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_bytes=200)
    for number in range(9):
        spool.append(payload(number, 60), 5)
    spool.close()
    first, *_, last = sorted(tmp_path.glob("*.seg"))
    last.unlink()
    first.write_bytes(b"")
    spool = open_spool(tmp_path)
    assert drain(spool) == [2, 3, 4, 5, 6, 7]
    assert (spool.lost_rows, spool.damaged_bytes) == (15, 0)
    assert spool.append(payload(10), 1)
    assert drain(spool) == [10]
    spool.ack()
    spool.close()
    assert open_spool(tmp_path).lost_rows == 0, "it is told once"


def test_one_bit_of_the_version_costs_one_frame(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(5):
        spool.append(payload(number, 50), 2)
    spool.close()
    (segment,) = tmp_path.glob("*.seg")
    for bit in range(8):
        data = bytearray(segment.read_bytes())
        data[3] ^= 1 << bit
        shutil.copytree(tmp_path, tmp_path.with_name(f"bit{bit}"))
        (copy,) = tmp_path.with_name(f"bit{bit}").glob("*.seg")
        copy.write_bytes(data)
        spool = open_spool(copy.parent)
        assert drain(spool) == [1, 2, 3, 4]
        assert (spool.lost_rows, spool.set_aside) == (2, 0)
        spool.close()


def test_a_payload_that_looks_like_frames_is_none(tmp_path: Path) -> None:
    """What stands in a damaged frame is not read as frames, whoever has written it there."""
    spool = open_spool(tmp_path)
    forged = header(b"99:forged", 1, 77) + b"99:forged"
    spool.append(b"0:" + forged * 3, 1)
    spool.append(payload(1), 1)
    spool.close()
    (segment,) = tmp_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[HEADER_BYTES] ^= 1
    segment.write_bytes(data)
    spool = open_spool(tmp_path)
    assert drain(spool) == [1]
    assert spool.lost_rows == 1


@pytest.mark.timing
def test_many_false_headers_take_no_time(tmp_path: Path) -> None:
    """Each pretends to have megabytes: with one checksum for both, all of these were read for each (66 s)."""
    false = MAGIC + (8 << 20).to_bytes(4, "little") + bytes(20)
    (tmp_path / f"{0:020d}.seg").write_bytes(false * 10_000 + bytes(9 << 20))
    begin = time.thread_time()
    spool = open_spool(tmp_path)
    assert time.thread_time() - begin < 5
    assert spool.rows == 0
    assert spool.damaged_bytes > 9 << 20


@pytest.mark.parametrize("name", ["cursor", "cursor.tmp", f"{0:020d}.seg", f"head-{5:020d}.seg", "store", "0-0.bad"])
@pytest.mark.parametrize("what", ["directory", "pipe", "loop", "huge"])
def test_starts_and_never_hangs_whatever_a_file_has_become(tmp_path: Path, name: str, what: str) -> None:
    spool = open_spool(tmp_path, segment_bytes=300)
    for number in range(20):
        spool.append(payload(number, 60), 1)
    spool.read()
    spool.ack()
    spool.close()
    path = tmp_path / name
    path.unlink(missing_ok=True)
    if what == "directory":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path)
    else:
        path.touch()
        os.truncate(path, 1 << 42)  # 4 TiB, of which the disk has none
    spool = open_spool(tmp_path, segment_bytes=300)
    assert drain(spool)[-1] == 19
    assert spool.append(payload(20), 1)
    assert drain(spool) == [20]
    spool.ack()
    spool.close()
    assert open_spool(tmp_path).rows == 0
    assert spool_list(tmp_path.parent)
    spool_check(tmp_path.parent)


def test_a_spool_that_is_deleted_while_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = open_spool(tmp_path / "s")
    for number in range(5):
        assert spool.append(payload(number), 2)
    assert spool.read() is not None
    shutil.rmtree(tmp_path / "s")
    assert spool.append(payload(5), 2)
    assert "it was deleted while in use" in caplog.text
    assert drain(spool) == [1, 2, 3, 4, 5]  # what is open is read to its end
    assert spool.append(payload(6), 2)
    with pytest.raises(SpoolInUse):
        open_spool(tmp_path / "s")
    shutil.rmtree(tmp_path / "s")
    spool.close()
    assert (spool.rows, spool.vanished) == (0, 14)


def test_a_spool_of_which_nothing_is_read_and_that_is_deleted(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "s", segment_bytes=200)
    for number in range(9):
        assert spool.append(payload(number, 60), 2)
    shutil.rmtree(tmp_path / "s")
    assert spool.append(payload(9), 2)
    assert (spool.rows, spool.vanished) == (2, 18)
    spool.close()
    spool = open_spool(tmp_path / "s")
    assert drain(spool) == [9]
    assert spool.lost_rows == 0, "it was told by the run before"


# -- damage at random places: it always starts, and loses at most what was damaged ---------------------------------


def filled(path: Path) -> tuple[dict[int, int], int]:
    """A spool with a cursor and several segments; rows by frame, and how many frames were acknowledged."""
    spool = open_spool(path, segment_bytes=2_000)
    rng = random.Random(4)
    rows = {}
    for number in range(60):
        rows[number] = rng.randint(1, 9)
        spool.append(payload(number, rng.randint(0, 200)), rows[number])
    for _ in range(7):
        spool.read()
    spool.ack()
    spool.close()
    return rows, 7


def damage(path: Path, rng: random.Random) -> tuple[str, set[int], bool]:
    """Harms one file; says how, which frames it may have cost, and whether they are delivered again from the start."""
    files = sorted(p for p in path.iterdir() if p.name != "lock")
    victim = rng.choice(files)
    whole = victim.read_bytes()
    data = bytearray(whole)
    how = rng.choice(["flip", "truncate", "zero", "delete", "garbage", "insert", "cut", "double"])
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randint(1, 400))
    if how == "flip":
        data[start] ^= 1 << rng.randrange(8)
    elif how == "truncate":
        del data[start:]
    elif how == "zero":
        data[start:end] = bytes(end - start)
    elif how == "garbage":
        data[start:end] = rng.randbytes(end - start)
    elif how == "cut":
        del data[start:end]
    elif how == "double":
        data[start:start] = data[start:end]
    elif how == "insert":
        data[start:start] = rng.randbytes(rng.randint(1, 100))
    cost: set[int] = set()
    if victim.suffix == ".seg":
        with victim.open("rb") as file:
            for part in scan(file.fileno(), 0, os.fstat(file.fileno()).st_size):
                # By content: random bytes may happen to be the right ones, and an insertion only moves frames.
                if isinstance(part, Frame) and (how == "delete" or whole[part.start : part.end] not in data):
                    cost.add(int(part.payload.split(b":")[0]))
    if how == "delete":
        victim.unlink()
    else:
        victim.write_bytes(data)
    return how, cost, victim.name == "cursor"


def corrupt_once(template: Path, path: Path, seed: int, rows: dict[int, int], acked: int) -> None:
    shutil.copytree(template, path)
    how, cost, cursor = damage(path, random.Random(seed))
    spool = open_spool(path)
    lost = spool.lost_rows
    expected = [number for number in rows if number >= acked and number not in cost]
    counted = spool.rows
    got = drain(spool)
    where = f"seed {seed}: {how}"
    again = [number for number in got if number < acked]
    assert cursor or not again, where
    assert [number for number in got if number >= acked] == expected, where
    assert counted == sum(rows[number] for number in got), where
    if cursor and again:  # it is gone, and with it what tells of the end; nothing else was damaged
        assert lost == 0, where
    else:
        assert lost == sum(rows[number] for number in cost if number >= acked), where
    assert spool.append(payload(1000), 1), where
    assert drain(spool) == [1000], where
    spool.ack()
    assert spool.rows == 0, where
    spool.close()
    shutil.rmtree(path)


def run_corruptions(tmp_path: Path, count: int) -> None:
    rows, acked = filled(tmp_path / "template")
    for seed in range(count):
        corrupt_once(tmp_path / "template", tmp_path / "copy", seed, rows, acked)


def test_starts_after_damage_at_100_random_places(tmp_path: Path) -> None:
    run_corruptions(tmp_path, 100)


@pytest.mark.fault
def test_starts_after_damage_at_1000_random_places(tmp_path: Path) -> None:
    run_corruptions(tmp_path, 1_000)


def test_every_byte_around_a_frame_boundary(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "t")
    for number in range(4):
        spool.append(payload(number, 5), 1)
    spool.close()
    (segment,) = (tmp_path / "t").glob("*.seg")
    whole = segment.read_bytes()
    size = len(whole) // 4
    for at in range(size, 2 * size + HEADER_BYTES):
        segment.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        copy = tmp_path / f"c{at}"
        shutil.copytree(tmp_path / "t", copy)
        spool = open_spool(copy)
        assert drain(spool) == [number for number in range(4) if number != at // size], at
        assert spool.lost_rows == 1, at
        spool.close()


def test_a_frame_that_a_killed_process_was_writing_is_no_damage(tmp_path: Path) -> None:
    """Wherever it was cut: nobody had been told that its rows are safe."""
    spool = open_spool(tmp_path / "t")
    spool.append(payload(0, 60), 1)
    size = spool.used_bytes
    spool.append(payload(1, 60), 5)
    (segment,) = (tmp_path / "t").glob("*.seg")
    data = segment.read_bytes()
    for cut in range(size + 1, len(data)):
        copy = tmp_path / str(cut)
        copy.mkdir()
        (copy / segment.name).write_bytes(data[:cut])
        again = open_spool(copy)
        assert (again.rows, again.lost_rows) == (1, 0), cut
        again.close()
        shutil.rmtree(copy)
    spool.close()  # now somebody was told
    segment.write_bytes(data[:-1])
    assert open_spool(tmp_path / "t").lost_rows == 5


def test_what_is_delivered_while_the_disk_is_full_is_not_taken_for_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor has no room until the segments before it are gone."""
    spool = open_spool(tmp_path / "t", segment_bytes=200)
    for number in range(6):
        spool.append(payload(number, 60), 5)
    first = min((tmp_path / "t").glob("*.seg"))
    assert [spool.read() is not None for _ in range(5)] == [True] * 5
    real = spool_module.write_cursor

    def full(*arguments: Any, **options: Any) -> None:
        if first.exists():
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    monkeypatch.setattr(spool_module, "write_cursor", full)
    spool.ack()
    copy = shutil.copytree(tmp_path / "t", tmp_path / "killed")
    again = open_spool(copy, segment_bytes=200)
    assert (again.rows, again.lost_rows, drain(again)) == (5, 0, [5])


# -- against a model: append, read, ack, carry, kill, close, reopen in any order ------------------------------------


class SpoolModel(RuleBasedStateMachine):
    """What was appended and not acknowledged comes back, in order, after any number of restarts."""

    spool: Spool

    @initialize(segment=st.sampled_from([300, 2_000, 16 << 20]))
    def start(self, segment: int) -> None:
        self.path = Path(tempfile.mkdtemp(dir=os.environ["TMPDIR_MODEL"]))
        self.segment = segment
        self.waiting: list[bytes] = []  # not acknowledged, in order
        self.again: list[bytes] = []  # acknowledged, of a head that is not done: a restart delivers it from its start
        self.heads: set[bytes] = set()
        self.read = 0
        self.number = 0
        self.spool = open_spool(self.path, segment_bytes=segment)

    @rule(size=st.integers(0, 400), rows=st.integers(1, 5))
    def append(self, size: int, rows: int) -> None:
        data = b"".join(b"%d:%s\n" % (self.number, b"y" * size) for _ in range(rows))
        self.number += 1
        assert self.spool.append(data, rows)
        self.waiting.append(data)

    @rule(count=st.integers(1, 6))
    def read_some(self, count: int) -> None:
        for _ in range(count):
            frame = self.spool.read()
            if self.read == len(self.waiting):
                assert frame is None
                return
            assert frame is not None
            assert frame.payload == self.waiting[self.read]
            self.read += 1

    @rule()
    def ack(self) -> None:
        self.spool.ack()
        self.again += [data for data in self.waiting[: self.read] if data in self.heads]
        del self.waiting[: self.read]
        self.read = 0
        if self.heads.isdisjoint(self.waiting):
            self.again.clear()

    @rule(choice=st.randoms(use_true_random=False))
    def carry(self, choice: random.Random) -> None:
        kept = [data for data in self.waiting[: self.read] if choice.random() < 0.3]
        if self.spool.carry([(data, data.count(b"\n")) for data in kept]):
            self.waiting[: self.read] = kept
            self.read = len(kept)
            self.heads.update(kept)
            self.again.clear()

    @rule(count=st.integers(1, 3))
    @precondition(lambda self: self.heads.isdisjoint(self.waiting))
    def end_with_rows_in_memory(self, count: int) -> None:
        frames = [(b"head %d %d\n" % (self.number, index), 1) for index in range(count)]
        assert self.spool.prepend(frames) == count
        self.waiting[:0] = [data for data, _ in frames]
        self.heads.update(data for data, _ in frames)
        self.number += 1
        self.reopen(kill=False)

    @rule(kill=st.booleans())
    def reopen(self, kill: bool) -> None:
        if kill:  # what a killed process leaves: files as they are, descriptors closed by the kernel
            for fd in (self.spool._write_fd, self.spool._read_fd, self.spool._lock_fd):
                if fd >= 0:
                    os.close(fd)
        else:
            self.spool.close()
        self.spool = open_spool(self.path, segment_bytes=self.segment)
        self.waiting[:0] = self.again
        self.again.clear()
        self.read = 0

    @invariant()
    def rows_agree(self) -> None:
        assert self.spool.rows == sum(data.count(b"\n") for data in self.waiting)

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            shutil.rmtree(self.path, ignore_errors=True)


@pytest.fixture(autouse=True)
def _model_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR_MODEL", str(tmp_path))


TestSpoolModel = SpoolModel.TestCase
TestSpoolModel.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_damage_is_told_once_though_what_is_around_it_waits_on(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment_bytes=200)
    for number in range(9):
        spool.append(payload(number, 60), 5)
    spool.close()
    segments = sorted(tmp_path.glob("*.seg"))
    data = bytearray(segments[0].read_bytes())
    data[HEADER_BYTES + 3] ^= 1
    segments[0].write_bytes(data)
    segments[2].unlink()
    lost = damaged = 0
    for start in range(3):
        spool = open_spool(tmp_path, segment_bytes=200)
        if start < 2:  # a run that ends before it has told somebody: the next one does
            assert spool.lost_rows > 5
            assert spool.damaged_bytes > 0
            lost, damaged = spool.lost_rows, spool.damaged_bytes
        else:
            assert (spool.lost_rows, spool.damaged_bytes) == (0, 0)
        if start == 1:
            spool.told()
        spool.close()
    assert (lost, damaged) == (15, 91)
    segments[1].write_bytes(b"")  # more of it is news
    spool = open_spool(tmp_path, segment_bytes=200)
    assert (spool.lost_rows, spool.damaged_bytes) == (10, 0)
    spool.told()
    assert drain(spool) == [1, 6, 7, 8]
    spool.ack()
    spool.close()
    spool = open_spool(tmp_path)
    assert (spool.lost_rows, spool.damaged_bytes) == (0, 0)
    spool.told()
    assert not (tmp_path / "told").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"rows": 5}', b'{"rows": [[0]]}', b"\xff"])
def test_a_damaged_note_of_what_was_told_tells_again(tmp_path: Path, content: bytes) -> None:
    spool = open_spool(tmp_path)
    spool.append(payload(0, 60), 5)
    spool.append(payload(1, 60), 5)
    spool.close()
    (segment,) = tmp_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[HEADER_BYTES + 3] ^= 1
    segment.write_bytes(data)
    (tmp_path / "told").write_bytes(content)
    assert open_spool(tmp_path).lost_rows == 5

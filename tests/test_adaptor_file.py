# SPDX-License-Identifier: Apache-2.0
"""`file:`: the lines, and what LineFile does with files, pipes and full disks (`jsonl:` stands on it too)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import aicore
from aicore.adaptors._lines import LineFile
from aicore.adaptors.file import FileAdaptor
from aicore.testing.batches import lives, make_batch


def written(path: Path, *batches: aicore.FlowBatch, options: str = "") -> list[str]:
    adaptor = aicore.open_adaptor(f"file:{path}{options}")
    adaptor.connect(adaptor.url)
    for batch in batches:
        adaptor.write(batch)
    adaptor.close()
    return path.read_text().splitlines()


def test_a_line_for_each_event_in_order(tmp_path: Path) -> None:
    batch = lives(range(3), updates=2)
    lines = written(tmp_path / "flows.txt", batch)
    kinds = {"insert": "Insert", "update": "Update", "remove": "Remove"}
    assert [line.partition("]")[0] for line in lines] == [f"{kinds[flow.event]}:[{flow.key}" for flow in batch]
    for line, flow in zip(lines, batch, strict=True):
        rest = line.partition("]")[2]
        assert rest == (f" {flow.to_json()}" if flow.event == "update" else "")


def test_keys_of_ipv6_keep_their_brackets(tmp_path: Path) -> None:
    (line,) = written(tmp_path / "f", make_batch(1, kind="insert", ipsrc="2001:db8::1", ipdst="2001:db8::2"))
    assert re.fullmatch(r"Insert:\[\[2001:db8::1\]:1024:6:\[2001:db8::2\]:443\]", line)


def test_hostile_text_stays_on_its_line(tmp_path: Path) -> None:
    (line,) = written(tmp_path / "f", make_batch(1, httphost="a\nRemove:[x]\x1b]0;title\x07\u202e"))
    assert not re.search("[\x00-\x1f\x7f-\x9f]", line)
    assert json.loads(line.partition("] ")[2])["httphost"] == "a\nRemove:[x]\x1b]0;title\x07\u202e"


def test_every_event_of_a_run_is_there(capture_file: Path, tmp_path: Path) -> None:
    stack = aicore.StackLan()
    stack.add_database_adaptor(f"file:{tmp_path / 'out'}")
    with aicore.PacketDispatcher(str(capture_file)) as dispatcher:
        dispatcher.stack = stack
        dispatcher.run()
    lines = (tmp_path / "out").read_text().splitlines()
    flows = len(list(aicore.flows(capture_file)))
    assert len(lines) == stack.statistics["events"]
    assert sum(line.startswith("Insert:") for line in lines) == flows
    assert sum(line.startswith("Remove:") for line in lines) == flows


def test_a_file_that_is_there_is_appended_to(tmp_path: Path) -> None:
    assert len(written(tmp_path / "f", make_batch(2))) == 2
    assert len(written(tmp_path / "f", make_batch(3))) == 5


TORN = ['Update:[a] {"by', "Insert:[[2001:db8::1]:1", "Rem", "U", "\0\0\0", 'Update:[a] {"by\0\0']


@pytest.mark.parametrize("torn", TORN)
@pytest.mark.parametrize("before", ["", "Insert:[a]\n"])
def test_a_line_that_a_crash_cut_short_is_cut_away(tmp_path: Path, torn: str, before: str) -> None:
    (tmp_path / "f").write_text(before + torn)
    lines = written(tmp_path / "f", make_batch(1, kind="insert"))
    assert lines[:-1] == before.splitlines()
    assert lines[-1].startswith("Insert:[10.")


@pytest.mark.parametrize(
    "kept", ["Insert:[a]", "Remove:[[2001:db8::1]:1:6:[::2]:2]", 'Update:[a] {"bytes":1}', "notes", "x" * (2 << 20)]
)
def test_a_line_that_is_whole_or_not_ours_is_only_ended(tmp_path: Path, kept: str) -> None:
    (tmp_path / "f").write_text(kept)
    lines = written(tmp_path / "f", make_batch(1, kind="insert"), options="?adopt=yes")
    assert lines[0] == kept
    assert len(lines) == 2


def test_what_another_run_is_writing_is_not_cut(tmp_path: Path) -> None:
    first = _lines(tmp_path / "f")
    os.write(first._fd, b"Insert:[a")
    second = _lines(tmp_path / "f")
    os.write(first._fd, b"]\n")
    second.write(b"Insert:[b]\n")
    first.close()
    second.close()
    assert (tmp_path / "f").read_text() == "Insert:[a]\nInsert:[b]\n"


def _lines(path: Path) -> LineFile:
    return LineFile(str(path), (b"Insert:[",), lambda line: line.endswith(b"]"))


def _limited(code: str, limit: int, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a process whose files may not grow beyond the limit: the short write of a full disk."""

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return subprocess.run(
        [sys.executable, "-c", code, *args],
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_write_that_does_not_fit_leaves_nothing_of_itself(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from aicore.adaptors._lines import LineFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = LineFile(sys.argv[1], (b"a",), bool)
file.write(b"a" * 99 + b"\\n")
try:
    file.write((b"b" * 99 + b"\\n") * 3)
except OSError as error:
    print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.write((b"c" * 99 + b"\\n") * 3)
"""
    done = _limited(code, 250, str(tmp_path / "f"))
    assert done.stdout.strip() == "27"  # EFBIG, after a short count
    assert (tmp_path / "f").read_text() == "a" * 99 + "\n" + ("c" * 99 + "\n") * 3


def opened(path: Path) -> LineFile | None:
    """A pipe; None as long as nobody reads it."""
    with contextlib.suppress(ConnectionError):
        return _lines(path)
    return None


def test_a_slow_reader_of_a_pipe_gets_everything(tmp_path: Path) -> None:
    """More than a pipe holds, on a descriptor that somebody made non-blocking."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got = bytearray()

    def read() -> None:
        with path.open("rb") as pipe:
            while chunk := pipe.read(50_000):
                got.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    while (file := opened(path)) is None:
        time.sleep(0.001)
    fcntl.fcntl(file._fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_WRONLY)
    lines = b"".join(b"%07d\n" % n for n in range(100_000))
    file.write(lines)
    file.close()
    reader.join()
    assert bytes(got) == lines


def test_a_reader_that_has_gone_is_an_error_and_nobody_waits_for_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    adaptor = FileAdaptor()
    with pytest.raises(ConnectionError, match=r"nobody reads .*pipe"):
        adaptor.connect(f"file:{path}")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    adaptor.connect(f"file:{path}")
    adaptor.write(make_batch(1))
    os.close(reader)
    with pytest.raises(aicore.Fatal, match=r"the reader of .*pipe has gone"):
        adaptor.write(make_batch(1))
    assert not adaptor.ended
    adaptor.close()


def test_a_reader_of_standard_output_may_go(tmp_path: Path) -> None:
    code = """
import os
from aicore.adaptors.file import FileAdaptor
from aicore.testing import make_batch
read, write = os.pipe()
os.dup2(write, 1)
os.close(write)
os.close(read)
adaptor = FileAdaptor()
adaptor.connect("file:-")
assert not adaptor.ended
adaptor.write(make_batch(1))
assert adaptor.ended
adaptor.write(make_batch(1))
os.dup2(2, 1)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("place", "says"),
    [("nowhere/f", "No such file or directory"), (".", "Is a directory"), ("x" * 300, "File name too long")],
)
def test_what_cannot_be_opened_is_fatal(tmp_path: Path, place: str, says: str) -> None:
    with pytest.raises(aicore.Fatal, match=f"cannot write .*: {says}"):
        FileAdaptor().connect(f"file:{tmp_path / place}")


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    adaptor: Any = aicore.open_adaptor("file:-")
    adaptor.connect(adaptor.url)
    print("before", flush=False)
    adaptor.write(make_batch(1, kind="insert"))
    adaptor.close()
    os.write(1, b"still open\n")
    assert capfd.readouterr().out.splitlines()[-1] == "still open"

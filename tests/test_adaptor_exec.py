# SPDX-License-Identifier: Apache-2.0
"""exec:COMMAND: what a command is sent, what its answers mean, and what its failures cost."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commandline
import pytest

import aicore
from aicore.adaptors.exec import ExecAdaptor
from aicore.errors import Fatal, RowError
from aicore.testing import make_batch

HERE = Path(__file__).resolve().parent
RECORDER = """
import json, os, sys
log = open(sys.argv[1], "a")
for line in sys.stdin:
    if line != "\\n":
        log.write(line)
        continue
    log.flush()
    print("{}", flush=True)
"""


@pytest.fixture
def demo() -> Path:
    return HERE / "captures" / "demo.pcap"


@pytest.fixture
def command(tmp_path: Path) -> Any:
    def make(text: str, *arguments: object) -> str:
        script = tmp_path / "command.py"
        script.write_text(text)
        return f"exec:{sys.executable} {script} {' '.join(map(str, arguments))}"

    return make


@pytest.fixture
def adaptor() -> Iterator[ExecAdaptor]:
    made = ExecAdaptor()
    yield made
    made.close()


def answering(answer: str) -> str:
    return f"import sys\nfor line in sys.stdin:\n    if line == '\\n':\n        print({answer!r}, flush=True)\n"


def test_the_command_gets_every_flow_and_ends_with_the_run(command: Any, tmp_path: Path, demo: Path) -> None:
    log = tmp_path / "log"
    summary = run(demo, command(RECORDER, log))
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    ended = {row["flow_id"]: row for row in rows if row["event"] == "remove"}
    expected = {flow.flow_id: flow.packets for flow in aicore.flows(str(demo))}
    assert {flow_id: row["packets"] for flow_id, row in ended.items()} == expected
    assert all({"version", "new", "key"} <= row.keys() for row in rows)
    assert summary.adaptors[0].counters["lost"] == 0


def test_every_event_if_asked_for(command: Any, tmp_path: Path, demo: Path) -> None:
    log = tmp_path / "log"
    run(demo, command(RECORDER, log) + "?events=all")
    kinds: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        row = json.loads(line)
        kinds.setdefault(row["flow_id"], []).append(row["event"])
    assert all(k[0] == "insert" and k[-1] == "remove" and set(k[1:-1]) == {"update"} for k in kinds.values())


def run(capture: Path, url: str) -> Any:
    with aicore.PacketDispatcher(str(capture)) as dispatcher:
        dispatcher.stack = aicore.StackLan()
        dispatcher.stack.add_database_adaptor(url)
        return dispatcher.run()


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        ("{}", None),
        ('{"errors": []}', None),
        ('{"errors": [{"row": 1, "kind": "poison", "reason": "x"}]}', [RowError(1, "poison", "x")]),
    ],
)
def test_answers(command: Any, adaptor: ExecAdaptor, answer: str, meaning: object) -> None:
    adaptor.connect(command(answering(answer)))
    assert adaptor.write(make_batch(3)) == meaning


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ('{"error": "down"}', ConnectionError, "down"),
        ('{"error": "no", "kind": "fatal"}', Fatal, "no"),
        ('{"error": "no", "kind": "poison"}', ConnectionError, "cannot be understood"),
        ("[]", ConnectionError, "cannot be understood"),
        ("ok", ConnectionError, "cannot be understood"),
        ('{"errors": [{"row": 3, "kind": "poison"}]}', ConnectionError, "row 3"),
        ('{"errors": [{"row": 0, "kind": "bad"}]}', ConnectionError, "bad"),
        ("{}\n{}", ConnectionError, "out of turn"),
    ],
)
def test_answers_that_stop_a_batch(command: Any, adaptor: ExecAdaptor, answer: str, error: type, text: str) -> None:
    adaptor.connect(command(answering(answer)))
    with pytest.raises(error, match=text):
        adaptor.write(make_batch(3))


@pytest.mark.parametrize("program", ["yes", "cat"])
def test_a_command_that_does_not_know_the_protocol_is_no_error_of_ours(
    demo: Path, tmp_path: Path, program: str
) -> None:
    code, _, err = commandline.call(tmp_path, "run", demo, "--to", f"exec:{program}?wait=1")
    assert code == 1
    assert re.search(
        "has taken nothing for 1 s since the start: ConnectionError: .*(answered out of turn|cannot be understood)", err
    )
    assert "Traceback" not in err


def test_a_command_that_ends_is_started_again(command: Any, tmp_path: Path, adaptor: ExecAdaptor) -> None:
    lives = tmp_path / "lives"
    text = f"import sys\nopen({str(lives)!r}, 'a').write('x')\n" + answering("{}").replace(
        "for line", f"if len(open({str(lives)!r}).read()) == 1: sys.exit(3)\nfor line", 1
    )
    adaptor.connect(command(text))
    with pytest.raises(ConnectionError, match=r"exit code 3|closed its input"):
        adaptor.write(make_batch(3))
    assert adaptor.write(make_batch(3)) is None
    assert lives.read_text() == "xx"


@pytest.mark.timing
def test_a_late_answer_ends_the_command(command: Any, adaptor: ExecAdaptor) -> None:
    adaptor.config = {"timeout": 0.3, "events": "net"}
    adaptor.connect(command("import time\ntime.sleep(60)\n"))
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match=r"within 0\.3 s"):
        adaptor.write(make_batch(3))
    assert time.monotonic() - begin < 5


def alive(pids: Path) -> list[int]:
    """Of the processes named in a file those that run."""
    found = []
    for pid in map(int, pids.read_text().split()):
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


@pytest.mark.timing
@pytest.mark.parametrize("then", ["exit 1", "echo nonsense; read x", "sleep 1000"])
def test_each_retry_ends_what_the_command_has_started(tmp_path: Path, then: str) -> None:
    pids = tmp_path / "pids"
    script = tmp_path / "script.sh"
    script.write_text(f"sleep 1000 &\necho $! >> {pids}\n(sleep 1000; true) &\necho $! >> {pids}\nread x\n{then}\n")
    adaptor = aicore.open_adaptor(f"exec:sh {script}?timeout=0.5")
    adaptor.connect(adaptor.url)
    for _ in range(3):
        with pytest.raises((ConnectionError, TimeoutError)):
            adaptor.write(make_batch(1))
    assert len(pids.read_text().split()) == 6
    deadline = time.monotonic() + 5
    while alive(pids):
        assert time.monotonic() < deadline, "they go on"
        time.sleep(0.01)


@pytest.mark.timing
def test_at_the_end_what_the_command_has_started_may_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aicore.adaptors.exec.GOODBYE", 2.0)
    pids, out = tmp_path / "pids", tmp_path / "out"
    script = tmp_path / "script.sh"
    script.write_text(
        f"(sleep 0.3; echo done > {out}) &\nsleep 1000 &\necho $! > {pids}\n"
        "while read line; do [ -z \"$line\" ] && echo '{}'; done\n"
    )
    adaptor = aicore.open_adaptor(f"exec:sh {script}")
    adaptor.connect(adaptor.url)
    assert adaptor.write(make_batch(1)) is None
    adaptor.close()
    assert out.read_text() == "done\n"
    deadline = time.monotonic() + 5
    while alive(pids):
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.01)


def test_a_batch_larger_than_the_pipe_and_a_talkative_command(command: Any, adaptor: ExecAdaptor) -> None:
    adaptor.connect(command(answering("{" + '"note": "' + "x" * 300_000 + '"}')))
    assert adaptor.write(make_batch(5000)) is None


def test_no_such_command(adaptor: ExecAdaptor) -> None:
    with pytest.raises(Fatal, match="nowhere: No such file"):
        adaptor.connect("exec:/nowhere")


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed (apt-get install redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.server
def test_the_seeds_ruby_adaptor(redis_port: int, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ruby = shutil.which("ruby")
    if ruby is None or subprocess.run([ruby, "-e", "require 'redis'"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("Ruby's redis is not installed (apt-get install ruby-redis)")
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{redis_port}")
    script = HERE.parent / "examples" / "seed" / "redis_adaptor.rb"
    summary = run(demo, f"exec:{ruby} {script} flows?events=all")

    def ask(*words: str) -> str:
        command = ["redis-cli", "-p", str(redis_port), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    calls = dict(re.findall(r"cmdstat_(\w+):calls=(\d+)", ask("info", "commandstats")))
    flows = summary.counters["flows_tcp"] + summary.counters["flows_udp"]
    assert int(ask("hlen", "flows")) == 0
    assert int(calls["hdel"]) == flows
    assert int(calls["hset"]) == summary.counters["events"] - flows >= 2 * flows

# SPDX-License-Identifier: Apache-2.0
"""`--config`: what a file may say, what wins, what is wrong in it; and `aicore check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import invoke
from conftest import Install

HOOK = """
import aicore

class Plugin:
    options = {"text": aicore.Option(str, required=True), "times": aicore.Option(int, default=1)}
    fields = (aicore.Field("label", "str", "text"),)

    @aicore.hookimpl
    def flow_enrich(self, flows):
        flows.add("label", [self.config["text"] * self.config["times"]] * len(flows))
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def label(install: Install) -> None:
    install("aicore-label", hooks={"label": "label_hook:Plugin"}, label_hook=HOOK)


def records(path: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.usefixtures("label")
def test_a_whole_run_from_a_file(capture_file: Path) -> None:
    Path("run.toml").write_text(
        f"""
        [run]
        source = ["{capture_file}"]
        udp = true
        sensor = "tap-1"
        idle-udp = 60
        vlan_in_key = false

        [plugins.label]
        text = "a&b=c"
        times = 2

        [[to]]
        url = "jsonl:out"
        events = "ended"

        [[to]]
        url = "sqlite:flows.db?table=mine"
        """
    )
    result = invoke("run", "--config", "run.toml", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [store["target"] for store in json.loads(result.stdout)["adaptors"]] == [
        "jsonl:out?events=ended",
        "sqlite:flows.db?table=mine",
    ]
    found = records("out")
    assert len(found) == 10
    assert {(record["proto"], record["sensor"], record["label"]) for record in found} == {(17, "tap-1", "a&b=ca&b=c")}


def test_the_command_line_wins_and_stores_are_joined(capture_file: Path) -> None:
    Path("run.toml").write_text('[run]\nsource = "nowhere.pcap"\nsensor = "file"\n[[to]]\nurl = "jsonl:a"\n')
    result = invoke("run", capture_file, "--config", "run.toml", "--sensor", "line", "--to", "jsonl:b")
    assert (result.exit_code, result.stderr) == (0, "")
    assert records("a") == records("b")
    assert {record["sensor"] for record in records("a")} == {"line"}


def test_secrets_come_from_the_environment(capture_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLE", "from_environment")
    Path("run.toml").write_text('[[to]]\nurl = "sqlite:x.db"\ntable = "${TABLE}"\n')
    result = invoke("run", capture_file, "--config", "run.toml")
    assert result.exit_code == 0
    import sqlite3

    connection = sqlite3.connect("x.db")
    assert connection.execute("SELECT count(*) FROM from_environment").fetchone() == (30,)
    connection.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[run]\nevrey = 3", "unknown key 'evrey' in [run]; did you mean every"),
        ("[run]\nto = 'jsonl:x'", "to does not stand in [run]; write [[to]]"),
        ("[run]\nas-json = true", "unknown key 'as-json' in [run]; did you mean json or log-json?"),
        ("[rnu]\nevery = 3", "unknown key 'rnu'; did you mean run?"),
        ("[run]\nevery = 'often'", "[run] every: 'often' is not a valid integer"),
        ("[run]\nevery = -1", "[run] every: -1 is not in the range"),
        ("[run]\nsnaplen = 10", "[run] snaplen: 10 is not in the range"),
        ("[run]\nwait = true", "[run] wait: wait must be a number of seconds, or forever"),
        ("run = 3", "[run] must be a table"),
        ("[plugins]\nlabel = 3", "[plugins.label] must be a table"),
        ("[to]\nurl = 'jsonl:x'", "to must be written as [[to]]"),
        ("[[to]]\ntable = 'x'", "[[to]] needs a url"),
        ("[run]\nevery = = 3", "line 2"),
        ("[[to]]\nurl = 'sqlite:x.db'\ntabel = 'x'", "no option 'tabel'; did you mean table?"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(capture_file: Path, text: str, says: str) -> None:
    Path("run.toml").write_text(text)
    result = invoke("run", capture_file, "--config", "run.toml")
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in line
    assert "run.toml: " in line or "tabel" in line


@pytest.mark.parametrize(("name", "says"), [("nowhere.toml", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read(name: str, says: str) -> None:
    result = invoke("run", "--config", name)
    assert result.exit_code == 2
    assert says in result.stderr


# -- aicore check ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("label")
def test_check_takes_what_run_takes_and_runs_nothing(capture_file: Path, tmp_path: Path) -> None:
    arguments = ("check", capture_file, "--to", "sqlite:new.db", "--plugin", "label?text=x", "--json")
    before = set(tmp_path.iterdir())
    result = invoke(*arguments)
    assert result.exit_code == 0
    assert [(finding["what"], finding["name"], finding["ok"]) for finding in json.loads(result.stdout)] == [
        ("plugins", "label", True),
        ("store", "sqlite:new.db", True),
        ("spool", str(tmp_path / "state" / "aicore" / "spool"), True),
        ("source", str(capture_file), True),
    ]
    assert set(tmp_path.iterdir()) == before
    assert invoke(*arguments, "--connect").exit_code == 0
    assert Path("new.db").exists()


def test_what_only_a_run_has_may_stand_in_a_file_that_is_checked(capture_file: Path) -> None:
    Path("run.toml").write_text('[run]\njson = true\nquiet = true\nmetrics = "0"\n[[to]]\nurl = "memory:"\n')
    checked = invoke("check", capture_file, "--config", "run.toml")
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert [finding["ok"] for finding in json.loads(checked.stdout)] == [True] * 4


def test_check_names_everything_that_would_fail() -> None:
    Path("text.pcap").write_text("no capture " * 20)
    result = invoke(
        *(
            "check",
            "text.pcap",
            "--connect",
            "--to",
            "sqlite:text.pcap",
            "--to",
            "nowhere://u:canary@x",
            "--to",
            "jsonl:ok",
        ),
        *("--plugin", "label?text=x", "--spool", "text.pcap"),
    )
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["FAILED", "FAILED", "FAILED", "ok", "FAILED", "FAILED"]
    assert "no plugin is named 'label'" in lines[0]
    assert "text.pcap: it is a file of another kind" in lines[1]
    assert "nowhere://u:***@x: no adaptor for 'nowhere'" in lines[2]
    assert "text.pcap is not a directory" in lines[4]
    assert "text.pcap: is not a capture" in lines[5]
    assert "canary" not in result.output


def test_check_of_a_wrong_file_is_a_usage_error(capture_file: Path) -> None:
    Path("run.toml").write_text("[run]\nevrey = 3\n")
    assert invoke("check", capture_file, "--config", "run.toml").exit_code == 2

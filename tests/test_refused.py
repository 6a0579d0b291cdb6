# SPDX-License-Identifier: Apache-2.0
"""Stores that can never work are refused before the first packet: exit code 2, one line, and nothing is left behind."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest
from commandline import call, environment, invoke

import aicore
from aicore.plugins.files import check_file

FILES = ("sqlite", "jsonl", "file")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("nothing that a store wrote\n")


@pytest.mark.parametrize("scheme", FILES)
@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("", "no path in '{scheme}:': write {scheme}:PATH"),
        ("?only=tcp", "write {scheme}:PATH"),
        ("no/x.db", "no/x.db: there is no directory {here}/no"),
        ("/no/x.db", "/no/x.db: there is no directory /no"),
        ("text/x.db", "text/x.db: there is no directory {here}/text"),
        ("folder", "folder: it is a directory"),
        ("~/no/x.db", "{home}/no/x.db: there is no directory"),
        ("//host/x.db", "a file is written as {scheme}:PATH or {scheme}:///PATH, without a host"),
    ],
)
def test_files(scheme: str, rest: str, message: str, capture_file: Path, tmp_path: Path) -> None:
    wanted = message.format(scheme=scheme, here=tmp_path, home=os.path.expanduser("~"))
    for command in ("run", "check"):
        result = invoke(command, capture_file, "--to", f"{scheme}:{rest}", "--spool", tmp_path / "spool")
        lines = result.stderr.splitlines() if command == "run" else result.stdout.splitlines()
        assert sum(wanted in line for line in lines) == 1
        assert result.exit_code == (2 if command == "run" else 1)
    assert not list((tmp_path / "folder").iterdir())
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:text", "text: it is a file of another kind"),
        ("sqlite::memory:", ":memory:: a database in memory would be lost with the run"),
        ("sqlite:-", "sqlite: it cannot be written to standard output"),
        ("sqlite:x.db?table=1x", "a name is letters, digits and _"),
        ("exec:", "exec: no command: write exec:COMMAND"),
        ("exec:nothing-of-that-name --x", "exec: there is no command nothing-of-that-name that can be run"),
        ("exec:./text", "exec: there is no command ./text that can be run"),
        ("exec:cat 'x", "exec: the command cannot be read: No closing quotation"),
        ("exec:cat?events=some", "option events must be one of net, all"),
    ],
)
def test_others(url: str, message: str, capture_file: Path) -> None:
    result = invoke("run", capture_file, "--to", url)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr
    stack = aicore.StackLan()
    with pytest.raises(aicore.UsageError):
        aicore.open_adaptor(url)
    for attach in (stack.set_tcp_database_adaptor, stack.set_udp_database_adaptor, stack.add_database_adaptor):
        with pytest.raises(aicore.UsageError) as caught:
            attach(url)
        assert message in str(caught.value)
    assert stack.attached() == []


def test_what_may_not_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root may write everywhere, so the kernel's answer is made up."""
    (tmp_path / "folder" / "there").write_bytes(b"")
    allowed: set[str] = set()
    monkeypatch.setattr(os, "access", lambda path, _mode, **_: str(path) in allowed)
    url = aicore.AdaptorURL.parse("jsonl:folder/there")
    with pytest.raises(aicore.UsageError, match="jsonl: folder/there: no permission to write it"):
        check_file(url)
    allowed.add("folder/there")
    check_file(url)
    with pytest.raises(aicore.UsageError, match=f"no permission to write in {tmp_path}/folder"):
        check_file(url, beside=True)
    with pytest.raises(aicore.UsageError, match=f"jsonl: folder/new: no permission to write in {tmp_path}/folder"):
        check_file(aicore.AdaptorURL.parse("jsonl:folder/new"))
    allowed.add(f"{tmp_path}/folder")
    check_file(url, beside=True)
    check_file(aicore.AdaptorURL.parse("jsonl:folder/new"))


def test_what_is_not_a_file_is_no_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.symlink("folder/target", tmp_path / "link")
    for url in ("jsonl:-", "jsonl:/dev/null", "jsonl:pipe", "jsonl:link", "sqlite:link", "file:text?adopt=yes"):
        aicore.open_adaptor(url)
    (tmp_path / "empty").write_bytes(b"")
    aicore.open_adaptor("sqlite:empty")
    assert not (tmp_path / "folder" / "target").exists()


def test_home(capture_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "folder"))
    assert invoke("run", capture_file, "--to", "sqlite:~/x.db?table=t", "-q").exit_code == 0
    with sqlite3.connect(tmp_path / "folder" / "x.db") as db:
        assert db.execute("SELECT count(*) > 0 FROM t").fetchone() == (1,)


COMMAND = """
import json, sys
with open("argv", "w") as file:
    json.dump(sys.argv[1:], file)
answer = {"error": f"token {sys.argv[2]} refused", "kind": "fatal"} if sys.argv[3] == "refuse" else {}
for line in sys.stdin:
    if line == "\\n":
        print(json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize("how", ["take", "refuse"])
def test_a_variable_of_a_command_is_one_argument_and_never_shown(how: str, capture_file: Path, tmp_path: Path) -> None:
    key = "hunter2 'and' more; what?x=${HOME} %3F"
    (tmp_path / "ok.py").write_text(COMMAND)
    environ = environment(tmp_path, KEY=key, PYTHON=sys.executable)
    url = f"exec:${{PYTHON}} ok.py --token ${{KEY}} {how}"
    said = call(tmp_path, "check", capture_file, "--to", url, "--connect", environ=environ)
    for more in (("-vv",), ("--json",), ("--log-json",)):
        said += call(tmp_path, "run", capture_file, "--to", url, *more, environ=environ)
        assert json.loads((tmp_path / "argv").read_text()) == ["--token", key, how]
    said += call(tmp_path, "spool", "list", environ=environ) + call(
        tmp_path, "spool", "list", "--json", environ=environ
    )
    said += tuple(path.read_text(errors="replace") for path in (tmp_path / "state").rglob("store"))
    text = "\n".join(map(str, said))
    assert f"exec:${{PYTHON}} ok.py --token ${{KEY}} {how}" in text
    assert ("token ${KEY} refused" in text) is (how == "refuse")
    assert "hunter2" not in text
    assert "hunter2" not in "".join(map(str, tmp_path.rglob("*")))

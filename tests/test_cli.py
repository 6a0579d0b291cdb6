# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: help, errors, quick start, what reaches a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from commandline import call, environment, invoke, start
from hypothesis import given
from hypothesis import strategies as st

from aicore.cli.command_line import main
from aicore.cli.exits import MEANINGS, Exit
from aicore.cli.terminal import count, rate, safe, size, table

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def commands() -> list[str]:
    return main.list_commands(click.Context(main))


def test_help_names_every_command() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for name in commands():
        assert re.search(rf"^  {name} +\w", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: aicore {name} ")
    assert "..." not in re.search(rf"^  {name} .*", invoke("--help").stdout, re.MULTILINE)[0]  # type: ignore[index]


def test_run_documents_every_exit_code() -> None:
    text = invoke("run", "--help").stdout
    assert set(MEANINGS) == set(Exit)
    for code, meaning in MEANINGS.items():
        assert re.search(rf"^ +{code.value}  {re.escape(meaning)}$", text, re.MULTILINE)


def test_version(tmp_path: Path) -> None:
    from importlib.metadata import version

    assert invoke("--version").stdout == f"aicore {version('aicore')}\n"
    found = json.loads(invoke("version", "--json").stdout)
    assert (found["aicore"], found["plugin_api"]) == (version("aicore"), 1)
    assert (found["protocol_abi"], found["meter_abi"]) == (2, 1)
    assert call(tmp_path, "version")[1].startswith("aicore ")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("rnu",), "no command 'rnu'; did you mean run?"),
        (("run", "--evry", "3"), "No such option '--evry'"),
        (("run", "--every", "-1", "x"), "'--every': -1 is not in the range"),
        (("run", "--every", "many", "x"), "'--every': 'many' is not a valid integer"),
        (("list-plugins", "--hook", "flow_updaet"), "no hook 'flow_updaet'; did you mean flow_update"),
        (("list-plugins", "--hook", "flow_update", "--no-load"), "--hook needs the plugins loaded"),
        (("completion", "tcsh"), "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
        (("spool", "dorp"), "No such command 'dorp'"),
    ],
)
def test_usage_errors_are_one_line_and_exit_with_2(args: tuple[str, ...], says: str) -> None:
    result = invoke(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("aicore: error: ")
    assert says in line


def test_an_error_of_our_own_making_is_one_line_too_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from aicore import _core

    def broken() -> None:
        raise LookupError("what\nnobody \x1b[31mforesaw")

    monkeypatch.setattr(_core, "interfaces", broken)
    result = invoke("interfaces")
    assert result.exit_code == 1
    assert result.stderr == (
        "aicore: error: internal: LookupError: what nobody \\x1b[31mforesaw (-vv or AICORE_STRICT=1 shows where)\n"
    )
    monkeypatch.setenv("AICORE_STRICT", "1")
    assert isinstance(invoke("interfaces").exception, LookupError)


def test_operating_system_errors_name_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from aicore import _core

    def broken() -> None:
        raise PermissionError(13, "Permission denied", "/dev/something")

    monkeypatch.setattr(_core, "interfaces", broken)
    assert invoke("interfaces").stderr == "aicore: error: /dev/something: Permission denied\n"


# What a command may import, by the time it takes: stevedore alone costs 40 ms, rich 60, drivers up to seconds.
_HEAVY = {"aicore._core", "pluggy", "stevedore", "rich", "sqlite3", "numpy", "redis", "importlib.metadata"}


def _imported(folder: Path, *args: str) -> set[str]:
    code = (
        "import sys\n"
        "from aicore.cli.command_line import main\n"
        "try:\n    main(sys.argv[1:], prog_name='aicore')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('|'.join(['', *sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rpartition("\n|")[2].strip().split("|"))


@pytest.mark.parametrize("args", [("--help",), ("run", "--help"), ("completion", "zsh"), ("check", "--help")])
def test_help_imports_neither_core_nor_plugin_machinery(tmp_path: Path, args: tuple[str, ...]) -> None:
    assert not _imported(tmp_path, *args) & _HEAVY


def test_list_plugins_without_loading_imports_no_plugin(tmp_path: Path) -> None:
    modules = _imported(tmp_path, "list-plugins", "--no-load")
    assert not {name for name in modules if name.startswith("aicore.adaptors")}
    assert not modules & {"rich", "sqlite3", "numpy", "redis", "aicore.run.loop", "aicore.delivery"}


def test_the_store_alone_is_imported(tmp_path: Path, capture_file: Path) -> None:
    modules = _imported(tmp_path, "run", str(capture_file), "--to", f"jsonl:{tmp_path / 'f'}", "-q")
    assert "aicore.adaptors.jsonl" in modules
    assert not modules & {"aicore.adaptors.sqlite", "sqlite3", "aicore.adaptors.memory", "rich", "numpy"}


def test_whoever_closes_our_output_early_gets_no_complaint(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(tmp_path, "fields", "--json", stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_safe_text_has_no_control_characters_and_keeps_all_others(text: str) -> None:
    assert not _UNSAFE.search(safe(text))
    harmless = _UNSAFE.sub("", text)
    assert safe(harmless) == harmless


def test_safe_text_says_what_was_there() -> None:
    assert safe("a\x1b]52;c;x\x07\x9b1m\u202eb\x7f\udc80\n é") == (
        "a\\x1b]52;c;x\\x07\\x9b1m\\u202eb\\x7f\\udc80\\x0a é"
    )


def _on_terminal(folder: Path, *args: object) -> tuple[int, bytes]:
    """What a command writes to a terminal that is its standard output and error."""
    main_end, terminal = pty.openpty()
    process = start(
        folder,
        *args,
        environ=environment(folder, TERM="xterm"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    got = bytearray()
    while True:
        try:
            chunk = os.read(main_end, 65536)
        except OSError:  # the terminal's way to say that all writers have gone
            break
        if not chunk:
            break
        got += chunk
    os.close(main_end)
    return process.wait(timeout=30), bytes(got)


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_nothing_from_packets_or_names_controls_a_terminal(tmp_path: Path) -> None:
    """Hosts in packets, file names, errors: on a terminal with progress and summary their controls are text."""
    from captures.build import dns, http
    from captures.files import talks

    name = f"{HOSTILE}.pcap"
    talks(http(host=HOSTILE), dns(42000)).write(tmp_path / name)
    code, got = _on_terminal(tmp_path, "run", name, "-v")
    text = got.decode()
    assert code == 0
    assert "\\x1b]0;owned\\x07" in text
    for bad in ("\x1b]", "\x1b[2J", "\x9b", "\x07", "\u202e"):
        assert bad not in text
    # The progress line may hide and show the cursor, return and clear its own line; nothing else.
    controls = set(re.findall("\x1b\\[[0-9;?]*[A-Za-z]", text))
    assert controls <= {"\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[1A"}
    code, got = _on_terminal(tmp_path, "run", f"no-{name}")
    assert code == 1
    assert b"\x1b" not in got


def test_the_live_table_shows_hostile_text_as_text(tmp_path: Path) -> None:
    from captures.build import http
    from captures.files import talks

    talks(*(http(port=40000 + i, host=HOSTILE) for i in range(20))).write(tmp_path / "a.pcap")
    code, got = _on_terminal(tmp_path, "run", "a.pcap", "--live")
    assert code == 0
    assert b"LAYER 7" in got
    assert b"\x1b]" not in got
    assert "\u202e".encode() not in got


def test_an_encoding_without_our_characters_is_no_error(tmp_path: Path) -> None:
    process = start(
        tmp_path, "run", "ünbekannt-\u4e2d.pcap", environ={**environment(tmp_path), "PYTHONIOENCODING": "ascii"}
    )
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "nbekannt-\\u4e2d.pcap" in err


def test_tables_are_aligned() -> None:
    assert table(("NAME", "N"), [("a", 1), ("long\n", 200), (None, None)], right=(1,)) == [
        "NAME        N",
        "a           1",
        "long\\x0a  200",
        "",
    ]


def test_numbers_for_people() -> None:
    assert (count(0, "flow"), count(1, "flow"), count(1234, "flow")) == ("0 flows", "1 flow", "1,234 flows")
    assert (size(0), size(1023), size(1536), size(5 << 30), size(3 << 40)) == (
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
        "3.0 TiB",
    )
    assert (rate(12), rate(34_567), rate(2_345_678)) == ("12", "34.6 k", "2.35 M")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_clicks(shell: str) -> None:
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert "_AICORE_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("aicore ru", "run"),
        ("aicore run --to sq", "sqlite:"),
        ("aicore run --no-plugin adaptor:m", "adaptor:memory"),
        ("aicore run --no-plugin mem", "memory"),
        ("aicore run --plugin protocol:d", "protocol:dns"),
        ("aicore list-plugins --hook flow_e", "flow_enrich"),
        ("aicore new-plugin x --kind m", "meter"),
        ("aicore spool --spool spools drop sq", "sqlite-1a2b3c4d"),
    ],
)
def test_completion_knows_commands_schemes_and_plugins(tmp_path: Path, words: str, wanted: str) -> None:
    (tmp_path / "spools" / "sqlite-1a2b3c4d").mkdir(parents=True)
    (tmp_path / "spools" / "sqlite-1a2b3c4d" / "lock").touch()
    environ = environment(
        tmp_path, _AICORE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1)
    )
    code, out, _ = call(tmp_path, environ=environ)
    assert code == 0
    assert any(line.endswith(f",{wanted}") for line in out.splitlines())


def test_fields_show_the_whole_record() -> None:
    from aicore.record import schema

    fields = json.loads(invoke("fields", "--json").stdout)
    names = [field["name"] for field in fields]
    assert names[: len(schema.CORE)] == [field.name for field in schema.CORE]
    assert {"httphost", "sslhost", "dnsdomain"} <= set(names)
    assert set(fields[0]) == {"name", "type", "meaning", "unit", "ecs", "protocol", "width", "needs"}
    for field in fields:
        kind, _, name = field["protocol"].partition(":")
        assert field["needs"] == (f"--plugin {name}" if kind in ("hook", "meter") else None)
    text = invoke("fields").stdout.splitlines()
    assert len(text) == len(fields) + 1
    without = json.loads(invoke("fields", "--json", "--no-plugin", "tls").stdout)
    assert "tls" in {field["protocol"] for field in fields} - {field["protocol"] for field in without}


def test_interfaces_list_the_loopback() -> None:
    devices = {device["name"]: device for device in json.loads(invoke("interfaces", "--json").stdout)}
    assert devices["lo"]["loopback"]
    assert re.search(r"^lo +(up|no link|down), loopback", invoke("interfaces").stdout, re.MULTILINE)


def test_say_does_not_need_a_real_stream() -> None:
    from aicore.cli.terminal import say

    stream = io.StringIO()
    say("plain", stream)
    assert stream.getvalue() == "plain\n"

# SPDX-License-Identifier: Apache-2.0
"""Native protocols by the header alone: the examples in C and C++, and what is wrong with a structure."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from captures.files import talks
from commandline import invoke
from conftest import Install
from native_plugins import compiled, records, tcp

import aicore

EXAMPLES = Path(__file__).parent.parent / "examples" / "native"
IRC = (EXAMPLES / "irc" / "aicore_irc.c").read_text()


@pytest.fixture
def examples(install: Install, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    strict = ("-Wall", "-Wextra", "-Werror", "-pedantic")
    compiled(EXAMPLES / "irc" / "aicore_irc.c", "aicore_irc", site, "-std=c99", *strict)
    compiled(EXAMPLES / "git" / "aicore_git.cpp", "aicore_git", site, "-std=c++20", *strict)
    install("aicore-irc", protocols={"irc": "aicore_irc:irc"})
    install("aicore-git", protocols={"git": "aicore_git:git"})


def git(service: bytes, path: bytes, host: bytes) -> bytes:
    line = service + b" " + path + b"\0host=" + host + b"\0\0version=2\0"
    return b"%04x%s" % (len(line) + 4, line)


@pytest.mark.usefixtures("examples")
def test_the_examples_name_their_flows(tmp_path: Path) -> None:
    pkt = git(b"git-upload-pack", b"/project.git", b"git.example.org")
    found = records(
        talks(
            tcp(1, b"PASS x\r\nNICK eve\r\n", b"USER guest 0 * :Eve\r\n", to=6667),
            tcp(2, b"CAP LS 302\r\nNICK :ann\r\nUSER ann 0 * :A\r\n", step=3),
            tcp(3, pkt, b"0014command=ls-refs\n0015agent=git/2.39.5\n0000", to=9418, answers=b"000eversion 2\n0000"),
            tcp(4, pkt, step=7),
            tcp(5, b"NICK eve\r\nHELO there\r\n"),
            tcp(6, b"NICK " + b"a" * 600),
            tcp(7, b"0033nonsense of that length, which is no service...."),
            tcp(8, b"GET / HTTP/1.0\r\n\r\n", to=9418),
        ),
        tmp_path,
    )
    names = ("layer7", "layer7_by", "ircnick", "ircuser", "gitpath", "githost", "gitagent")
    assert {port: tuple(row.get(name) for name in names) for port, row in found.items()} == {
        1: ("irc", "payload", "eve", "guest", None, None, None),
        2: ("irc", "payload", "ann", "ann", None, None, None),
        3: ("git", "payload", None, None, "/project.git", "git.example.org", "git/2.39.5"),
        4: ("git", "payload", None, None, "/project.git", "git.example.org", None),
        5: (None,) * 7,
        6: (None,) * 7,
        7: (None,) * 7,
        8: ("http", "payload", *(None,) * 5),
    }


BAD = {
    "abi": (".abi = AICORE_PROTOCOL_ABI", ".abi = 1", "ABI 1, this aicore has 2"),
    "size": (".size = sizeof(aicore_protocol)", ".size = 16", "size is 16, must be sizeof(aicore_protocol)"),
    "stride": (".field_size = sizeof *fields,", "", "field_size is 0, must be sizeof(aicore_field)"),
    "function": (".inspect = inspect", ".inspect = NULL", "inspect"),
    "name": ('.name = "irc"', ".name = NULL", "name"),
    "letters": ('.name = "irc"', '.name = "I R C"', "name"),
    "state": (".rank = 50", ".rank = 50, .state_size = 100000", "state"),
    "field": ('{"ircnick"', '{"bytes"', "bytes"),
    "capsule": ("&irc, AICORE_PROTOCOL_CAPSULE", '&irc, "other"', "aicore.protocol"),
}


def test_a_wrong_structure_is_a_row_and_the_run_goes_on(install: Install, tmp_path: Path) -> None:
    for kind, (old, new, _) in BAD.items():
        assert old in IRC
        source = tmp_path / f"{kind}.c"
        source.write_text(IRC.replace(old, new).replace("aicore_irc", f"bad_{kind}"))
        compiled(source, f"bad_{kind}", tmp_path / "site-packages", "-std=c99")
        install(f"bad-{kind}", protocols={f"bad{kind}": f"bad_{kind}:irc"})
    listed = invoke("list-plugins", "--json")
    rows = {row["name"]: row for row in json.loads(listed.output)}
    for kind, (_, _, reason) in BAD.items():
        row = rows[f"protocol:bad{kind}"]
        assert row["status"] in ("error", "incompatible"), row
        assert reason in row["error"], row
    assert rows["protocol:badabi"]["status"] == "incompatible"
    found = records(talks(tcp(1, b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n"), tcp(2, b"NICK x\r\n")), tmp_path)
    assert {port: row.get("layer7") for port, row in found.items()} == {1: "http", 2: None}


@pytest.mark.parametrize("compiler", ["c++", "clang++"])
def test_each_header_stands_alone_without_a_warning(compiler: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    headers = sorted(Path(aicore.get_include()).glob("aicore/*.h"))
    assert {header.name for header in headers} >= {"protocol.h", "meter.h", "dissector.h", "tls.h"}
    strict = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
    for header in headers:
        languages = [["-x", "c++", "-std=c++20"]]
        if header.name in ("protocol.h", "meter.h"):
            languages.append(["-x", "c", "-std=c99"])
        source = f"#include <aicore/{header.name}>\n"
        for language in languages:
            subprocess.run(
                [compiler, *language, *strict, f"-I{header.parent.parent}", "-"], input=source, text=True, check=True
            )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_examples_copied_out_of_the_repository_build_with_the_wheel_alone(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "native")
    programs = tmp_path / "venv" / "bin"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [programs / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, "setuptools>=77", EXAMPLES.parent.parent], check=True)
    kinds = {"irc": "protocol", "git": "protocol", "entropy": "meter", "watch": "meter"}
    assert kinds.keys() == {path.name for path in EXAMPLES.iterdir()}
    for name in kinds:
        subprocess.run([*pip, "--no-build-isolation", "--no-deps", tmp_path / "native" / name], check=True)
    listed = subprocess.run([programs / "aicore", "list-plugins", "--json"], check=True, capture_output=True, text=True)
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    for name, kind in kinds.items():
        row = rows[f"{kind}:{name}"]
        assert (row["status"], row["distribution"]) == ("ok", f"aicore-{name}")
    request = git(b"git-receive-pack", b"/p.git", b"h.example")
    path = talks(tcp(1, b"NICK eve\r\nUSER e 0 * :E\r\n"), tcp(2, request)).write(tmp_path / "a.pcap")
    (tmp_path / "names").write_text("h.example\n")
    command = [programs / "aicore", "run", path, "--to", f"jsonl:{tmp_path / 'flows'}"]
    command += ["--plugin", "entropy", "--plugin", f"watch?names={tmp_path / 'names'}"]
    subprocess.run(command, check=True, capture_output=True)
    flows = [json.loads(line) for line in (tmp_path / "flows").read_text().splitlines()]
    assert {flow.get("layer7"): flow.get("watched") for flow in flows} == {"irc": None, "git": "h.example"}
    assert all(flow["src_entropy"] > 0 for flow in flows)

# SPDX-License-Identifier: Apache-2.0
"""Native plugins in C and C++ for tests: built, and shown TCP conversations."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from captures.files import Capture, Tcp
from commandline import invoke

import aicore

CLIENT, SERVER = "10.1.0.1", "10.1.0.2"


def compiled(source: Path, module: str, folder: Path, *options: str | Path, include: Path | None = None) -> None:
    """Builds an extension module with nothing but a compiler, Python's headers and those of the installed aicore, or of
    `include`."""
    compiler = shutil.which("cc" if source.suffix == ".c" else "c++")
    if compiler is None:
        pytest.fail("no C compiler: these tests build plugins")
    headers = [f"-I{include or aicore.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    output = folder / f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run([compiler, *options, "-O1", "-shared", "-fPIC", *headers, source, "-o", output], check=True)


def tcp(port: int, *said: bytes, to: int = 7000, step: int = 1000, answers: bytes = b"") -> Tcp:
    talk = Tcp((CLIENT, port), (SERVER, to)).open()
    for text in said:
        for i in range(0, len(text), step):
            talk.say(text[i : i + step])
        if answers:
            talk.say(answers, from_server=True)
    return talk.close()


def records(capture: Capture, folder: Path) -> dict[int, dict[str, Any]]:
    done = invoke("run", capture.write(folder / "a.pcap"), "--to", f"jsonl:{folder / 'flows'}")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (folder / "flows").read_text().splitlines()]
    return {row["portsrc"]: row for row in rows}

# SPDX-License-Identifier: Apache-2.0
"""The README's programs and commands do what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DEMO = ROOT / "tests" / "captures" / "demo.pcap"
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^    (aicore .*?)(?:  +#.*)?$", README, re.MULTILINE)


def run(command: list[str], folder: Path) -> str:
    program = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=50)
    assert program.returncode == 0, program.stderr
    return program.stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_program(program: str, tmp_path: Path) -> None:
    """On the demo capture, which stands where the text names a capture or an interface."""
    (tmp_path / "capture.pcap").symlink_to(DEMO)
    run([sys.executable, "-c", program.replace('"eth0"', '"capture.pcap"')], tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, tmp_path: Path) -> None:
    (tmp_path / "capture.pcap").symlink_to(DEMO)
    words = shlex.split(command.replace("*.pcap", "capture.pcap"))
    assert run([str(Path(sys.executable).with_name(words[0])), *words[1:]], tmp_path)


def test_the_name_on_the_public_index_is_not_recommended() -> None:
    """`aicore` there is another project."""
    for page in ROOT.glob("*.md"):
        assert not re.search(r"pip install [\"']?aicore", page.read_text()), page


def test_make_targets_exist() -> None:
    named = set(re.findall(r"^    make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named
    assert named <= targets

# SPDX-License-Identifier: Apache-2.0
"""`--user`: the source is opened as root, everything before and after happens as the user, for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import environment, invoke

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving up root needs root")

SCRIPT = """
import os
from aicore import _core
from aicore.cli.privileges import become, open_and_drop
from aicore.run.source import Source, SourceError

os.access = lambda *args, **options: True  # Python itself may lie where nobody can read it
become("nobody")
assert os.geteuid() == 65534 and os.getgroups() == [65534]
loopback = Source(("lo",), live=True)
try:
    loopback.open_live()
except SourceError:
    print("not as nobody")
source = open_and_drop(loopback)
print(os.getresuid(), os.getresgid())
engine = _core.Engine(_core.Registry())
source.open(engine)
engine.start()
status = [open(f"/proc/self/task/{task}/status").read() for task in os.listdir("/proc/self/task")]
print(len(status) > 1)
for name in ("CapEff", "CapPrm", "CapAmb", "NoNewPrivs"):
    print(name, {line.split()[1] for text in status for line in text.splitlines() if line.startswith(name)})
engine.close()
try:
    os.setuid(0)
except PermissionError:
    print("no way back")
"""


def test_root_opens_the_interface_and_is_gone_afterwards(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment(tmp_path), check=False
    )
    assert done.returncode == 0, done.stderr
    nobody = (65534,) * 3
    assert done.stdout.splitlines() == [
        "not as nobody",
        f"{nobody} {nobody}",
        "True",
        *(f"{name} {{'{'0' * 16}'}}" for name in ("CapEff", "CapPrm", "CapAmb")),
        "NoNewPrivs {'1'}",
        "no way back",
    ]


@pytest.mark.parametrize(
    ("user", "says"), [("root", "root is what is to be given up"), ("no-such", "no user 'no-such'")]
)
def test_a_user_that_makes_no_sense(capture_file: Path, user: str, says: str) -> None:
    result = invoke("run", capture_file, "--user", user)
    assert result.exit_code == 2
    assert says in result.stderr

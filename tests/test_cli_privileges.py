# SPDX-License-Identifier: Apache-2.0
"""`--user`: the source is opened as root, everything before and after happens as the user, for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from captures.files import Capture
from commandline import environment, invoke

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving up root needs root")

SCRIPT = """
import os, sys
from aicore import _core
from aicore.cli.privileges import PrivilegedSource, become

os.access = lambda *args, **options: True  # Python itself may lie where nobody can read it
become("nobody")
assert os.geteuid() == 65534 and os.getgroups() == [65534]
engine = _core.Engine(_core.Registry())
try:
    engine.open_files([sys.argv[1]])
except OSError:
    print("not as nobody")
PrivilegedSource((sys.argv[1],), live=False).open(engine)
print(os.getresuid(), os.getresgid())
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


def test_root_opens_the_source_and_is_gone_afterwards(visits: Capture, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    os.mkfifo(secret, 0o600)
    pipe = os.open(secret, os.O_RDWR)
    # The pipe stays open: the engine's thread waits for more and is there to be looked at.
    os.write(pipe, visits.write(tmp_path / "visits.pcap").read_bytes()[:1000])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, secret], capture_output=True, text=True, env=environment(tmp_path), check=False
    )
    os.close(pipe)
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

# SPDX-License-Identifier: Apache-2.0
"""A store that is in native code when the process ends: that must not die of SIGABRT."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import environment, start
from conftest import Install

STORE = """
import os, time
import aicore

class Store(aicore.DatabaseAdaptor):
    \"\"\"Its write is one native call after the other, as long as the variable says.\"\"\"

    def write(self, batch):
        end = time.monotonic() + float(os.environ["SECONDS"])
        open("writing", "w").close()
        while time.monotonic() < end:
            next(aicore.flows(os.environ["CAPTURE"], live=False).batches(), None)
"""

PROGRAM = """
import atexit, os, time
atexit.register(lambda: print("in a call" if delivery.sender.thread.is_alive() else "settled"))  # runs last
import aicore
from aicore.delivery import Delivery
from aicore.testing import make_batch

store = aicore.open_adaptor("native:x")
delivery = Delivery("native", store, live=True, events="net", url=store.url)
delivery.start()
delivery.put(make_batch(1))
while not os.path.exists("writing"):
    time.sleep(0.001)
delivery.abort()
"""


@pytest.fixture
def environ(install: Install, tmp_path: Path, capture_file: Path) -> dict[str, str]:
    install("aicore-native", adaptors={"native": "native_store:Store"}, native_store=STORE)
    return environment(tmp_path, PYTHONPATH=str(tmp_path / "site-packages"), CAPTURE=str(capture_file), SECONDS="60")


@pytest.mark.parametrize("attempt", range(5))
def test_two_signals_while_a_store_writes(
    environ: dict[str, str], tmp_path: Path, capture_file: Path, attempt: int
) -> None:
    with start(tmp_path, "run", capture_file, "--to", "native:x", environ=environ) as one:
        while not (tmp_path / "writing").exists():
            assert one.poll() is None
        one.send_signal(signal.SIGINT)  # of two that are alike the second may be lost
        one.send_signal(signal.SIGTERM)
        out, err = one.communicate(timeout=20)
    assert (one.returncode, "waiting in the spool" in out) == (3, True), (attempt, err)


def test_a_program_that_has_given_up_a_store(environ: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env={**environ, "SECONDS": "0.3"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "settled\n"), done.stderr

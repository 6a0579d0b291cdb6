# SPDX-License-Identifier: Apache-2.0
"""A program may end while its daemon threads read flows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from captures.build import dns
from captures.files import talks

IN_THE_CORE = """
import threading
from aicore.run import exiting

begun = threading.Event()

def core(milliseconds):
    begun.set()
    threading.Event().wait(0.3)
    print("out of the core", flush=True)

def read():
    while True:
        exiting.call(core, 100)

threading.Thread(target=read, daemon=True).start()
begun.wait()
"""
READERS = """
import sys, threading, time
import aicore

def read():
    while True:
        for _ in aicore.flows(sys.argv[1], live=False):
            pass

for _ in range(8):
    threading.Thread(target=read, daemon=True).start()
time.sleep(0.5)
"""


def test_the_end_waits_for_a_call_into_the_core_and_there_is_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", IN_THE_CORE], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out of the core\n", "")


@pytest.mark.parametrize("times", [2, pytest.param(60, marks=[pytest.mark.fault, pytest.mark.timeout(600)])])
def test_daemon_threads_that_read_flows_do_not_abort_the_program(tmp_path: Path, times: int) -> None:
    path = talks(*(dns(1024 + n) for n in range(5_000))).write(tmp_path / "many.pcap")
    for _ in range(times):
        done = subprocess.run(
            [sys.executable, "-c", READERS, path], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")

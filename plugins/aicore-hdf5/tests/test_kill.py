# SPDX-License-Identifier: Apache-2.0
"""A process that is killed loses no row that it answered for, and leaves a file that opens."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tables
from aicore_hdf5 import latest
from support import write

from aicore.testing import flow_id, make_batch

# Writes batches of changing size, TCP and UDP in turn, and says after each how many rows are safe.
WRITER = """
import sys
from aicore.testing import make_batch
from support import opened

adaptor = opened(sys.argv[1])
rows = 0
while True:
    part = make_batch(1 + rows % 700, first=rows, version=rows + 1, proto=6 if rows % 3 else 17)
    adaptor.write(part)
    rows += len(part)
    print(rows, flush=True)
"""


def killed(url: str, seconds: float) -> int:
    """Rows that a writer answered for before it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    ) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        whole = [line for line in [first, *writer.stdout] if line.endswith("\n")]
    assert writer.returncode == -signal.SIGKILL
    return int(whole[-1])


def check(path: Path, rows: int) -> None:
    found = {record["flow_id"]: record for record in latest(path)}
    for flow in range(rows):
        record = found[flow_id(flow)]
        assert (record["version"], record["sslhost"]) == (flow + 1, f"host-{flow}.example")
    assert all(record["key"] for record in found.values())


def run(tmp_path: Path, options: str, seconds: float) -> None:
    path = tmp_path / "flows.h5"
    rows = killed(f"hdf5:{path}{options}", seconds)
    assert rows
    check(path, rows)
    for part in tmp_path.glob("*.h5"):
        with tables.open_file(str(part)) as file:  # by anybody's PyTables
            assert file.root.flows.table_tcp.nrows >= 0
    write(f"hdf5:{path}{options}", make_batch(3, first=10_000_000, version=10_000_000))
    check(path, rows)
    assert len(list(latest(path))) >= rows + 3
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("seconds", [0.05, 0.4])
def test_a_killed_writer_loses_no_row(tmp_path: Path, seconds: float) -> None:
    run(tmp_path, "", seconds)


def test_a_writer_killed_while_its_files_are_set_aside(tmp_path: Path) -> None:
    run(tmp_path, "?rotate_size=1", 1.0)
    assert list(tmp_path.glob("flows-*-*.h5"))


def test_killed_at_each_millisecond_of_the_start(tmp_path: Path) -> None:
    """Whatever it leaves, the next one works, and nothing of it stays."""
    for delay in range(40):
        folder = tmp_path / str(delay)
        folder.mkdir()
        url = f"hdf5:{folder}/flows.h5"
        read, ready = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(ready, b".")
            write(url, make_batch(20))
            os._exit(0)
        assert os.read(read, 1) == b"."
        time.sleep(delay / 1000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(read)
        os.close(ready)
        write(url, make_batch(3))
        assert len(list(latest(folder / "flows.h5"))) in (3, 20), f"after {delay} ms"
        assert [entry.name for entry in folder.iterdir()] == ["flows.h5"], f"after {delay} ms"


@pytest.mark.fault
@pytest.mark.parametrize("seed", range(30))
def test_thirty_killed_writers(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    run(tmp_path, dice.choice(["", "?rotate_size=5"]), dice.uniform(0, 2))

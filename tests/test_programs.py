# SPDX-License-Identifier: Apache-2.0
"""The programs of AIEngine's page "Database integration", run as a user would run them.

Only the interface is replaced by a capture, in the text of the copy that is run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SEED = Path(__file__).parent.parent / "examples" / "seed"


def test_main_with_the_file_adaptor(capture_file: Path, visits: Any, tmp_path: Path) -> None:
    text = (SEED / "main.py").read_text()
    assert text.count('"eth0"') == 1
    (tmp_path / "main.py").write_text(text.replace('"eth0"', repr(str(capture_file))))
    shutil.copy(SEED / "file_adaptor.py", tmp_path)
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""
    lines = (tmp_path / "udpflows.txt").read_text().splitlines()
    records = {}
    for line in lines:
        assert line.startswith("Update:[")
        key, _, data = line[len("Update:[") :].partition("] ")
        records[key] = json.loads(data)
    expected = {flow.key: flow for flow in visits.flows if ":17:" in flow.key}
    assert set(records) == set(expected)
    for key, record in records.items():
        assert (record["key"], record["bytes"], record["packets"]) == (key, expected[key].bytes, expected[key].packets)
        assert record["dnsdomain"] == expected[key].fields["dnsdomain"]


def test_beside_an_asyncio_program(capture_file: Path, visits: Any) -> None:
    program = [sys.executable, str(SEED.parent / "asyncio_program.py"), str(capture_file)]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=50)
    *flows, total = done.stdout.splitlines()
    assert total == f"{len(visits.flows)} flows"
    assert sorted(line.split()[0] for line in flows) == sorted(flow.key for flow in visits.flows)

# SPDX-License-Identifier: Apache-2.0
"""What lies beside the package: units, container, workflows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNITS = sorted(ROOT.glob("packaging/systemd/*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_gives_a_run_no_more_rights_than_it_needs(unit: Path) -> None:
    """By the scale of systemd itself: 0 is locked, 10 is open."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True, check=False
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= 2.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_bounded(unit: Path) -> None:
    settings = dict(line.split("=", 1) for line in unit.read_text().splitlines() if re.match(r"\w+=", line))
    assert {"MemoryMax", "LimitNOFILE", "UMask"} <= settings.keys()
    assert settings["LimitCORE"] == "0"


def test_workflows_run_no_action_that_may_change() -> None:
    """Each by the hash of a commit, with the version that it is."""
    uses = [
        line.strip()
        for path in ROOT.glob(".github/workflows/*.yml")
        for line in path.read_text().splitlines()
        if re.match(r"\s*(- )?uses:", line)
    ]
    assert len(uses) > 10
    assert [one for one in uses if not re.search(r"uses: (\./\S+|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$", one)] == []

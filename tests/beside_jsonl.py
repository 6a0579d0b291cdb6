# SPDX-License-Identifier: Apache-2.0
"""Captures read into a store and, in the same run, into `jsonl:`, for tests that compare the two."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commandline import call

DEMO = Path(__file__).parent / "captures" / "demo.pcap"
#: A folder of real captures, which are not the project's to give away.
PCAPS = Path(os.environ.get("AICORE_PCAPS") or Path(__file__).resolve().parents[2] / "shared" / "pcaps" / "pcap")


def run(
    folder: Path, url: str, *captures: Path, wait: Sequence[str] = ("--wait", "forever"), seconds: float = 50
) -> list[dict[str, Any]]:
    """Reads captures into a store, and gives the records of the same run as `jsonl:` has them. `wait`: a busy machine
    may take its time for the first rows of a server."""
    lines = folder / "flows.jsonl"
    lines.unlink(missing_ok=True)
    options = ("--every", "16", *wait, "--to", url, "--to", f"jsonl:{lines}")
    code, _, err = call(folder, "run", *captures, *options, seconds=seconds)
    assert code == 0, err
    return [json.loads(line) for line in lines.read_text().splitlines()]


def real_captures() -> list[Path]:
    """The 30 largest, the smallest of them first. Skips the test without them."""
    if not PCAPS.is_dir():
        pytest.skip(f"there is no folder of captures {PCAPS} (AICORE_PCAPS names another)")
    return sorted(PCAPS.iterdir(), key=lambda path: path.stat().st_size)[-30:]

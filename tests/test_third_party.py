# SPDX-License-Identifier: Apache-2.0
"""A third party's package: its wheel, installed beside aicore's in a fresh environment, is found, used and blocked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
PACKAGE = HERE / "plugins" / "aicore-example"

USE = """
import sys
import aicore

stack = aicore.StackLan()
stack.use("label", text="len")
db = aicore.open_adaptor(f"tally:{sys.argv[2]}?by=label")
stack.set_udp_database_adaptor(db)
stack.set_tcp_database_adaptor(db)
with aicore.PacketDispatcher(sys.argv[1]) as pd:
    pd.stack = stack
    print([adaptor.state for adaptor in pd.run().adaptors])
"""

LIST = """
import dataclasses, json, sys
import aicore

rows = [dataclasses.asdict(row) for row in aicore.list_plugins()]
print(json.dumps({row["name"]: row for row in rows}))
"""


def call(*command: object, ok: bool = True, cwd: Path, **environ: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **environ},
        check=False,
    )
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with both wheels."""
    folder = tmp_path_factory.mktemp("third-party")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    for source in (HERE.parent, PACKAGE):
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(source)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    found = folder / "venv" / "bin" / "python"
    subprocess.run([str(found), "-m", "pip", "--quiet", "install", *map(str, folder.glob("*.whl"))], check=True)
    return found


def test_it_is_listed_and_a_broken_one_is_a_row(python: Path, tmp_path: Path) -> None:
    rows = json.loads(call(python, "-c", LIST, cwd=tmp_path))
    for name, hooks in (("adaptor:tally", ["flow_batch"]), ("hook:label", ["flow_enrich"])):
        assert (rows[name]["status"], rows[name]["distribution"], rows[name]["version"], rows[name]["hooks"]) == (
            ("ok", "aicore-example", "0.3.0", hooks)
        )
    assert rows["hook:broken"]["status"] == "error"
    assert "No module named 'aicore_example.broken'" in rows["hook:broken"]["error"]
    assert rows["adaptor:sqlite"]["status"] == rows["protocol:http"]["status"] == "ok"


def test_it_is_used(python: Path, capture_file: Path, tmp_path: Path) -> None:
    call(python, "-c", USE, capture_file, tmp_path / "counts", cwd=tmp_path)
    assert json.loads((tmp_path / "counts").read_text()) == {"len-15": 30}
    assert (tmp_path / "counts.closed").exists()


@pytest.mark.parametrize("name", ["hook:label", "label", "adaptor:tally", "tally"])
def test_it_is_blocked_by_name(python: Path, capture_file: Path, tmp_path: Path, name: str) -> None:
    said = call(
        python, "-c", USE, capture_file, tmp_path / "counts", cwd=tmp_path, ok=False, AICORE_DISABLE_PLUGINS=name
    )
    assert f"{name.rpartition(':')[2]} is blocked" in said
    assert not (tmp_path / "counts").exists()
    rows = json.loads(call(python, "-c", LIST, cwd=tmp_path, AICORE_DISABLE_PLUGINS=name))
    assert [row["name"].rpartition(":")[2] for row in rows.values() if row["status"] == "blocked"] == [
        name.rpartition(":")[2]
    ]

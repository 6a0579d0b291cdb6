# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the live tests; the hosts are in live_hosts.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from live_hosts import Network, Sensor, hosts
from packaging.requirements import Requirement

PLUGINS = """
import os
import time
import aicore

AT_IMPORT = os.getresuid()


class Reloader:
    options = {"path": aicore.Option(str)}

    @aicore.hookimpl
    def reload(self):
        open(self.config["path"], "w").close()


class Staller:
    stalled = False

    @aicore.hookimpl
    def flow_batch(self, flows):
        if not self.stalled:
            self.stalled = True
            time.sleep(1)


class Whoami:
    options = {"path": aicore.Option(str)}

    @aicore.hookimpl
    def run_started(self):
        with open(self.config["path"] + ".new", "w") as file:
            print(*AT_IMPORT, *os.getresuid(), file=file)
        os.rename(file.name, self.config["path"])
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in Path(str(item.path)).parents:
            item.add_marker(pytest.mark.netns)


@pytest.fixture
def network() -> Iterator[Network]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2 to make network namespaces")
    with hosts() as made:
        yield made


@pytest.fixture
def sensor(network: Network, tmp_path: Path) -> Any:
    """sensor(arguments of aicore run): a Sensor that listens."""
    return lambda *arguments, **options: Sensor(network, tmp_path, *arguments, **options)


@pytest.fixture
def live_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks reloader, staller and whoami, as an installed distribution for the programs that a test starts."""
    monkeypatch.setenv("PYTHONPATH", str(write_plugins(tmp_path / "site")))


def write_plugins(site: Path) -> Path:
    info = site / "live_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: live-plugins\nVersion: 1.0\n")
    names = ("Reloader", "Staller", "Whoami")
    lines = [f"{name.lower()} = live_plugins:{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join(["[aicore.hooks]", *lines, ""]))
    (site / "live_plugins.py").write_text(PLUGINS)
    return site


@dataclass(frozen=True)
class Place:
    """What a user without rights can read and write, wherever the tests and their Python lie."""

    python: str
    site: Path  #: aicore, what it needs, and the plugins
    folder: Path  #: writable for everybody


@pytest.fixture
def open_place() -> Iterator[Place]:
    python = os.path.realpath(sys.executable)
    if subprocess.run(["runuser", "-u", "nobody", "--", python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"the user nobody may not run {python}")
    with tempfile.TemporaryDirectory(prefix="aicore-", dir="/var/tmp") as top:
        place = Place(python, write_plugins(Path(top) / "site"), Path(top) / "out")
        place.folder.mkdir()
        place.folder.chmod(0o777)
        os.chmod(top, 0o755)
        for name in needed("aicore"):
            for file in metadata.files(name) or ():
                if not file.parts[0].startswith(".."):
                    target = place.site / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file.locate(), target)
        yield place


def needed(distribution: str) -> set[str]:
    """The distribution and, all the way down, those that it needs."""
    found: set[str] = set()
    queue = [distribution]
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            requirements = map(Requirement, metadata.requires(name) or ())
            queue += [one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found

# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the live tests; the hosts are in live_hosts.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_hosts import Network, Sensor, hosts

PLUGINS = """
import os
import time
import aicore


class Reloader:
    options = {"path": aicore.Option(str)}

    @aicore.hookimpl
    def reload(self):
        open(self.options["path"], "w").close()


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
        with open(self.options["path"] + ".new", "w") as file:
            file.write(str(os.geteuid()))
        os.rename(file.name, self.options["path"])
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
    site = tmp_path / "site"
    info = site / "live_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: live-plugins\nVersion: 1.0\n")
    names = ("Reloader", "Staller", "Whoami")
    lines = [f"{name.lower()} = live_plugins:{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join(["[aicore.hooks]", *lines, ""]))
    (site / "live_plugins.py").write_text(PLUGINS)
    monkeypatch.setenv("PYTHONPATH", str(site))

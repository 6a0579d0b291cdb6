# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a capture with flows that are known, and plugin packages as importlib.metadata finds them."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from captures.build import dns, http, tls
from captures.files import Capture, talks

Install = Callable[..., None]

# Busy machines are slow: no test of values is one of time.
if importlib.util.find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    settings.register_profile("aicore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("aicore")


@pytest.fixture(autouse=True, scope="session")
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test leaves anything in the home directory of whoever runs it, and each can interrupt what it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        # A shell starts in the background with an interrupt that is ignored, and so would be what tests start.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def visits() -> Capture:
    """Twenty visits: a DNS question, then HTTP or TLS, each a flow of its own."""
    return talks(*(talk for i in range(10) for talk in (dns(42000 + 2 * i), http(40000 + i), tls(41000 + i))))


@pytest.fixture
def capture_file(visits: Capture, tmp_path: Path) -> Path:
    return visits.write(tmp_path / "visits.pcap")


@pytest.fixture(scope="session")
def long_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 HTTP conversations: a second's work or more where an adaptor gets every event."""
    return talks(*(http(10000 + i) for i in range(5000))).write(tmp_path_factory.mktemp("long") / "long.pcap")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """install("aicore-x", hooks={"x": "x_module:Plugin"}, x_module="source ..."): a distribution on the path with its
    entry points (groups by their last word) and its modules."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def add(distribution: str, version: str = "1.0", **parts: str | dict[str, str]) -> None:
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = []
        for name, part in parts.items():
            if isinstance(part, str):
                (site / f"{name}.py").write_text(part)
            else:
                lines += [f"[aicore.{name}]", *(f"{key} = {value}" for key, value in part.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")

    yield add
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel of the core, for environments of their own: AICORE_WHEELS, or tox's, else it is built."""
    if "AICORE_WHEELS" in os.environ:
        return Path(os.environ["AICORE_WHEELS"])
    if "TOX_PACKAGE" in os.environ:
        return Path(os.environ["TOX_PACKAGE"]).parent
    folder = tmp_path_factory.mktemp("wheels")
    core = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(core)], check=True)
    return folder


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("AICORE_STRICT", "AICORE_DISABLE_PLUGINS", "AICORE_ONLY_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.INFO, logger="aicore")

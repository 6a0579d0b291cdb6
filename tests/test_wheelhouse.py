# SPDX-License-Identifier: Apache-2.0
"""`make wheelhouse`: what is in it, and that it is all that a machine needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from test_readme import COMMANDS
from test_wheel import DEMO, ROOT, call, hiding

# Everything is built, perhaps on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PLUGINS = sorted(
    path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml") if path.parent.name != "aicore-ndpi"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AICORE_WHEELHOUSE, else it is built."""
    if "AICORE_WHEELHOUSE" in os.environ:
        return Path(os.environ["AICORE_WHEELHOUSE"])
    folder = tmp_path_factory.mktemp("house") / "wheels"
    projects = [ROOT, *(ROOT / "plugins" / name for name in PLUGINS)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    call(sys.executable, ROOT / "packaging" / "wheelhouse.py", folder, *projects, env={**os.environ, "PATH": path})
    return folder


@pytest.fixture(scope="module")
def bare() -> list[Path]:
    """What a bare machine does not have: compilers, libpcap and its header, the checkout."""
    if subprocess.run(list(map(str, hiding([], "true"))), capture_output=True, check=False).returncode:
        pytest.skip("no right to make a mount namespace")
    listing = call("/sbin/ldconfig", "-p")
    libraries = {Path(line.split("=>")[1].strip()).resolve() for line in listing.splitlines() if "libpcap.so" in line}
    compilers = {
        Path(found).resolve() for name in ("cc", "gcc", "c++", "g++", "cmake") if (found := shutil.which(name))
    }
    headers = {path for path in map(Path, ("/usr/include/pcap", "/usr/local/include/pcap")) if path.is_dir()}
    return sorted({*libraries, *compilers, *headers, ROOT})


def distribution(name: str) -> str:
    return name.replace("-", "_")


@pytest.mark.parametrize("name", ["aicore", *PLUGINS])
def test_each_distribution_has_a_wheel_and_a_source(house: Path, name: str) -> None:
    (wheel,) = house.glob(f"{distribution(name)}-*.whl")
    (source,) = house.glob(f"{distribution(name)}-*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(path.endswith("licenses/LICENSE") for path in names)
    assert wheel.stem.endswith("-any") or "manylinux" in wheel.stem
    with tarfile.open(source) as archive:
        assert any(path.endswith("/LICENSE") for path in archive.getnames())


def test_licences_of_bundled_libraries_are_in_the_wheel(house: Path) -> None:
    for wheel in house.glob("*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        bundled = [path.split("/")[1] for path in names if path.split("/")[0].endswith(".libs")]
        libraries = {re.sub(r"-[0-9a-f]{8}\.so.*", "", name) for name in bundled}
        shipped = {path.split("/")[2] for path in names if "/licenses/" in path and path.count("/") == 3}
        assert libraries == shipped, wheel.name
        assert not wheel.name.startswith("aicore-") or "libpcap" in libraries


def test_the_source_is_reproducible(tmp_path: Path) -> None:
    epoch = call("git", "-C", ROOT, "log", "-1", "--format=%ct").strip()
    environ = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    for folder in ("one", "two"):
        call(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path / folder, ROOT, env=environ)
    one, two = sorted(tmp_path.glob("*/*.tar.gz"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["aicore", *PLUGINS])
def test_on_a_bare_machine(house: Path, bare: list[Path], name: str, tmp_path: Path) -> None:
    """Installed from the wheelhouse where nothing can be compiled; listed, used, completed, helped."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    environ |= {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    programs = tmp_path / "venv" / "bin"
    shutil.copy(DEMO, tmp_path / "capture.pcap")

    def run(*command: str | Path, **more: str) -> str:
        return call(*hiding(bare, *command), cwd=tmp_path, env={**environ, **more})

    wanted = ["aicore>=1.0,<2", *([name] if name != "aicore" else [])]
    run(programs / "python", "-m", "pip", "install", "-q", "--only-binary", ":all:", "--find-links", house, *wanted)
    rows = json.loads(run(programs / "aicore", "list-plugins", "--json"))
    assert {row["status"] for row in rows} == {"ok"}
    assert name in {row["distribution"] for row in rows}
    for command in COMMANDS:
        assert run("sh", "-c", f"PATH={programs}:$PATH; {command} 2>/dev/null")
    assert "87" in run(programs / "aicore", "run", "capture.pcap", "--to", "memory:")
    scheme = next((row["name"].partition(":")[2] for row in rows if row["distribution"] == name), "sqlite")
    kind = next(row["kind"] for row in rows if row["distribution"] == name)
    words = {"adaptor": f"aicore run --to {scheme}", "hook": f"aicore run --plugin {scheme}"}.get(kind)
    completions = {"aicore li": "list-plugins", **({words: scheme} if words else {})}
    for line, expected in completions.items():
        said = run(
            programs / "aicore",
            _AICORE_COMPLETE="bash_complete",
            COMP_WORDS=line,
            COMP_CWORD=str(len(line.split()) - 1),
        )
        assert expected in said
    for command in ("run", "list-plugins", "fields", "check", "new-plugin", "spool", "deadletter"):
        assert f"Usage: aicore {command}" in run(programs / "aicore", command, "--help")

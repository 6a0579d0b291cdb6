# SPDX-License-Identifier: Apache-2.0
"""What users install: the repaired wheel where libpcap is absent, the source distribution where its header is."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # C++ is built, perhaps on a busy machine

ROOT = Path(__file__).parent.parent
DEMO = Path(__file__).parent / "captures" / "demo.pcap"


def call(*command: str | Path, ok: bool = True, **kwargs: object) -> str:
    program = subprocess.run(  # type: ignore[call-overload]
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs
    )
    assert (program.returncode == 0) is ok, program.stdout
    return str(program.stdout)


def hiding(paths: Iterable[Path], *command: str | Path) -> list[str | Path]:
    """The command in a mount namespace of its own, where these files are empty and these folders hold nothing."""
    mounts = [f"mount -t tmpfs none {x}" if x.is_dir() else f"mount --bind /dev/null {x}" for x in paths]
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *user, "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh", *command]


@pytest.fixture(scope="module")
def namespaces() -> None:
    if subprocess.run(list(map(str, hiding([], "true"))), capture_output=True, check=False).returncode:
        pytest.skip("no right to make a mount namespace")


@pytest.fixture(scope="module")
def libpcap() -> list[Path]:
    """Every libpcap that the dynamic loader of this machine would find."""
    listing = call("/sbin/ldconfig", "-p")
    found = {Path(line.split("=>")[1].strip()).resolve() for line in listing.splitlines() if "libpcap.so" in line}
    assert found
    return sorted(found)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    call(sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT)
    (archive,) = folder.glob("aicore-*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def plain(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds from the source distribution, with a compiler that warns of what ours does not."""
    folder = tmp_path_factory.mktemp("plain")
    header = folder / "newer.h"
    header.write_text('#warning "a newer compiler"\n')
    flags = os.environ | {"CXXFLAGS": f"-include {header}"}
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sdist, env=flags)
    (wheel,) = folder.glob("aicore-*.whl")
    return wheel


@pytest.fixture(scope="module")
def repaired(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repaired")
    call(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder, plain)
    (wheel,) = folder.glob("aicore-*manylinux*.whl")
    return wheel


def environment(folder: Path, wheel: Path) -> Path:
    """A fresh virtual environment with the wheel; returns its bin."""
    call(sys.executable, "-m", "venv", folder)
    call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel)
    return folder / "bin"


@pytest.mark.usefixtures("namespaces")
def test_the_repaired_wheel_runs_without_libpcap(
    repaired: Path, plain: Path, libpcap: list[Path], tmp_path: Path
) -> None:
    outside = {"cwd": tmp_path, "env": {"PATH": os.environ["PATH"]}}
    programs = environment(tmp_path / "venv", repaired)
    call(*hiding(libpcap, programs / "aicore", "run", DEMO, "--to", f"jsonl:{tmp_path}/flows"), **outside)
    assert len((tmp_path / "flows").read_text().splitlines()) > 50
    # The same without the repair does not start: the library is really hidden.
    call(programs / "python", "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", plain)
    said = call(*hiding(libpcap, programs / "python", "-c", "import aicore._core"), ok=False, **outside)
    assert "libpcap" in said


def test_what_is_in_the_wheel(repaired: Path) -> None:
    names = set(zipfile.ZipFile(repaired).namelist())
    headers = {
        f"aicore/include/aicore/{name}.h" for name in ("bytes", "digest", "dissector", "meter", "protocol", "tls")
    }
    assert {"aicore/py.typed", "aicore/_core.pyi", *headers} <= names
    assert any(name.startswith("aicore.libs/libpcap") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [
        name for name in names if name.split("/")[0] not in {"aicore", "aicore.libs"} and ".dist-info/" not in name
    ]


@pytest.mark.usefixtures("namespaces")
def test_the_source_names_a_missing_header(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data") if sys.version_info >= (3, 12) else archive.extractall(tmp_path)
    headers = [path for path in map(Path, ("/usr/include/pcap", "/usr/local/include/pcap")) if path.is_dir()]
    assert headers
    (source,) = tmp_path.glob("aicore-*/")
    said = call(*hiding(headers, sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, source), ok=False)
    assert "pcap/pcap.h" in said
    assert "libpcap-dev" in said


def test_the_source_holds_what_it_needs_and_no_more(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {"/".join(name.split("/")[1:]) for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "native/CMakeLists.txt", "aicore/_core.pyi"} <= names
    assert not [name for name in names if name.startswith(("plugins/", ".ci", "build/", ".tox", ".venv"))]

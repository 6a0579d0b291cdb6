# SPDX-License-Identifier: Apache-2.0
"""packaging/release.py: one version everywhere, and what a release needs."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
release: dict[str, Any] = runpy.run_path(str(ROOT / "packaging" / "release.py"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a release changes, of the checkout."""
    for pattern in (
        "pyproject.toml",
        "CHANGELOG.md",
        "plugins/*/pyproject.toml",
        "plugins/*/CHANGELOG.md",
        "docs/*.md",
    ):
        for path in ROOT.glob(pattern):
            (target := tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return tmp_path


def test_all_distributions_have_one_version() -> None:
    versions = {release["name_of"](one, ROOT): release["version_of"](one) for one in release["projects"](ROOT)}
    assert len(versions) > 10
    assert len(set(versions.values())) == 1, versions


def test_one_command_gives_all_a_version(tree: Path) -> None:
    changed = release["bump"](tree, "1.1.0rc1", "2030-01-02")
    projects = list(release["projects"](tree))
    assert {release["version_of"](one) for one in projects} == {"1.1.0rc1"}
    assert {one / name for one in projects for name in ("pyproject.toml", "CHANGELOG.md")} <= set(changed)
    assert "## [Unreleased]\n\n## [1.1.0rc1] - 2030-01-02\n" in (tree / "CHANGELOG.md").read_text()
    for one in projects[1:]:
        assert (one / "CHANGELOG.md").read_text().count("## 1.1.0rc1\n") == 1
        assert '"aicore>=1.0,<2"' in (one / "pyproject.toml").read_text()
    assert "aicore        1.1.0rc1\n" in (tree / "docs" / "start.md").read_text()
    assert release["bump"](tree, "1.1.0rc1", "2030-01-02") == []


def test_the_check_names_what_a_release_lacks(tree: Path, tmp_path: Path) -> None:
    version = release["version_of"](tree)
    house = tmp_path / "house"
    house.mkdir()
    built = [name for one in release["projects"](tree) if (name := release["name_of"](one, tree)) != "aicore-ndpi"]
    for name in built:
        stem = f"{name.replace('-', '_')}-{version}"
        (house / f"{stem}.tar.gz").touch()
        with zipfile.ZipFile(house / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/licenses/LICENSE", "text")
    check = release["lacking"]
    assert list(check(tree, version, house)) == []
    assert f"aicore has version {version}" in list(check(tree, "9.9.9", house))
    (house / f"aicore-{version}.tar.gz").unlink()
    (house / "other-1.0.0-py3-none-any.whl").touch()
    with zipfile.ZipFile(house / f"aicore_quic-{version}-cp311-abi3-linux_x86_64.whl", "w"):
        pass
    assert list(check(tree, version, house)) == [
        f"aicore-{version}.tar.gz is missing",
        f"aicore_quic-{version}-cp311-abi3-linux_x86_64.whl was not repaired by auditwheel",
        f"aicore_quic-{version}-cp311-abi3-linux_x86_64.whl holds no licence",
        "other-1.0.0-py3-none-any.whl is no part of the release",
    ]


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3-x", ""])
def test_what_is_no_version_is_refused(version: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "packaging" / "release.py", version], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "is no version" in done.stderr

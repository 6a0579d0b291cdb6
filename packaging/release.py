# SPDX-License-Identifier: Apache-2.0
"""`release.py X.Y.Z` gives aicore and every plugin that version, in pyproject.toml, CHANGELOG.md and pages with it.
`release.py --check X.Y.Z FOLDER` says what a folder of distributions lacks for a release. RELEASING.md."""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: PEP 440, as far as releases of this project go.
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
#: Built where it is used: it needs nDPI, whose licence is the LGPL.
NOT_BUILT = {"aicore-ndpi"}
_IN_PROJECT = re.compile(r'^version = "([^"]+)"$', re.MULTILINE)
_UNRELEASED = re.compile(r"^## \[?Unreleased\]?\n", re.MULTILINE)


def projects(root: Path) -> Iterator[Path]:
    yield root
    yield from sorted(path.parent for path in root.glob("plugins/*/pyproject.toml"))


def name_of(project: Path, root: Path) -> str:
    return "aicore" if project == root else project.name


def version_of(project: Path) -> str:
    found = _IN_PROJECT.search((project / "pyproject.toml").read_text())
    if found is None:
        sys.exit(f"{project}/pyproject.toml has no version")
    return found[1]


def bump(root: Path, version: str, today: str) -> list[Path]:
    """The files that changed."""
    old = version_of(root)
    changed = []

    def write(path: Path, text: str) -> None:
        if text != path.read_text():
            path.write_text(text)
            changed.append(path)

    for project in projects(root):
        path = project / "pyproject.toml"
        write(path, _IN_PROJECT.sub(f'version = "{version}"', path.read_text(), count=1))
        path = project / "CHANGELOG.md"
        text = path.read_text()
        if re.search(rf"^## \[?{re.escape(version)}\b", text, re.MULTILINE):
            pass
        elif project == root:
            text = _UNRELEASED.sub(f"## [Unreleased]\n\n## [{version}] - {today}\n", text, count=1)
        elif _UNRELEASED.search(text):
            text = _UNRELEASED.sub(f"## {version}\n", text, count=1)
        else:
            text = text.replace("# Changelog\n", f"# Changelog\n\n## {version}\n\n- Nothing but the number.\n", 1)
        write(path, text)
    for path in sorted(root.glob("docs/**/*.md")):
        write(path, re.sub(rf"^(aicore +){re.escape(old)}$", rf"\g<1>{version}", path.read_text(), flags=re.MULTILINE))
    return changed


def lacking(root: Path, version: str, folder: Path) -> Iterator[str]:
    """What keeps the distributions in `folder` from being a release, a line each."""
    for project in projects(root):
        name = name_of(project, root)
        if version_of(project) != version:
            yield f"{name} has version {version_of(project)}"
        if name in NOT_BUILT:
            continue
        stem = f"{name.replace('-', '_')}-{version}"
        if not (folder / f"{stem}.tar.gz").is_file():
            yield f"{stem}.tar.gz is missing"
        wheels = sorted(folder.glob(f"{stem}-*.whl"))
        if not wheels:
            yield f"{stem} has no wheel"
        for wheel in wheels:
            if "-linux_" in wheel.name:
                yield f"{wheel.name} was not repaired by auditwheel"
            with zipfile.ZipFile(wheel) as opened:
                if not any(".dist-info/licenses/" in one for one in opened.namelist()):
                    yield f"{wheel.name} holds no licence"
    known = tuple(f"{name_of(project, root).replace('-', '_')}-{version}" for project in projects(root))
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(known):
            yield f"{path.name} is no part of the release"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", metavar="X.Y.Z")
    parser.add_argument("what", metavar="X.Y.Z | FOLDER")
    given = parser.parse_args()
    version = given.check or given.what
    if not VERSION.fullmatch(version):
        parser.error(f"{version!r} is no version such as 1.2.3 or 1.2.3rc1")
    if given.check:
        if problems := list(lacking(ROOT, version, Path(given.what))):
            sys.exit("\n".join(problems))
        return
    for path in bump(ROOT, version, datetime.datetime.now(datetime.timezone.utc).date().isoformat()):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()

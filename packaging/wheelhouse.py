# SPDX-License-Identifier: Apache-2.0
"""Builds the wheel and the source distribution of projects: `wheelhouse.py FOLDER PROJECT...`, aicore's own first.

Native wheels are repaired: auditwheel copies the libraries that they need into them; the licences of those are added.
`wheelhouse.py --repair WHEEL FOLDER` does that to one wheel, for cibuildwheel.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def call(*command: object, **environ: str) -> str:
    done = subprocess.run(
        list(map(str, command)), env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def build(project: Path, house: Path) -> None:
    """Both distributions straight from the project: plugins' native builds find aicore's header in the repository."""
    epoch = call("git", "-C", project, "log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as folder:
        # --find-links: what a plugin needs for its build may be aicore itself, which the index does not have.
        settings = {"SOURCE_DATE_EPOCH": epoch, "PIP_FIND_LINKS": f"{house} {os.environ.get('PIP_FIND_LINKS', '')}"}
        # A build directory of its own: what lies in the checkout's may be of other options.
        options = ["--outdir", f"{folder}/dist", f"-Cbuild-dir={folder}/build"]
        call(sys.executable, "-m", "build", "--sdist", "--wheel", *options, project, **settings)
        for made in Path(folder, "dist").iterdir():
            if made.suffix == ".whl" and not made.stem.endswith("-any"):
                repair(made, house)
            else:
                shutil.move(made, house / made.name)


def repair(wheel: Path, house: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        call(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder, wheel)
        (repaired,) = Path(folder).glob("*.whl")
        call(sys.executable, "-m", "wheel", "unpack", "--dest", f"{folder}/open", repaired)
        (root,) = Path(folder, "open").iterdir()
        (info,) = root.glob("*.dist-info")
        for library in root.glob("*.libs/*"):
            name = re.sub(r"-[0-9a-f]{8}\.so.*", "", library.name)  # libdbus-1-0a1b2c3d.so.3.32.4
            for licence in licences(name):
                target = info / "licenses" / name / licence.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(licence, target)
        call(sys.executable, "-m", "wheel", "pack", "--dest-dir", house, root)


def licences(library: str) -> list[Path]:
    """The licence files of the system's package that gave the library. The build fails where there are none."""
    listing = call("/sbin/ldconfig", "-p")
    paths = {line.split("=>")[1].strip() for line in listing.splitlines() if line.strip().startswith(f"{library}.so")}
    found: list[Path] = []
    for path in sorted(str(Path(path).resolve()) for path in paths):
        if shutil.which("dpkg"):
            # The package database may know the file by its name from before /lib became a link to /usr/lib.
            for name in (path, path.removeprefix("/usr")):
                owner = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True, check=False).stdout
                found.append(Path("/usr/share/doc", owner.partition(":")[0], "copyright"))
        else:
            found += map(Path, call("rpm", "-q", "--licensefiles", "--file", path).split("\n"))
    found = [path for path in dict.fromkeys(found) if path.is_file()]
    if not found:
        sys.exit(f"no licence of {library} was found on this system")
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--repair"]:
        repair(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        target = Path(sys.argv[1])
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for argument in sys.argv[2:]:
            print(f"building {argument}", flush=True)
            build(Path(argument).resolve(), target.resolve())
        print(*sorted(path.name for path in target.iterdir()), sep="\n")

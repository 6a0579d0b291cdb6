# SPDX-License-Identifier: Apache-2.0
"""`aicore new-plugin`: packages of every kind, which are installed, found and used, and whose own tests pass."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import invoke
from conftest import Install
from native_plugins import compiled

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEMO = Path(__file__).parent / "captures" / "demo.pcap"
KINDS = {
    "adaptor": ["--kind", "adaptor"],
    "hook": ["--kind", "hook"],
    "protocol": ["--kind", "protocol"],
    "native": ["--kind", "protocol", "--native"],
    "meter": ["--kind", "meter"],
    "native-meter": ["--kind", "meter", "--native"],
}


def make(folder: Path, kind: str, name: str = "made-up") -> Path:
    done = invoke("new-plugin", name, *KINDS[kind], "--in", folder)
    assert done.exit_code == 0, done.output
    made = folder / f"aicore-{name}"
    assert {folder / line for line in done.output.splitlines()} == {path for path in made.rglob("*") if path.is_file()}
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made(kind: str, tmp_path: Path) -> None:
    made = make(tmp_path, kind)
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    common = {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tox.ini", ".github/workflows/test.yml"}
    assert common <= files
    for name in files:
        text = (made / name).read_text()
        assert text.endswith("\n"), name
        assert "{{" not in text.replace("${{ matrix.python }}", "").replace("{{Py_mod_exec", "").replace(
            "{{magic", ""
        ), name
        assert "{%" not in text, name
    project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    assert project["name"] == "aicore-made-up"
    assert project["dependencies"] == ["aicore>=1.0,<2"]
    (group,) = project["entry-points"]
    assert (group, list(project["entry-points"][group])) == (f"aicore.{KINDS[kind][1]}s", ["made-up"])
    assert compileall.compile_dir(made, quiet=2)


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy found out about aicore and pytest, most of its work."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("name", ["made-up", "x", f"a-{'long' * 7}-1"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_is_clean(kind: str, name: str, tmp_path: Path, mypy_cache: Path) -> None:
    """Tests included."""
    made = make(tmp_path, kind, name)
    types = ["mypy", "--strict", "--cache-dir", str(mypy_cache), "."]
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], types):
        if name == "x" and command[0] == "mypy":
            continue  # which takes seconds
        done = subprocess.run([sys.executable, "-m", *command], cwd=made, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass(kind: str, tmp_path: Path, install: Install) -> None:
    """In a process of its own, with the package on the path as pip would leave it there."""
    made = make(tmp_path, kind)
    entries = tomllib.loads((made / "pyproject.toml").read_text())["project"]["entry-points"]
    install("aicore-made-up", **{group.partition(".")[2]: names for group, names in entries.items()})
    package = made
    if (made / "native").is_dir():
        package = made / "src"
        own = made / "native" / "made_up.c"
        strict = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
        compiled(made / "native" / "module.c", "aicore_made_up/_native", package, *strict, own)
    path = os.pathsep.join([str(package), str(tmp_path / "site-packages"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(made)],
        cwd=made,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1] or kind == "adaptor"  # the adaptor declares what it lacks


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Up", "--kind", "hook"], "lower-case letters"),
        (["../x", "--kind", "hook"], "lower-case letters"),
        (["x" * 33, "--kind", "hook"], "at most 32"),
        (["x", "--kind", "hook", "--native"], "--native is for protocols and meters"),
        (["x", "--kind", "store"], "is not one of"),
        (["x"], "Missing option '--kind'"),
        (["there", "--kind", "hook"], "exists already"),
    ],
)
def test_what_cannot_be_made(arguments: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "aicore-there").mkdir()
    done = invoke("new-plugin", *arguments, "--in", tmp_path)
    assert done.exit_code == 2
    assert said in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["aicore-there"]
    assert not list((tmp_path / "aicore-there").iterdir())


def test_without_jinja2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = invoke("new-plugin", "x", "--kind", "hook", "--in", tmp_path)
    assert done.exit_code == 2
    assert "needs jinja2: pip install" in done.output
    assert not list(tmp_path.iterdir())


# -- from wheels alone --------------------------------------------------------------------------------------------


def call(*command: object, cwd: Path, **environ: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**kept, **pip, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_from_an_empty_environment(kind: str, wheels: Path, tmp_path: Path) -> None:
    """Made, built, installed into a fresh environment, listed, run, and its own tests run, with wheels alone."""
    call(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    bin_folder = tmp_path / "venv" / "bin"
    pip = [bin_folder / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    links = {"PIP_FIND_LINKS": str(wheels)}
    call(*pip, "install", "--find-links", wheels, "aicore[author]>=1.0,<2", cwd=tmp_path, **links)
    call(bin_folder / "aicore", "new-plugin", "made-up", *KINDS[kind], cwd=tmp_path)
    made = tmp_path / "aicore-made-up"
    call(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, made, cwd=tmp_path, **links)
    (wheel,) = tmp_path.glob("aicore_made_up-*.whl")
    call(*pip, "install", wheel, cwd=tmp_path, **links)
    rows = json.loads(call(bin_folder / "aicore", "list-plugins", "--json", cwd=tmp_path))
    (row,) = [row for row in rows if row["distribution"] == "aicore-made-up"]
    assert (row["name"], row["status"], row["version"]) == (f"{KINDS[kind][1]}:made-up", "ok", "0.1.0")
    named = [] if row["kind"] in ("adaptor", "protocol") else ["--plugin", "made-up"]
    store = "made-up:flows" if kind == "adaptor" else "jsonl:flows"
    call(bin_folder / "aicore", "run", DEMO, *named, "--to", store, cwd=tmp_path)
    records = [json.loads(line) for line in (tmp_path / "flows").read_text().splitlines()]
    assert len(records) > 50
    for field in {"hook": ["made_up_label"], "meter": ["src_made_up", "dst_made_up"]}.get(row["kind"], []):
        assert any(field in record for record in records)
    said = call(bin_folder / "python", "-m", "pytest", "-q", made / "tests", cwd=made)
    assert " passed" in said

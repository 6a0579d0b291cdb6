# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/: every command and program on them is run, and what is generated agrees with the code."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pages
import pytest

from aicore.adaptors.sqlite import SqliteAdaptor
from aicore.plugins import hookspecs
from aicore.record import schema

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
DEMO = ROOT / "tests" / "captures" / "demo.pcap"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
#: They install into environments of their own, from wheels.
TUTORIALS = ["adaptor.md", "hook.md", "meter.md", "protocol.md", "start.md"]
#: What else a page needs.
NEEDS = {"scaling.md": "distributed", "stores.md": "aicore_duckdb"}
#: The only commands that are not run: they make users and services.
ADMINISTRATION = re.compile(r"(useradd|install|systemctl|journalctl|python3 -m venv /opt|/opt/aicore/bin/python) ?")

FAULTY = {
    "aicore-broken": "broken = faulty:Broken",
    "aicore-old": "old = working:Old",
    "aicore-twin-a": "twin = working:Twin",
    "aicore-twin-b": "twin = working:Twin",
    "aicore-slow": "slow = working:Slow",
    "aicore-fails": "fails = working:Fails",
}


@pytest.fixture(scope="module")
def generate() -> Any:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What every page has: the demo capture, and the packages of faults.md."""
    shutil.copy(DEMO, tmp_path / "capture.pcap")
    for name, entry in FAULTY.items():
        info = tmp_path / "site" / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[aicore.hooks]\n{entry}\n")
    return tmp_path


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "PYTHONPATH"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    state = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    return {**kept, "PATH": path, "LC_ALL": "C.UTF-8", **state, **more}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [name for name in PAGES if name not in TUTORIALS])
def test_a_page_does_what_it_shows(name: str, folder: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    more = {"PYTHONPATH": str(folder / "site")} if name == "faults.md" else {}
    pages.run(DOCS / name, folder, environment(folder, **more))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_does_what_it_shows(name: str, folder: Path, wheels: Path) -> None:
    (folder / "wheels").symlink_to(wheels)
    pages.run(DOCS / name, folder, environment(folder, PIP_FIND_LINKS=str(wheels)))


def test_nothing_is_left_out() -> None:
    """Every block of every page is one that `pages` writes or runs; an indented one would be overlooked. What is only
    shown: forms (`text`), and what needs an administrator."""
    count = 0
    for name in PAGES:
        text = (DOCS / name).read_text()
        outside = pages.FENCE.sub("", text)
        assert "```" not in outside, name
        assert not re.search(r"^(    |\t)\S", outside, re.MULTILINE), name
        for block in pages.blocks(text):
            count += 1
            if block.language == "console":
                for line in re.findall(r"^# (.*)$", block.text, re.MULTILINE):
                    assert name == "live.md", name
                    assert ADMINISTRATION.match(line), line
    assert count >= 50


def test_aicore_is_never_installed_without_its_bound() -> None:
    """The name on the public index is another project's, below 1.0."""
    found = 0
    for page in [*DOCS.glob("*.md"), *ROOT.glob("plugins/*/README.md"), *ROOT.glob("aicore/templates/**/*.j2")]:
        for line in re.findall(r"pip install [^`#\n]*", page.read_text()):
            for name in re.findall(r"[\s'\"](aicore(?:\[\w+\])?)(?=[\s'\"<>=]|$)([^\s]*)", line):
                found += 1
                assert name[1].startswith(">=1.0,<2"), f"{page}: {line}"
    assert found >= 4


def test_a_wrong_page_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for text, said in {
        "```console\n$ echo one\ntwo\n```\n": "printed:\none",
        "```console\n$ exit 3\n```\n": "the shell ended",
        "```console\n$ false\n```\n": "false",
        "```python\nraise SystemExit(2)\n```\n": "program.py",
        "```yaml\na: 1\n```\n": "a block of 'yaml'",
        "```c\nint x;\n```\n": "that nothing runs",
        "```console\nno command\n```\n": "output of no command",
    }.items():
        page.write_text(text)
        with pytest.raises(AssertionError, match=re.escape(said)):
            pages.run(page, tmp_path, environment(tmp_path))


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\n...", "a\nb\nc\n", True),
        ("a\n...", "a\n", True),
        ("...\nc", "a\nb\nc\n", True),
        ("a\n...\nc", "a\nc\n", True),
        ("x ... z", "x y z", True),
        ("a", "a\nb", False),
        ("a\n...\nd", "a\nc\n", False),
        ("x ... z", "x\nz", False),
        ("a.c", "abc", False),
    ],
)
def test_how_output_is_compared(shown: str, printed: str, same: bool) -> None:
    assert pages.matches(shown, printed) is same


# -- generated pages ----------------------------------------------------------------------------------------------


def test_the_hook_reference_has_every_hook_with_its_arguments(generate: Any) -> None:
    text = generate.hooks()
    found = dict(re.findall(r"^## `(\w+)\((.*)\)`$", text, re.MULTILINE))
    specified = {
        name: ", ".join(function.__code__.co_varnames[: function.__code__.co_argcount])
        for name, function in vars(hookspecs).items()
        if hasattr(function, "aicore_spec")
    }
    assert found == specified
    assert {"flow_enrich", "flow_batch", "register_protocols"} <= set(found)
    for section in text.split("\n## ")[1:]:
        assert "When: " in section, section
        assert "Thread: " in section, section


def test_the_hook_reference_names_every_hook_in_the_table_of_list_plugins(generate: Any) -> None:
    for name in generate.specifications():
        assert f"`{name}(" in generate.hooks()


def test_the_record_reference_has_every_field(generate: Any) -> None:
    text = generate.record()
    for field in schema.CORE:
        assert f"| `{field.name}` | {field.type} |" in text
    for name in ("httphost", "sslhost", "dnsdomain", "dnsips"):
        assert f"| `{name}` |" in text


def test_the_stores_have_every_option_of_every_adaptor(generate: Any) -> None:
    text = generate.stores()
    owners = [generate.EMBEDDED, *ROOT.glob("plugins/*/pyproject.toml")]
    found = [(adaptor, schemes) for owner in owners for adaptor, schemes in generate.adaptors(owner)]
    assert SqliteAdaptor in [adaptor for adaptor, _ in found]
    assert len(found) >= 8
    for adaptor, schemes in found:
        section = text.split(f"## {', '.join(f'`{scheme}:`' for scheme in schemes)}\n")[1].split("\n## ")[0]
        for name, option in adaptor.options.items():
            assert f"| `{name}` |" in section
            assert option.help.replace("|", "\\|") in section


def test_plugins_say_what_they_lack(generate: Any) -> None:
    for owner in ROOT.glob("plugins/*/pyproject.toml"):
        if any(generate.adaptors(owner)):
            readme = (owner.parent / "README.md").read_text()
            assert re.search(r"^## .*lacks", readme, re.MULTILINE), owner.parent.name
    assert len(re.findall(r"^### .*lacks", generate.stores(), re.MULTILINE)) >= 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", DOCS, tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "flow_enrich" in (tmp_path / "build" / "hooks.html").read_text()

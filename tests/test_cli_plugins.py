# SPDX-License-Identifier: Apache-2.0
"""`aicore list-plugins`: every plugin is a row, whatever is wrong with it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from commandline import invoke
from conftest import Install

import aicore
from aicore._core import PROTOCOL_ABI

EMBEDDED = [
    *(f"adaptor:{name}" for name in ("exec", "file", "jsonl", "memory", "sqlite")),
    *(f"protocol:{name}" for name in ("dns", "http", "tls")),
]
HEADER = ["NAME", "KIND", "STATUS", "VERSION", "API", "DISTRIBUTION", "HOOKS"]

HOOK = """
import aicore

class Plugin:
    @aicore.hookimpl
    def flow_enrich(self, flows): ...

    @aicore.hookimpl
    def run_started(self, context): ...
"""


def rows(*args: str) -> dict[str, dict[str, Any]]:
    result = invoke("list-plugins", "--json", *args)
    assert result.exit_code == 0
    return {row["name"]: row for row in json.loads(result.stdout)}


@pytest.fixture
def zoo(install: Install) -> set[str]:
    """One plugin of each fate; returns the names of those that were there before."""
    before = set(rows("--no-load"))
    install("aicore-good", "2.1", hooks={"good": "good_hook:Plugin"}, good_hook=HOOK)
    install("aicore-broken", hooks={"broken": "broken_hook:Plugin"}, broken_hook="import nothing_of_that_name")
    install("aicore-ends", adaptors={"ends": "ends_adaptor:X"}, ends_adaptor="import sys; sys.exit(3)")
    install(
        "aicore-new", hooks={"new": "new_hook:Plugin"}, new_hook=HOOK.replace("Plugin:", "Plugin:\n    aicore_api = 99")
    )
    install("aicore-twin-a", hooks={"twin": "good_hook:Plugin"})
    install("aicore-twin-b", hooks={"twin": "good_hook:Plugin"})
    install("aicore-escape", hooks={"escape": "escape_hook:X"}, escape_hook="raise ValueError('\\x1b]0;owned\\x07')")
    return before


def test_the_embedded_plugins_are_listed_like_all_others() -> None:
    found = rows()
    assert set(EMBEDDED) <= set(found)
    for name in EMBEDDED:
        row = found[name]
        api = PROTOCOL_ABI if row["kind"] == "protocol" else aicore.API_VERSION
        assert (row["status"], row["distribution"], row["api"], row["error"]) == ("ok", "aicore", api, None)
        assert name == f"{row['kind']}:{name.partition(':')[2]}"
    table = invoke("list-plugins").stdout.splitlines()
    assert table[0].split() == HEADER
    rest = table[len(found) + 1 :]
    named = any(row["kind"] in ("meter", "hook") for row in found.values())
    assert rest == (["Meters and hooks are only in runs that name them: --plugin NAME."] if named else [])
    assert found["adaptor:sqlite"]["use"] == "--to sqlite:..."
    assert found["protocol:tls"]["use"] is None


def test_each_fate_is_a_row_with_its_reason(zoo: set[str]) -> None:
    found = rows()
    assert {name: row["status"] for name, row in found.items() if name not in zoo} == {
        "hook:good": "ok",
        "hook:broken": "error",
        "adaptor:ends": "error",
        "hook:new": "incompatible",
        "hook:twin": "duplicate",
        "hook:escape": "error",
    }
    assert (found["hook:good"]["version"], found["hook:good"]["hooks"]) == ("2.1", ["flow_enrich", "run_started"])
    assert "nothing_of_that_name" in found["hook:broken"]["error"]
    assert "99" in found["hook:new"]["error"]
    assert "aicore-twin-a" in found["hook:twin"]["error"]
    assert "aicore-twin-b" in found["hook:twin"]["error"]
    assert list(found["hook:good"]) == [*map(str.lower, HEADER), "error", "use"]
    assert found["hook:good"]["use"] == "--plugin good"
    assert invoke("list-plugins").stdout.endswith(
        "\nMeters and hooks are only in runs that name them: --plugin NAME.\n"
    )


@pytest.mark.usefixtures("zoo")
def test_the_table_says_why_and_controls_no_terminal() -> None:
    result = invoke("list-plugins")
    assert result.exit_code == 0
    assert "error: hook:broken of aicore-broken" in result.stdout
    assert "incompatible: hook:new" in result.stdout
    assert "\\x1b]0;owned\\x07" in result.stdout
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("zoo")
def test_strict_exits_with_1_for_what_cannot_be_used() -> None:
    assert invoke("list-plugins", "--strict").exit_code == 1
    bad = ("hook:broken", "ends", "new", "twin", "hook:escape")
    assert invoke("list-plugins", "--strict", *(f"--no-plugin={name}" for name in bad)).exit_code == 0


@pytest.mark.usefixtures("zoo")
def test_blocked_by_the_name_in_the_list_or_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows("--no-plugin", "hook:good")["hook:good"]["status"] == "blocked"
    monkeypatch.setenv("AICORE_DISABLE_PLUGINS", "good,adaptor:sqlite")
    found = rows()
    assert {name for name, row in found.items() if row["status"] == "blocked"} == {"hook:good", "adaptor:sqlite"}
    assert invoke("list-plugins", "--no-plugin", "hook:god").exit_code == 2


@pytest.mark.usefixtures("zoo")
def test_no_load_imports_no_plugin() -> None:
    found = rows("--no-load")
    assert found["hook:broken"]["status"] == "ok"
    assert found["hook:good"]["version"] == "2.1"
    assert found["hook:twin"]["status"] == "duplicate"
    assert not {"good_hook", "broken_hook", "escape_hook"} & set(sys.modules)


def test_plugins_of_a_hook(zoo: set[str]) -> None:
    assert set(rows("--hook", "flow_enrich")) - zoo == {"hook:good"}
    assert not {"adaptor:memory"} & set(rows("--hook", "flow_batch")), "adaptors are called directly"
    assert set(rows("--hook", "reload")) <= zoo

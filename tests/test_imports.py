# SPDX-License-Identifier: Apache-2.0
"""Who may import what: no circles among aicore's modules, and plugins import what is public."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import aicore

ROOT = Path(__file__).resolve().parent.parent
#: What a plugin may import beside the names of `aicore.__all__`.
PUBLIC = {"aicore.testing", "aicore.errors"}


def imported(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Modules and the names taken from them, inside functions too, but not what only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]
        else:
            yield from imported(node)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """A circle for each module that comes back to itself."""
    found = []
    for start in graph:
        paths, seen = [[start]], {start}
        while paths:
            path = paths.pop()
            for module in graph[path[-1]]:
                if module == start:
                    found.append([*path, start])
                elif module not in seen:
                    seen.add(module)
                    paths.append([*path, module])
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "aicore").rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        graph[name] = set()
        for module, names in imported(ast.parse(path.read_text())):
            parts = {f"{module}.{one}" for one in names} & files.keys()
            graph[name] |= parts or ({module} & files.keys())
    assert len(graph) > 50
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"], ["c", "b", "c"]]
    assert circles(graph) == []


def test_the_map_of_the_folders_is_whole() -> None:
    """ARCHITECTURE.md names every folder of the package and of the native sources."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    shown = set(re.findall(r"^ +(?:[a-z]+/)*([a-z]+)/ ", text[text.index("## Map") :], re.MULTILINE))
    there = {
        path.parent.name
        for pattern in ("aicore/*/*", "native/src/*/*", "native/*/*")
        for path in ROOT.glob(pattern)
        if path.suffix in (".py", ".cpp", ".h") or path.parent.name == "templates"
    }
    assert len(there) > 15
    assert there <= shown | {"src", "include"}


def plugins() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/aicore-*/aicore_*/**/*.py"))


@pytest.mark.parametrize("name", plugins())
def test_plugins_import_what_is_public(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text())
    for node in ast.walk(tree):  # in blocks for type checkers, too
        for module, names in imported(ast.Module([node], [])) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            if module.partition(".")[0] == "aicore" and module not in PUBLIC:
                assert module == "aicore", f"{name} imports {module}"
                assert set(names) <= set(aicore.__all__), f"{name} takes {names} from aicore"

# SPDX-License-Identifier: Apache-2.0
"""The pages that are made from the code: hooks from their specifications, the record from the schema, stores from the
`options` of adaptors and the READMEs of their packages. conf.py writes them into docs/build before Sphinx reads."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from aicore import _core
from aicore.plugins import hookspecs
from aicore.plugins.options import DELIVERY_OPTIONS, Option
from aicore.record import schema

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
EMBEDDED = ROOT / "pyproject.toml"
PROMISES = re.compile(r"^## .*([Pp]romise|[Gg]uarantee|lacks)")


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in {"hooks": hooks(), "record": record(), "stores": stores()}.items():
        (folder / f"{name}.md").write_text(text)


def hooks() -> str:
    """A section for each hook: its arguments, then its docstring."""
    assert hookspecs.__doc__
    parts = ["# Hook reference", hookspecs.__doc__.partition("\n")[2]]
    for name, function in specifications().items():
        arguments = ", ".join(inspect.signature(function).parameters)
        parts += [f"## `{name}({arguments})`", inspect.getdoc(function) or ""]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def specifications() -> dict[str, Any]:
    return {name: value for name, value in vars(hookspecs).items() if hasattr(value, "aicore_spec")}


def record() -> str:
    registry = _core.Registry()
    for protocol in (_core.http, _core.tls, _core.dns):
        registry.add(protocol)
    fields = [*schema.CORE, *schema.of_native(registry.fields())]
    rows = [
        (
            f"`{field.name}`",
            field.type,
            field.unit,
            field.protocol,
            f"`{field.ecs}`" if field.ecs else "",
            field.meaning,
        )
        for field in fields
    ]
    return f"""# Record reference

A record is the flow's whole state, never a difference. A field that is absent is left out of JSON, and NULL or None
elsewhere. `time` is nanoseconds since the epoch in columns, RFC 3339 with nine decimals in JSON. Protocols and hook
plugins add fields; `aicore fields` lists those of your installation.

{table(("field", "type", "unit", "from", "ECS name", "meaning"), rows)}
"""


def stores() -> str:
    """A section for each adaptor class: its URLs, its options, and what the README of its package promises."""
    parts = ["# Options of the stores", "Options stand in the query of the URL: `sqlite:flows.db?table=mine`."]
    parts += ["## Every URL", "Settings of the delivery, which each store has one of.", options(DELIVERY_OPTIONS)]
    for owner in [EMBEDDED, *sorted(ROOT.glob("plugins/*/pyproject.toml"))]:
        for adaptor, schemes in adaptors(owner):
            parts.append(f"## {', '.join(f'`{scheme}:`' for scheme in schemes)}")
            parts.append((inspect.getdoc(adaptor) or "").partition("\n")[0])
            parts.append(options(getattr(adaptor, "options", {})))
        if owner != EMBEDDED and any(adaptors(owner)):
            parts += sections((owner.parent / "README.md").read_text())
    return "\n\n".join(part for part in parts if part) + "\n"


def adaptors(owner: Path) -> Iterator[tuple[Any, list[str]]]:
    """The adaptor classes of a pyproject.toml, each with its schemes. Importing one imports no driver."""
    project = tomllib.loads(owner.read_text())["project"]
    schemes: dict[str, list[str]] = {}
    for scheme, place in project.get("entry-points", {}).get("aicore.adaptors", {}).items():
        schemes.setdefault(place, []).append(scheme)
    if schemes and owner != EMBEDDED:
        sys.path.insert(0, str(owner.parent))
    for place, names in schemes.items():
        module, _, attribute = place.partition(":")
        yield getattr(import_module(module), attribute), names


def options(declared: Mapping[str, Option]) -> str:
    rows = []
    for name, option in declared.items():
        default = "required" if option.required else shown(option.default)
        values = ", ".join(f"`{choice}`" for choice in option.choices or ())
        rows.append((f"`{name}`", default, values or getattr(option.type, "__name__", "text"), option.help))
    return table(("option", "default", "values", "meaning"), rows) if rows else "No options."


def shown(value: object) -> str:
    if value is None:
        return ""
    return ("yes" if value else "no") if isinstance(value, bool) else f"`{value}`"


def sections(readme: str) -> list[str]:
    """What a README says of guarantees and of what is lacking, one level deeper; its links lead nowhere from here."""
    found, inside = [], False
    for line in readme.splitlines():
        if line.startswith("## "):
            inside = bool(PROMISES.match(line))
        if inside:
            found.append(re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", line.replace("## ", "### ", 1)))
    return ["\n".join(found)]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in [header, ["---"] * len(header), *rows])


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|")

# SPDX-License-Identifier: Apache-2.0
"""`aicore new-plugin`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aicore.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", re.ASCII)
_LONGEST = 32  # of the name of a protocol or meter


@click.command("new-plugin", short_help="Make the package of a plugin.")
@click.argument("name")
@click.option("--kind", type=click.Choice(["adaptor", "protocol", "meter", "hook"]), required=True, help="What it is.")
@click.option("--native", is_flag=True, help="A protocol in C instead of Python, a meter in C alone.")
@click.option(
    "--in",
    "parent",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Where to put the folder aicore-NAME; default: here.",
)
def command(name: str, kind: str, native: bool, parent: Path) -> None:
    """Make the folder aicore-NAME: a package that works, with tests that pass, to change into yours.

    NAME is what users will write: the scheme of an adaptor's URL, the name of any other plugin.
    A meter is a class with options in front of a part in C, or with --native that part alone.
    Needs jinja2, which aicore's extra `author` brings.
    """
    name = name.removeprefix("aicore-")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise click.UsageError(
            f"a name is lower-case letters, digits and single dashes, at most {_LONGEST}, not {name!r}"
        )
    if native and kind not in ("protocol", "meter"):
        raise click.UsageError("--native is for protocols and meters")
    folder = parent / f"aicore-{name}"
    files = dict(_render(name, kind, native))
    try:
        folder.mkdir()
    except FileExistsError:
        raise click.UsageError(f"{folder} exists already") from None
    for path, text in sorted(files.items()):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        say(str(place))


def _render(name: str, kind: str, native: bool) -> Iterator[tuple[str, str]]:
    """Path in the package and text of each file. The names of the templates' files are templates, too."""
    try:
        import jinja2
    except ImportError:
        raise click.UsageError("new-plugin needs jinja2: pip install 'jinja2>=3.1,<4'") from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("aicore", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # nothing here is HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = _values(name, kind, native)
    wanted = {"common", kind, *_parts(kind, native)}
    for template in environment.list_templates():
        part, _, path = template.partition("/")
        if part not in wanted or not path.endswith(".j2"):
            continue
        target = environment.from_string(path.removesuffix(".j2")).render(values)
        yield target, environment.get_template(template).render(values)


def _parts(kind: str, native: bool) -> tuple[str, ...]:
    """Folders of templates beside that of the kind."""
    if native:
        return ("native", "capsule", *(["protocol-native"] if kind == "protocol" else []))
    return {"protocol": ("protocol-python",), "meter": ("native", "meter-python")}.get(kind, ())


def _values(name: str, kind: str, native: bool) -> dict[str, object]:
    """What the templates may use."""
    ident = name.replace("-", "_")
    stem = "".join(part.capitalize() for part in name.split("-"))
    return {
        "name": name,
        "kind": kind,
        "native": native,
        "compiled": native or kind == "meter",
        "distribution": f"aicore-{name}",
        "module": f"aicore_{ident}",
        "ident": ident,
        "class_name": f"{stem}Adaptor" if kind == "adaptor" else stem,
        "field": f"{ident}_{'label' if kind == 'hook' else 'subject'}",
        "magic": f"{name.upper()[:12]}/1 ",  # a prefix has at most 16 bytes
        "summary": {
            "adaptor": f"Adaptor for aicore: flows into {name}",
            "hook": f"Hook plugin {name} for aicore",
            "protocol": f"The protocol {name} for aicore",
            "meter": f"The meter {name} for aicore",
        }[kind],
        # what the command line of a run takes; protocols are loaded in every one
        "usage": {"adaptor": f"--to {name}:PATH", "protocol": ""}.get(kind, f"--plugin {name}"),
    }

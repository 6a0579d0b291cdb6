# SPDX-License-Identifier: Apache-2.0
"""Runs the pages of docs/ as a reader would: their blocks in order, in one folder and one shell.

- a code block with a `:caption:` is the file of that name,
- a `python` block without one is a program,
- in a `console` block `$ ` begins a command; what follows is what it prints, where `...` stands for anything. A command
  must succeed. Lines that begin with `# ` need an administrator and are not run.
- `text` blocks show a form and are not run.

The demo capture is there as capture.pcap and stands for the interface eth0; `sudo` is left out.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(`{3,})(.*?)\n(.*?)^\1\n", re.MULTILINE | re.DOTALL)
KNOWN = {"python", "console", "text", "c", "cpp", "toml", "sql"}
_END = "--end-of-command--"


@dataclass(frozen=True)
class Block:
    language: str
    caption: str | None
    text: str


@dataclass(frozen=True)
class Command:
    text: str
    output: str


def blocks(page: str) -> Iterator[Block]:
    for _, head, text in FENCE.findall(page):
        directive, caption = head.strip(), None
        if directive.startswith("{"):
            name, _, directive = directive.partition(" ")
            if name != "{code-block}":
                continue
            match = re.match(r":caption: (.*)\n\n?", text)
            assert match, f"a code-block without a caption: {text[:60]!r}"
            caption, text = match[1].strip("`"), text[match.end() :]
        assert directive in KNOWN, f"a block of {directive!r}"
        assert caption or directive in ("python", "console", "text"), f"{directive} that nothing runs: {text[:60]!r}"
        yield Block(directive, caption, text)


def commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^(?=[$#] )", block.text, flags=re.MULTILINE):
        if part.startswith("$ "):
            lines = part[2:].splitlines()
            end = next(number for number, line in enumerate(lines) if not line.endswith("\\"))
            yield Command("\n".join(lines[: end + 1]), "\n".join(lines[end + 1 :]).strip("\n"))
        else:
            assert not part.strip() or part.startswith("# "), f"output of no command: {part[:60]!r}"


def here(text: str) -> str:
    """What the tests have in place of an interface and of root's rights."""
    return text.replace("sudo ", "").replace("-i eth0", "capture.pcap").replace('"eth0"', '"capture.pcap"')


def matches(shown: str, printed: str) -> bool:
    """`...` alone on a line stands for any lines, in a line for any text."""
    pattern = "\n".join(
        r"[\s\S]*" if line.strip() == "..." else ".*".join(map(re.escape, line.rstrip().split("...")))
        for line in shown.splitlines()
    ).replace("\n[\\s\\S]*", "[\\s\\S]*")
    lines = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, lines) is not None


def run(page: Path, folder: Path, environ: Mapping[str, str]) -> int:
    """Runs the page in a folder that holds capture.pcap. Returns how many commands and programs were run."""
    count = 0
    with subprocess.Popen(
        ["bash"], cwd=folder, env=dict(environ), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as shell:  # fmt: skip
        for block in blocks(page.read_text()):
            if block.caption:
                path = folder / block.caption
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(here(block.text))
            elif block.language == "python":
                count += 1
                (folder / ".program.py").write_text(here(block.text))
                _call(shell, f"python {folder}/.program.py", page)
            elif block.language == "console":
                for command in commands(block):
                    count += 1
                    printed = _call(shell, here(command.text), page)
                    if command.output:
                        shown = f"{page.name}: $ {command.text}\nshown:\n{command.output}\nprinted:\n{printed}"
                        assert matches(command.output, printed), shown
        assert shell.stdin is not None
        shell.stdin.close()
    return count


def _call(shell: subprocess.Popen[str], command: str, page: Path) -> str:
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(f"{{ {command}\n}} </dev/null\necho {_END} $?\n")
    shell.stdin.flush()
    printed = []
    for line in shell.stdout:
        before, end, code = line.partition(_END)
        if not end:
            printed.append(line)
            continue
        output = "".join(printed) + before
        assert code.strip() == "0", f"{page.name}: $ {command}\n{output}"
        return output
    raise AssertionError(f"{page.name}: the shell ended in $ {command}\n{''.join(printed)}")

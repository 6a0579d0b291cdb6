# SPDX-License-Identifier: Apache-2.0
"""The command line for tests: in this process, or as one of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from aicore.cli.command_line import main


def invoke(*args: object, **environ: str) -> Result:
    """Runs a command in this process. It sets up aicore's logger, which is put back afterwards."""
    with _logger_kept():
        return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="aicore", env=environ)


@contextmanager
def _logger_kept() -> Iterator[None]:
    logger = logging.getLogger("aicore")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    try:
        yield
    finally:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A clean one: no spool, no settings of whoever runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return {**kept, "XDG_STATE_HOME": str(folder / "state"), "LC_ALL": "C.UTF-8", **more}


def start(folder: Path, *args: object, environ: dict[str, str] | None = None, **settings: Any) -> subprocess.Popen[str]:
    """Starts `aicore` in a folder, with pipes."""
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "aicore", *map(str, args)],
        cwd=folder,
        env=environ or environment(folder),
        text=True,
        **settings,
    )


def call(
    folder: Path, *args: object, environ: dict[str, str] | None = None, seconds: float = 50
) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    process = start(folder, *args, environ=environ, stdin=subprocess.DEVNULL)
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, err

# SPDX-License-Identifier: Apache-2.0
"""The command line. Nothing is imported here but what every moment of the process needs: see `command_line`."""

from __future__ import annotations


def main() -> None:
    """The entry point of `aicore` and of `python -m aicore`."""
    # Imports take most of the time of a short command, and a signal may come in any of it.
    from aicore.cli import signals

    signals.begin()
    from aicore.cli import streams

    streams.complete()
    from aicore.cli.command_line import main as command_line

    command_line(prog_name="aicore")

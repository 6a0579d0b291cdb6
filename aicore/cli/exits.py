# SPDX-License-Identifier: Apache-2.0
"""The exit codes, in one table."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What `aicore` tells the shell and a supervisor."""

    OK = 0
    FAILED = 1
    USAGE = 2
    KEPT = 3
    LOST = 4
    INTERFACE_GONE = 5
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "all was read and delivered; for interfaces and --follow, up to the signal that ended them",
    Exit.FAILED: "a source, a store, a plugin or the output failed; what could be delivered is",
    Exit.USAGE: "the command line, the configuration or a name in it is wrong; nothing was run",
    Exit.KEPT: "records wait in the spool or among the dead letters",
    Exit.LOST: "records were lost; the summary counts them",
    Exit.INTERFACE_GONE: "the interface is gone and could not be opened again",
    Exit.INTERRUPTED: "a signal came before the end of the input, before the run began, or for the third time",
}


def epilog() -> str:
    """For --help. The form feed keeps click from joining the lines."""
    lines = [f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items()]
    return "\b\nExit codes:\n" + "\n".join(lines)

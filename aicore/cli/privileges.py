# SPDX-License-Identifier: Apache-2.0
"""`--user`: root is used for opening the interface and for nothing else."""

from __future__ import annotations

import ctypes
import os
import pwd
from dataclasses import replace

from aicore.errors import UsageError
from aicore.run.source import Source

_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def open_and_drop(source: Source, workers: int = 1) -> Source:
    """Takes root back for a moment to open the interfaces for so many workers, then gives it up for good.

    To be called before any thread runs, as no_new_privs belongs to a thread and later ones inherit it, and before any
    plugin is imported, as until then its code could take root back as well."""
    uid, gid = os.geteuid(), os.getegid()
    os.seteuid(0)
    try:
        opened = source.open_live(workers) if source.live else None
    finally:
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)  # away from root this empties the sets of capabilities
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")
    return replace(source, opened=opened)


def become(name: str) -> None:
    """From here on files are made as that user. UsageError if there is no such user, or this process is not root."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"--user: no user {name!r}") from None
    if os.geteuid() != 0:
        raise UsageError("--user needs root to begin with; without it, give python CAP_NET_RAW by the service manager")
    if user.pw_uid == 0:
        raise UsageError("--user: root is what is to be given up")
    os.initgroups(name, user.pw_gid)
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    os.environ["HOME"] = user.pw_dir
    if not os.access(os.__file__, os.R_OK, effective_ids=True):
        raise UsageError(f"--user: {name} may not read Python's library in {os.path.dirname(os.__file__)}")

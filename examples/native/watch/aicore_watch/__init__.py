# SPDX-License-Identifier: Apache-2.0
"""A meter in Python with a native part: which flows name a host of a list, and which one.

    aicore run -i eth0 --plugin 'watch?names=/etc/watched.txt'

The file is read again on reload (SIGHUP); flows keep what they have matched."""

from __future__ import annotations

import aicore

from . import _native


class Watch(aicore.Meter):
    options = {"names": aicore.Option(str, required=True, help="file of host names, one on a line")}
    fields = (aicore.Field("watched", "str", "First host name of the flow that is on the list", width=255),)

    def native(self) -> tuple[object, bytes]:
        path = self.config["names"]
        try:
            with open(path, encoding="utf-8") as lines:
                names = {line.strip().lower().encode() for line in lines}
        except (OSError, ValueError) as error:
            raise aicore.UsageError(f"watch: names of {path} cannot be read: {error}") from error
        if any(b"\0" in name for name in names):
            raise aicore.UsageError(f"watch: a name of {path} holds a NUL")
        return _native.watch, b"".join(name + b"\0" for name in sorted(names - {b""}))

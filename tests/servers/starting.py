# SPDX-License-Identifier: Apache-2.0
"""What the servers of all stores have in common."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator


class Unavailable(Exception):
    """This machine cannot run the server; the text says what is missing."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def or_skip() -> Iterator[None]:
    """Skips the test where the server is Unavailable; in CI, which has what it needs, that is an error."""
    import pytest  # benchmarks run without it

    try:
        yield
    except Unavailable as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))

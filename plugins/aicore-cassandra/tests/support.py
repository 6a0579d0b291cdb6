# SPDX-License-Identifier: Apache-2.0
"""What several test modules do."""

from __future__ import annotations

from collections.abc import Sequence

from aicore_cassandra import CassandraAdaptor

import aicore
from aicore import FlowBatch
from aicore.errors import RowError


def connected(url: str) -> CassandraAdaptor:
    """The adaptor of a URL, connected as a run does it."""
    adaptor = aicore.open_adaptor(url)
    assert isinstance(adaptor, CassandraAdaptor)
    assert adaptor.url is not None
    adaptor.connect(adaptor.url)
    return adaptor


def write(url: str, *batches: FlowBatch) -> None:
    """Writes as the delivery does; nothing may be refused."""
    adaptor = connected(url)
    try:
        for batch in batches:
            assert adaptor.write(batch.net()) == []
    finally:
        adaptor.close()


def kinds(errors: Sequence[RowError]) -> dict[int, str]:
    return {error.row: error.kind for error in errors}

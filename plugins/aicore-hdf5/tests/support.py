# SPDX-License-Identifier: Apache-2.0
"""What several test modules do."""

from __future__ import annotations

from aicore_hdf5 import Hdf5Adaptor

import aicore
from aicore import FlowBatch


def opened(url: str) -> Hdf5Adaptor:
    """The adaptor of a URL, connected as a run does it."""
    adaptor = aicore.open_adaptor(url)
    assert isinstance(adaptor, Hdf5Adaptor)
    assert adaptor.url is not None
    adaptor.connect(adaptor.url)
    return adaptor


def write(url: str, *batches: FlowBatch) -> None:
    adaptor = opened(url)
    try:
        for batch in batches:
            adaptor.write(batch.net())
    finally:
        adaptor.close()

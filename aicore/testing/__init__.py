# SPDX-License-Identifier: Apache-2.0
"""For authors of plugins: the contract of adaptors as abstract tests, batches to write, an adaptor that fails on
purpose, and captures of what two hosts say.

The contract needs pytest, the rest does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aicore.testing.batches import batches, event, flow_id, life, lives, make_batch
from aicore.testing.captures import write_capture
from aicore.testing.faults import FaultyAdaptor

if TYPE_CHECKING:
    from aicore.testing.contract import TYPED, AdaptorContract, Store
    from aicore.testing.file_contract import FileStoreContract

# fmt: off
__all__ = [
    "TYPED", "AdaptorContract", "FaultyAdaptor", "FileStoreContract", "Store", "batches", "event", "flow_id", "life",
    "lives", "make_batch", "write_capture",
]
# fmt: on


def __getattr__(name: str) -> Any:
    if name in ("TYPED", "AdaptorContract", "Store"):
        from aicore.testing import contract

        return getattr(contract, name)
    if name == "FileStoreContract":
        from aicore.testing.file_contract import FileStoreContract

        return FileStoreContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

# SPDX-License-Identifier: Apache-2.0
"""HDF5 as a store of flows: `hdf5:PATH`, and `latest(path)` to read it, one record a flow."""

from __future__ import annotations

from aicore_hdf5.adaptor import Hdf5Adaptor
from aicore_hdf5.reading import latest

__all__ = ["Hdf5Adaptor", "latest"]

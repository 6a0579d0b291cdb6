# SPDX-License-Identifier: Apache-2.0
"""What programs use: `PacketDispatcher` and `aicore.flows`."""

from __future__ import annotations

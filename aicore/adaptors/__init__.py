# SPDX-License-Identifier: Apache-2.0
"""The adaptors that come with aicore, registered by entry points like everybody else's."""

from __future__ import annotations

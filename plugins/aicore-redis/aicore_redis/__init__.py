# SPDX-License-Identifier: Apache-2.0
"""Redis as a store of flows: `redis://`, `rediss://` (TLS) and `redis+unix://`."""

from __future__ import annotations

from aicore_redis.adaptor import RedisAdaptor

__all__ = ["RedisAdaptor"]

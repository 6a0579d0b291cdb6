# SPDX-License-Identifier: Apache-2.0
"""Apache Cassandra as a store of flows: `cassandra://host1,host2/keyspace`."""

from __future__ import annotations

from aicore_cassandra.adaptor import CassandraAdaptor

__all__ = ["CassandraAdaptor"]

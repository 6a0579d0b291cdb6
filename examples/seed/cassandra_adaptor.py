# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
# fmt: off
"""The Cassandra adaptor of AIEngine's page "Database integration". It cannot run as printed there: each correction is
marked. It writes row by row, as the page shows it; the adaptor `cassandra://...?preset=seed` fills the same table in
batches.

    CREATE KEYSPACE demo WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1};
    CREATE TABLE demo.flows (key text PRIMARY KEY, bytes bigint, layer7 text, layer7info text);
"""

import aicore as pyaiengine
from cassandra.cluster import Cluster  # correction: pycassa speaks Thrift, which Cassandra 4 has no more
from cassandra.query import UNSET_VALUE
import json

class cassandraAdaptor(pyaiengine.DatabaseAdaptor):
    """ This class inheritance of DatabaseAdaptor that contains
        the following methods:
        - insert, called on the first insertion of the network flow
        - update, called depending on the sample selected.
        - remove, called when the flow is destroy.
    """
    def __init__(self):
        self.__c = None
        self.__pool = None

    def connect(self, connection_str):
        # correction: a Cluster and its session for ConnectionPool and ColumnFamily, CQL's port for Thrift's 9160
        self.__pool = Cluster(['127.0.0.1'], port=9042)
        self.__c = self.__pool.connect('demo')
        self.__insert = self.__c.prepare("INSERT INTO flows (key, bytes) VALUES (?, ?)")
        self.__update = self.__c.prepare("INSERT INTO flows (key, bytes, layer7, layer7info) VALUES (?, ?, ?, ?)")

    def update(self, key, data):
        obj = json.loads(data)

        bytes = obj["bytes"]
        l7 = obj.get("layer7", UNSET_VALUE)  # correction: a flow's protocol is not always known
        l7info = obj.get("httphost", 0)
        # Create a dict with all the values of the cassandra table
        d = {'bytes':bytes, 'layer7':l7}  # correction: made before it is filled, not after

        if (l7info == 0):
            l7info = obj.get("sslhost", 0)  # correction: the field is not called sslphost
            if (l7info != 0):  # correction: a text is not greater than a number
                d["layer7info"] = l7info
        else:
            d["layer7info"] = l7info

        self.__c.execute(self.__update, {'key':key, **d})  # correction: a statement for ColumnFamily.insert

    def insert(self, key):
        self.__c.execute(self.__insert, {'key':key, 'bytes':0})  # correction: as above

    def remove(self, key):
        # We dont remove anything on this example
        pass

# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
# fmt: off
"""The main program of AIEngine's page "Database integration", with its Cassandra adaptor: only the import is aicore's."""

import aicore as pyaiengine
from cassandra_adaptor import cassandraAdaptor

st = pyaiengine.StackLan()

st.udp_flows = 163840

# Use your own adaptor (redisAdaptor, cassandraAdaptor, hadoopAdaptor)
db = cassandraAdaptor()
db.connect("localhost")

""" The UDP traffic will be updated every 16 packets """
st.set_udp_database_adaptor(db, 16)

with pyaiengine.PacketDispatcher("eth0") as pd:
    pd.stack = st
    pd.run()

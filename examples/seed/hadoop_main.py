# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
# fmt: off
"""The main program of AIEngine's page "Database integration", with its Hadoop adaptor."""

import aicore as pyaiengine
from hadoop_adaptor import hadoopAdaptor

st = pyaiengine.StackLan()

st.udp_flows = 163840

# Use your own adaptor (redisAdaptor, cassandraAdaptor, hadoopAdaptor)
db = hadoopAdaptor()
db.connect("flows.h5")  # correction: it takes the name of a file

""" The UDP traffic will be updated every 16 packets """
st.set_udp_database_adaptor(db, 16)

with pyaiengine.PacketDispatcher("eth0") as pd:
    pd.stack = st
    pd.run()

db.close()  # correction: as in the adaptor

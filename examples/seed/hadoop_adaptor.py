# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
# fmt: off
"""The Hadoop adaptor of AIEngine's page "Database integration", with PyTables. It cannot run as printed there: each
correction is marked. It looks for a flow's row at every update, as the page shows it; the adaptor `hdf5:PATH` appends to
the same tables in batches.
"""

import aicore as pyaiengine
import tables
import json

class hadoopFlow(tables.IsDescription):
    name = tables.StringCol(104, pos = 1)  # correction: the key of an IPv6 flow does not fit into 50
    bytes = tables.Int64Col(pos = 2)  # correction: a flow may have more than 2 GiB
    l7 = tables.StringCol(32, pos = 3)
    layer7info = tables.StringCol(255, pos = 4)  # correction: the name of a host may have 253 characters

class hadoopAdaptor(pyaiengine.DatabaseAdaptor):
    def __init__(self):
        self.__file = None
        self.__group = None
        self.__table = None

    def connect(self, connection_str):
        self.__file = tables.open_file(connection_str, mode="w")
        self.__group = self.__file.create_group(self.__file.root, "flows")
        self.__table_tcp = self.__file.create_table(self.__group, 'table_tcp', hadoopFlow, "Flow table",
        tables.Filters(0))
        self.__table_udp = self.__file.create_table(self.__group, 'table_udp', hadoopFlow, "Flow table",
        tables.Filters(0))

    def close(self):  # correction: nothing closed the file
        self.__file.close()

    def __handle(self, table, key, obj, names):  # correction: the page lacks __handle_tcp; this is of both
        query = "name == key"
        for f in table.where(query, {'key': key.encode()}):  # correction: %s of a text has a b of its own in Python 3
            f['bytes'] = obj["bytes"]
            f['l7'] = obj.get("layer7", "").encode()  # correction: a flow's protocol is not always known
            for name in names:
                l7info = obj.get(name, 0)
                if (l7info != 0):  # correction: a text is not greater than a number
                    f['layer7info'] = l7info.encode()[:255]  # correction: a longer one is an error
                    break

            f.update()
        table.flush()  # correction: what was updated must be seen by the next where()

    def __handle_tcp(self, key, obj):
        self.__handle(self.__table_tcp, key, obj, ("httphost", "sslhost"))

    def __handle_udp(self, key, obj):
        self.__handle(self.__table_udp, key, obj, ("dnsdomain",))

    def update(self, key, data):
        try:
            obj = json.loads(data)
        except ValueError:
            print("ERROR:", data)  # correction: print is a function
            return

        proto = pyaiengine.FlowKey.parse(key).proto  # correction: an IPv6 address has colons too

        if (proto == 6):
            self.__handle_tcp(key, obj)
        else:
            self.__handle_udp(key, obj)

    def insert(self, key):
        proto = pyaiengine.FlowKey.parse(key).proto  # correction: as above

        if (proto == 6):
            t = self.__table_tcp
        else:
            t = self.__table_udp

        f = t.row

        f['name'] = key.encode()  # correction: HDF5 holds bytes
        f['bytes'] = 0
        f.append()
        t.flush()

    def remove(self, key):
        # We dont remove anything on this example
        pass

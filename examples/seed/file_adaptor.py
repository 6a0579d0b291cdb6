# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
# fmt: off
"""The file adaptor of AIEngine's page "Database integration": only the imports are aicore's."""

import aicore as pyaiengine
from aicore import DatabaseAdaptor


class fileAdaptor (DatabaseAdaptor):
    def __init__(self, name):
        self.__f = open(name,"w")

    def __del__(self):
        self.__f.close()

    def update(self, key, data):
        self.__f.write("Update:[%s] %s\n" % (key, data))

    def insert(self, key):
        return

    def remove(self, key):
        return

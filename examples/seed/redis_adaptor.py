# SPDX-License-Identifier: Apache-2.0
# ruff: noqa
# fmt: off
"""The Redis adaptor of AIEngine's page "Database integration": only the import is aicore's."""

import aicore as pyaiengine

import redis

class redisAdaptor(pyaiengine.DatabaseAdaptor):
    def __init__(self):
        self.__r = None 

    def connect(self,connection_str):
        self.__r = redis.Redis(connection_str)      

    def update(self, key, data):
        self.__r.hset("udpflows", key, data)

    def insert(self, key):
        self.__r.hset("udpflows", key, "{}")

    def remove(self, key):
        self.__r.hdel("udpflows", key)

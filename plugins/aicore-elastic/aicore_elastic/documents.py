# SPDX-License-Identifier: Apache-2.0
"""Records as documents: the names and types of the Elastic Common Schema (ECS), made from aicore's schema.

A field goes where its `ecs` says (`ipsrc` to `source.ip`), one that has none to `aicore.NAME`. Documents are nested
objects: dotted names cost the server 15 % more time, measured. They are made from the batch's JSON, so a document holds
what `jsonl:` writes, times with nine decimals included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aicore import schema
from aicore.errors import AicoreError
from aicore.plugins import Plugins
from aicore.protocol import ProtocolRegistry

if TYPE_CHECKING:
    from aicore.batch import FlowBatch

_TYPES = {"int": "long", "float": "double", "str": "keyword", "list": "keyword", "time": "date_nanos"}
# Where ECS has another type than ours. Addresses are told by their name.
_ECS_TYPES = {"network.iana_number": "keyword", "network.vlan.id": "keyword", "network.inner.vlan.id": "keyword"}


class _Branches(dict[str, Any]):
    """The objects of one document by dotted path; "" is the document. Those that are asked for come into being."""

    __slots__ = ()

    def __missing__(self, path: str) -> dict[str, Any]:
        parent, _, name = path.rpartition(".")
        branch: dict[str, Any] = {}
        self[parent][name] = branch
        self[path] = branch
        return branch


class Documents:
    """Knows where each field stands in a document. Used by one thread."""

    def __init__(self) -> None:
        import orjson

        self._loads, self._dumps = orjson.loads, orjson.dumps
        self._places: dict[str, tuple[str, str]] = {}  # field -> path of its object, name in it
        self._taken: set[str] = set()  # paths of fields
        self._objects: set[str] = set()  # paths of objects
        self._properties: dict[str, dict[str, Any]] = {}
        self._hooks_read = False
        self._place(_protocol_fields())

    def mappings(self) -> dict[str, Any]:
        """The mapping of the fields known so far, and how others become mapped."""
        return {
            # A host name that looks like a date would decide the type of a plugin's field for everyone.
            "date_detection": False,
            "dynamic_templates": [
                {"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}},
                {"floats": {"match_mapping_type": "double", "mapping": {"type": "double"}}},
            ],
            "properties": {
                # What Kibana and OpenSearch Dashboards look for; an alias costs no space.
                "@timestamp": {"type": "alias", "path": "event.start"},
                **self._properties,
            },
        }

    def place(self, name: str) -> str:
        """The dotted path of a field."""
        path, leaf = self._places[name]
        return f"{path}.{leaf}" if path else leaf

    def of(self, batch: FlowBatch) -> Iterator[bytes]:
        """One document a row, as JSON without line ends."""
        places = self._places
        if any(name not in places for name in batch.names()):
            self._place(self._unknown(batch))
        for record in map(self._loads, batch.json()):
            branches = _Branches()
            document = branches[""] = {}
            for name, value in record.items():
                path, leaf = places[name]
                branches[path][leaf] = value
            yield self._dumps(document)

    def _unknown(self, batch: FlowBatch) -> Iterable[schema.Field]:
        """The fields of a batch, described by the hook plugins that declare them."""
        known: tuple[schema.Field, ...] = ()
        if not self._hooks_read:
            self._hooks_read = True
            known = _hook_fields()
            self._place(known)
        return schema.of_batch(batch, known)

    def _place(self, fields: Iterable[schema.Field]) -> None:
        for field in fields:
            if field.name in self._places:
                continue
            path = field.ecs if field.ecs and self._free(field.ecs) else f"aicore.{field.name}"
            parent, _, leaf = path.rpartition(".")
            self._places[field.name] = (parent, leaf)
            self._taken.add(path)
            while parent:
                self._objects.add(parent)
                parent = parent.rpartition(".")[0]
            self._properties[path] = {"type": _type_of(field, path)}

    def _free(self, path: str) -> bool:
        """No field stands there, is an object there, or on the way to it: two plugins may name the same place."""
        parts = path.split(".")
        way = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        return path not in self._objects and not way & self._taken and parts[0] not in ("aicore", "@timestamp")


def _type_of(field: schema.Field, path: str) -> str:
    leaf = path.rpartition(".")[2]
    if path == field.ecs and (leaf == "ip" or leaf.endswith("_ip")):
        return "ip"
    return _ECS_TYPES.get(path, _TYPES[field.type])


def _protocol_fields() -> tuple[schema.Field, ...]:
    """The core's fields and those of the installed protocols, whether this run uses them or not: a field must have
    the same name in every run."""
    plugins = Plugins()
    registry = ProtocolRegistry()
    for name in plugins.names("protocol"):
        with suppress(AicoreError):  # the run says so; a field that nobody fills needs no name
            registry.add(plugins.load("protocol", name))
    return (*schema.CORE, *schema.declared(registry.core.fields()))


def _hook_fields() -> tuple[schema.Field, ...]:
    """What the installed hook plugins declare. Read only when a batch has a field that is neither core nor protocol."""
    plugins = Plugins()
    fields: list[schema.Field] = []
    for name in plugins.names("hook"):
        with suppress(AicoreError):
            fields += getattr(plugins.load("hook", name), "fields", ())
    return tuple(fields)

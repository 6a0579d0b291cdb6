# SPDX-License-Identifier: Apache-2.0
"""Records as documents: the names and types of the Elastic Common Schema (ECS), made from aicore's schema.

A field goes where its `ecs` says (`ipsrc` to `source.ip`), one that has none to `aicore.NAME`. Documents are nested
objects: dotted names cost the server 15 % more time, measured. Their values are those of the batch's JSON: a document
holds what `jsonl:` writes, times with nine decimals included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from aicore import schema

if TYPE_CHECKING:
    from aicore import FlowBatch

_TYPES = {
    "str": "keyword",
    "int": "long",
    "float": "double",
    "bool": "boolean",
    "time": "date_nanos",
    "list[str]": "keyword",
    "list[int]": "long",
    "list[float]": "double",
}
# Where ECS has another type than ours. Addresses are told by their name.
_ECS_TYPES = {"network.iana_number": "keyword", "network.vlan.id": "keyword", "network.inner.vlan.id": "keyword"}

_OWN = ("core", "dns", "http", "tls")  # of aicore itself

#: `_meta` of what aicore makes in a cluster: templates, and by their mappings the indices.
META = {"owner": "aicore"}


class Documents:
    """Knows where each field stands in a document. Used by one thread."""

    def __init__(self, fields: Iterable[schema.Field]) -> None:
        """The fields of the run's records. Others of a batch, from a spool of a run with other plugins, stand under
        `aicore.`"""
        self._places: dict[str, str] = {}  # field -> its dotted path
        self._properties: dict[str, dict[str, Any]] = {}  # path of a field -> its mapping
        self._objects: set[str] = set()  # paths of objects
        fields = tuple(fields)
        # First those that are there in every run: no other plugin can take their names. Then protocols, then hooks.
        self._place(field for field in fields if field.protocol in _OWN)
        self._place(field for field in fields if not field.protocol.startswith("hook:"))
        self._place(fields)

    def mappings(self) -> dict[str, Any]:
        """The mapping of the fields known so far, and how others become mapped."""
        return {
            "_meta": META,
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
        return self._places[name]

    def of(self, batch: FlowBatch) -> Sequence[bytes]:
        """One document a row, as JSON without line ends."""
        if any(name not in self._places for name in batch.names()):
            self._place(batch.schema)
        return batch.nested_json(self._places)

    def _place(self, fields: Iterable[schema.Field]) -> None:
        """Gives each new field its place: that of its ECS name if no other has or claims it. Of several that do
        (`user.name` of every protocol with users) each is kept under `aicore.` and copied, so that it is found by both
        names and a record can be read back."""
        fields = [field for field in fields if field.name not in self._places]
        claims = Counter(field.ecs for field in fields)
        for field in fields:
            path = f"aicore.{field.name}"
            mapping: dict[str, Any] = {"type": _TYPES[field.type]}
            if field.ecs:
                found = {"type": _type_of(field)}
                free = self._free(field.ecs)
                if free and claims[field.ecs] == 1:
                    path, mapping = field.ecs, found
                elif free:
                    self._take(field.ecs, found)
                if path != field.ecs and self._properties.get(field.ecs) == found:
                    mapping["copy_to"] = field.ecs
            self._places[field.name] = path
            self._take(path, mapping)

    def _take(self, path: str, mapping: dict[str, Any]) -> None:
        self._properties[path] = mapping
        parent = path.rpartition(".")[0]
        while parent:
            self._objects.add(parent)
            parent = parent.rpartition(".")[0]

    def _free(self, path: str) -> bool:
        """No field stands there, is an object there, or stands on the way to it."""
        parts = path.split(".")
        way = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        return (
            path not in self._objects and not way & self._properties.keys() and parts[0] not in ("aicore", "@timestamp")
        )


def _type_of(field: schema.Field) -> str:
    """Of a field under its ECS name."""
    leaf = (field.ecs or "").rpartition(".")[2]
    if leaf == "ip" or leaf.endswith("_ip"):
        return "ip"
    return _ECS_TYPES.get(field.ecs or "", _TYPES[field.type])

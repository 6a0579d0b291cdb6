# SPDX-License-Identifier: Apache-2.0
"""FlowBatch in forms that stores take: nested JSON, rows of fixed width."""

from __future__ import annotations

import json
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import aicore
from aicore.record.batch import Place
from aicore.testing import event


def batch(*changes: dict[str, Any]) -> aicore.FlowBatch:
    return aicore.FlowBatch.from_rows([event("update", n, n + 1, **change) for n, change in enumerate(changes)])


def nested(record: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in record.items():
        *path, leaf = places[name].split(".")
        node = out
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    return out


# What may look like the end of a value, or like the next name.
_HOSTILE = st.lists(st.sampled_from([",", '"', "\\", ":", "{", "}", "[", "]", "a", '","a":', "\n", "é", "%b"])).map(
    "".join
)


@given(
    st.lists(
        st.tuples(_HOSTILE, st.none() | st.lists(_HOSTILE, min_size=1), st.none() | st.floats(allow_nan=False)),
        min_size=1,
    )
)
def test_nested_json_is_the_record_at_other_places(values: list[tuple[str, list[str] | None, float | None]]) -> None:
    rows = batch(*({"httphost": host or None, "dnsdomains": domains} for host, domains, _ in values))
    rows.add("note", [host for host, _, _ in values])
    rows.add("share", [share for _, _, share in values])
    places = {name: f"aicore.{name}" for name in rows.names()}
    places |= {
        "ipsrc": "source.ip",
        "portsrc": "source.port",
        "bytes": "bytes",
        "httphost": "url.domain",
        "note": "url.a b",
    }
    found = [json.loads(line) for line in rows.nested_json(places)]
    assert found == [nested(json.loads(line), places) for line in rows.json()]


def test_nested_json_needs_a_place_for_every_field() -> None:
    rows = batch({})
    places = {name: name for name in rows.names()}
    for wrong in (
        {"ipsrc": "portsrc"},
        {"ipsrc": "a", "portsrc": "a.b"},
        {"ipsrc": "a.b", "portsrc": "a"},
    ):
        with pytest.raises(aicore.UsageError, match=r"place|where"):
            rows.nested_json({**places, **wrong})
    del places["bytes"]
    with pytest.raises(aicore.UsageError, match="'bytes'"):
        rows.nested_json(places)


def cut(text: str, width: int) -> bytes:
    return text.encode()[:width].decode(errors="ignore").encode()


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
            st.none() | st.lists(_HOSTILE, min_size=1, max_size=4),
            st.none() | st.floats(allow_nan=False),
            st.integers(0, 4000),
            st.sampled_from([6, 17]),
        ),
        min_size=1,
    ),
    st.integers(0, 20),
)
def test_packed_rows_hold_what_the_columns_hold(values: list[Any], width: int) -> None:
    rows = batch(
        *(
            {"httphost": host or "-", "vlan": vlan, "proto": proto, "retransmissions": 7}
            for host, _, _, vlan, proto in values
        )
    )
    rows.add("note", [host if n % 2 else None for n, (host, *_) in enumerate(values)])
    rows.add("names", [["x"], *(names for _, names, *_ in values)][: len(values)])
    rows.add("share", [share for _, _, share, *_ in values])
    fields = ["key", "vlan", "retransmissions", "share", "httphost", "names", "first_seen", "note"]
    kinds = {name: rows.type(name) for name in fields}
    dtype = numpy.dtype(
        [("first", f"S{max(width, 1)}"), ("cut", "u1"), ("bits", "u1", (1,)), ("spare", "u4")]
        + [(name, {"int": "<i8", "time": "<i8", "float": "<f8"}.get(kinds[name], "S20")) for name in fields]
    )
    at = {name: place[1] for name, place in dtype.fields.items()}
    places = [Place(kinds[name], [name], at[name], dtype[name].itemsize) for name in fields]
    places += [Place("str", ["note", "httphost"], 0, width), Place("cut", [], at["cut"], 1)]
    places += [Place("present", fields, at["bits"], 1)]
    found = numpy.frombuffer(rows.packed(places, dtype.itemsize), dtype)

    present = numpy.array([list(rows.valid(name)) for name in fields]).T
    assert (numpy.unpackbits(found["bits"], axis=1) == present).all()
    assert not found["spare"].any()
    long = numpy.zeros(len(rows), int)
    for name in fields:
        column = rows.column(name)
        if kinds[name] in ("int", "time", "float"):
            assert found[name].tolist() == [
                v if valid else 0 for v, valid in zip(column, rows.valid(name), strict=True)
            ]
        elif kinds[name] == "str":
            assert found[name].tolist() == [cut(value or "", 20).rstrip(b"\0") for value in column]
            long += [len((value or "").encode()) > 20 for value in column]
        else:
            for row, value in enumerate(column):
                kept = json.loads(found[name][row] or b"[]")
                assert kept == list(value or [])[: len(kept)]
                long[row] += len(kept) < len(value or [])
    assert found["cut"].tolist() == long.tolist()
    assert found["first"].tolist() == [
        cut(host if note is None else note, width).rstrip(b"\0")
        for note, host in zip(rows.column("note"), rows.column("httphost"), strict=True)
    ]


def test_packed_rows_need_places_that_fit() -> None:
    rows = batch({})
    assert bytes(rows.packed([Place("int", ["httphost"], 0, 8)], 8)) == bytes(8)  # of another type, so it is not there
    assert rows.packed([], 3) == bytearray(3)
    for place in (
        ("int", ["bytes"], 1, 8),
        ("int", ["bytes"], 0, 4),
        ("str", ["key"], 1 << 63, 1 << 63),
        ("str", ["key"], 9, 0),
        ("present", ["bytes"], 0, 1),
        ("cut", [], 0, 2),
        ("text", ["key"], 0, 8),
    ):
        with pytest.raises(aicore.UsageError):
            rows.packed([Place(*place)], 8)  # type: ignore[arg-type]
    with pytest.raises(aicore.UsageError, match="too large"):
        aicore.FlowBatch.concat([rows] * 3).packed([], (1 << 63) - 1)
    with pytest.raises(MemoryError):
        rows.packed([], 1 << 62)

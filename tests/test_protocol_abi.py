# SPDX-License-Identifier: Apache-2.0
"""Native protocols that were built against another version of aicore's headers: an older one, whose structures have
fewer members, and a newer one, whose structures have more; in C with protocol.h, in C++ with dissector.h."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from captures.files import talks
from commandline import invoke
from conftest import Install
from native_plugins import compiled, records, tcp

import aicore

HEADERS = Path(aicore.get_include()) / "aicore"
# What an older header did not have yet: the last members of each structure that may have fewer.
LATER = {
    "aicore_field": ["unit", "ecs", "help"],
    "aicore_flow": ["packets"],
    "aicore_payload": ["other", "other_length"],
    "aicore_host": ["set_layer7", "hand_over"],
    "aicore_protocol": ["anomalies", "aliases", "anomaly_count", "alias_count"],
}
STRUCTURES = ["aicore_prefix", *LATER]

# Two words select it, two fields say what it saw: the second of each is where a wrong distance between elements shows.
C = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>
#include "aicore/protocol.h"
#ifdef NEWER
#define MORE_MEMBERS , .added_later = UINT64_MAX
#else
#define MORE_MEMBERS
#endif

enum { WORD, CALLS };
static const aicore_field fields[] = {
    {.name = "abiword", .type = AICORE_STRING, .flags = AICORE_NOTIFY, .width = 16 MORE_MEMBERS},
    {.name = "abicalls", .type = AICORE_INTEGER MORE_MEMBERS},
};
static const aicore_prefix prefixes[] = {{.bytes = "ONE ", .length = 4 MORE_MEMBERS},
                                         {.bytes = "TWO ", .length = 4 MORE_MEMBERS}};

static int inspect(aicore_flow *flow, aicore_payload *payload, void *state) {
    uint32_t *calls = state;
#ifdef NEWER
    if (AICORE_HAS(flow, added_later) || AICORE_HAS(payload, added_later) || AICORE_HAS(flow->host, added_later))
        return AICORE_NO; /* this aicore does not have them */
#endif
    if (payload->length < 8) return AICORE_MORE;
    flow->host->set_string(flow, WORD, payload->data + 4, 4);
    flow->host->set_integer(flow, CALLS, ++*calls);
    payload->consumed = payload->length;
    return *calls == 2 ? AICORE_DONE : AICORE_YES;
}

static const aicore_protocol protocol = {
    .abi = AICORE_PROTOCOL_ABI,
    .size = sizeof(aicore_protocol),
    .name = "NAME",
    .help = "A protocol of a test",
    .transports = AICORE_TCP,
    .rank = 1,
    .inspect = inspect,
    .state_size = sizeof(uint32_t),
    .prefixes = prefixes,
    .prefix_count = 2,
    .prefix_size = sizeof *prefixes,
    .fields = fields,
    .field_count = 2,
    .field_size = sizeof *fields MORE_MEMBERS
};
"""
CPP = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "aicore/dissector.h"
#ifdef NEWER
#define MORE_MEMBERS , .added_later = UINT64_MAX
#else
#define MORE_MEMBERS
#endif

enum Field : uint32_t { kWord, kCalls };
constexpr aicore_field kFields[] = {
    {.name = "abiword", .type = AICORE_STRING, .flags = AICORE_NOTIFY, .width = 16 MORE_MEMBERS},
    {.name = "abicalls", .type = AICORE_INTEGER MORE_MEMBERS},
};
constexpr aicore_prefix kPrefixes[] = {{.bytes = "ONE ", .length = 4 MORE_MEMBERS},
                                       {.bytes = "TWO ", .length = 4 MORE_MEMBERS}};
struct State {
    uint32_t calls;
};

int inspect(aicore::Flow flow, aicore_payload &payload, State &state) {
#ifdef NEWER
    if (AICORE_HAS(flow.get(), added_later) || AICORE_HAS(&payload, added_later) ||
        AICORE_HAS(flow.get()->host, added_later))
        return AICORE_NO;
#endif
    if (payload.length < 8) return AICORE_MORE;
    flow.set(kWord, aicore::text(payload).substr(4, 4));
    flow.set(kCalls, ++state.calls);
    payload.consumed = payload.length;
    return state.calls == 2 ? AICORE_DONE : AICORE_YES;
}

constexpr aicore_protocol protocol = [] {
    aicore_protocol p = aicore::define_protocol<inspect, State>({
        .name = "NAME",
        .help = "A protocol of a test",
        .transports = AICORE_TCP,
        .rank = 1,
        .prefixes = kPrefixes,
        .fields = kFields,
    });
#ifdef NEWER
    p.added_later = UINT64_MAX;
#endif
    return p;
}();
"""
MODULE = r"""
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "NAME", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_NAME(void) {
    PyObject *self = PyModule_Create(&module);
    PyObject *capsule = PyCapsule_New((void *)&protocol, AICORE_PROTOCOL_CAPSULE, NULL);
    if (PyModule_AddObject(self, "protocol", capsule) < 0) return NULL;
    return self;
}
"""


def older(text: str) -> str:
    for structure, members in LATER.items():
        head, body, tail = re.split(rf"(?s)(typedef struct {structure} {{.*?\n}} {structure};)", text)
        for member in members:
            # `type name;` or a function pointer, with what is said of it
            body, count = re.subn(rf"(?m)^    [^;\n]*\b{member}(?:;|\)\(.*;).*\n", "", body)
            assert count == 1, f"{structure} has no {member}"
        text = head + body + tail
    return text


def older_helper(text: str) -> str:
    """dissector.h without what uses those members."""
    text, count = re.subn(r"(?s)inline std::string_view other_text.*?\n}\n", "", text)
    assert count == 1
    gone = re.compile(r"host->(set_layer7|hand_over)\(|^    p\.(anomal|alias)")
    kept = [line for line in text.splitlines() if not gone.search(line)]
    assert len(text.splitlines()) - len(kept) == 6
    return "\n".join(kept)


def newer(text: str) -> str:
    for structure in STRUCTURES:
        text, count = re.subn(rf"(?m)^}} {structure};", f"    uint64_t added_later;\n}} {structure};", text)
        assert count == 1, structure
    return text


@pytest.mark.parametrize("language", ["c", "cpp"])
@pytest.mark.parametrize("age", ["older", "newer"])
def test_a_plugin_built_against_another_header_works(install: Install, tmp_path: Path, age: str, language: str) -> None:
    name = f"abi_{age}_{language}"
    include = tmp_path / "include" / "aicore"
    include.mkdir(parents=True)
    for path in HEADERS.glob("*.h"):
        (include / path.name).write_text(path.read_text())
    protocol_h, dissector_h = (include / "protocol.h"), (include / "dissector.h")
    if age == "older":
        protocol_h.write_text(older(protocol_h.read_text()))
        dissector_h.write_text(older_helper(dissector_h.read_text()))
    else:
        protocol_h.write_text(newer(protocol_h.read_text()))
    source = tmp_path / f"{name}.{language}"
    source.write_text(((C if language == "c" else CPP) + MODULE).replace("NAME", name))
    options = ["-std=c11" if language == "c" else "-std=c++20", *(["-DNEWER"] if age == "newer" else [])]
    compiled(source, name, tmp_path / "site-packages", *options, include=tmp_path / "include")
    install(f"aicore-{name}".replace("_", "-"), protocols={name: f"{name}:protocol"})

    rows = {row["name"]: row for row in json.loads(invoke("list-plugins", "--json").output)}
    assert rows[f"protocol:{name}"]["status"] == "ok", rows[f"protocol:{name}"]
    found = records(
        talks(
            tcp(1, b"ONE abcd", b"    efgh"),
            tcp(2, b"TWO ijkl"),
            tcp(3, b"XXX ijkl"),
            tcp(4, b"GET / HTTP/1.0\r\n\r\n"),
        ),
        tmp_path,
    )
    assert {port: (row.get("layer7"), row.get("abiword"), row.get("abicalls")) for port, row in found.items()} == {
        1: (name, "efgh", 2),
        2: (name, "ijkl", 1),
        3: (None, None, None),
        4: ("http", None, None),
    }

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What plugins cost: plugins.py CAPTURE [--rounds N]. Packets per CPU second with a no-op adaptor at every 16 packets,
in turn with the core alone, as medians; what they cost before the run begins (reading lists) beside it.

Native plugins that match nothing are made here; aicore-geoip, aicore-reputation, aicore-protocols, aicore-quic and
aicore-ndpi are measured where installed. What is installed and is not measured is left out of the run.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from subject import run_noop

SOURCE = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "aicore/protocol.h"
static int inspect(aicore_flow *flow, aicore_payload *payload, void *state) {
    (void)flow; (void)payload; (void)state;
    return AICORE_NO;
}
%(structures)s
static const aicore_protocol *const all[] = {%(names)s};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "many", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_many(void) {
    PyObject *self = PyModule_Create(&module), *list = PyList_New(0);
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
        PyList_Append(list, PyCapsule_New((void *)all[i], AICORE_PROTOCOL_CAPSULE, NULL));
    PyModule_AddObject(self, "all", list);
    return self;
}
"""
STRUCTURE = """
static const aicore_prefix prefix%(n)d = {"%(prefix)s", 4};
static const uint16_t port%(n)d = %(port)d;
static const aicore_protocol protocol%(n)d = {.abi = AICORE_PROTOCOL_ABI, .size = sizeof(aicore_protocol),
    .name = "other%(n)d", .transports = AICORE_TCP | AICORE_UDP, .rank = 50, .ports = &port%(n)d, .port_count = 1,
    .prefixes = &prefix%(n)d, .prefix_count = 1, .prefix_size = sizeof(aicore_prefix), .inspect = inspect};
"""


def many(count: int) -> list[Any]:
    """Native protocols with first bytes of their own, and ports that nobody uses."""
    import aicore

    rng = random.Random(1)
    parts = [
        STRUCTURE % {"n": n, "prefix": "".join(f"\\{rng.randrange(128, 256):o}" for _ in range(4)), "port": 60 + n}
        for n in range(count)
    ]
    names = ", ".join(f"&protocol{n}" for n in range(count))
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "many.c", Path(folder) / "many.so"
        source.write_text(SOURCE % {"structures": "".join(parts), "names": names})
        include = [f"-I{aicore.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", *include, source, "-o", library], check=True)
        spec = importlib.util.spec_from_file_location("many", library)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return list(module.all)


def python_on_port_53() -> list[Any]:
    """A protocol in Python that looks at all DNS that the core leaves it, and says no."""
    import aicore

    class Other(aicore.Protocol):
        name = "other"
        help = "asked for every flow of port 53"
        transports = ("udp",)
        ports = (53,)
        rank = 0

        def inspect(self, payload: bytes, flow: Any) -> Any:  # noqa: ARG002  # the interface
            return self.NO

    return [Other]


def enrichment(folder: str) -> list[tuple[str, dict[str, str]]]:
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet

    rng = random.Random(2)
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Country")
    for first in range(1, 224):
        for second in range(0, 256, 4):
            country = f"{chr(65 + rng.randrange(26))}{chr(65 + rng.randrange(26))}"
            writer.insert_network(IPSet([f"{first}.{second}.0.0/14"]), {"country": {"iso_code": country}})
    writer.to_db_file(f"{folder}/country.mmdb")
    lines = [f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.0/24" for _ in range(20_000)]
    lines += [f"host{rng.randrange(10**9)}.example" for _ in range(20_000)]
    Path(folder, "list.txt").write_text("\n".join(lines))
    return [("geoip", {"db": f"{folder}/country.mmdb"}), ("reputation", {"lists": f"{folder}/list.txt"})]


#: Subject: what has to be installed, and the names of the plugins that stay.
INSTALLED = {
    "geoip and reputation": ("aicore_geoip aicore_reputation mmdb_writer", ""),
    "aicore-protocols": ("aicore_protocols", "aicore-protocols"),
    "aicore-quic": ("aicore_quic", "aicore-quic"),
    "aicore-protocols and aicore-quic": ("aicore_protocols aicore_quic", "aicore-protocols aicore-quic"),
    "aicore-ndpi": ("aicore_ndpi", "aicore-ndpi"),
}
MADE: dict[str, Callable[[], list[Any]]] = {
    "core alone": list,
    "10 native plugins": lambda: many(10),
    "50 native plugins": lambda: many(50),
    "Python protocol on port 53": python_on_port_53,
}


def measure(name: str, capture: str) -> dict[str, float]:
    import aicore

    keep = INSTALLED.get(name, ("", ""))[1].split()
    others = {row.name for row in aicore.list_plugins(load=False) if row.distribution not in ("aicore", *keep)}
    os.environ["AICORE_DISABLE_PLUGINS"] = ",".join(
        sorted(row for row in others if name != "geoip and reputation" or not row.startswith("hook:"))
    )
    with tempfile.TemporaryDirectory() as folder:
        uses: list[tuple[Any, dict[str, str]]] = [(plugin, {}) for plugin in MADE.get(name, list)()]
        if name == "geoip and reputation":
            uses += enrichment(folder)
        return run_noop(capture, uses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these, and the core alone")
    parser.add_argument("--subject", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.subject:
        print(json.dumps(measure(arguments.subject, arguments.capture)))
        return
    names = list(MADE) + [
        name for name, (modules, _) in INSTALLED.items() if all(map(importlib.util.find_spec, modules.split()))
    ]
    names = [name for name in names if not arguments.only or name in ("core alone", *arguments.only)]
    rates: dict[str, list[float]] = {name: [] for name in names}
    starts: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            command = [sys.executable, __file__, arguments.capture, "--subject", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            rates[name].append(found["packets"] / found["cpu"])
            starts[name].append(found["start"])
    print(f"{'subject':34} {'M packets/CPU s':>16} {'(low-high)':>14} {'of the core alone':>18} {'start (CPU s)':>14}")
    for name, found in rates.items():
        # The ratio within a round: a machine that slows down slows its neighbours in time.
        ratio = statistics.median(a / b for a, b in zip(found, rates["core alone"], strict=True))
        spread = f"{min(found) / 1e6:.2f}-{max(found) / 1e6:.2f}"
        rate, start = statistics.median(found) / 1e6, statistics.median(starts[name])
        print(f"{name:34} {rate:16.2f} {spread:>14} {ratio:18.3f} {start:14.2f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What meters cost: meters.py [CAPTURE...] [--rounds N] [--packets N]. CPU nanoseconds per packet with a no-op adaptor
at every 16 packets: without a meter, and with each of four.

Every round runs every subject once, in turn; the medians are printed, and the median of what a subject cost more than
the run without a meter in the same round. Without a CAPTURE the benchmark's own mixes are made and used (see mixes.py).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from mixes import make
from subject import run_noop

HERE = Path(__file__).resolve().parent
ENTROPY = HERE.parent / "examples" / "native" / "entropy" / "aicore_entropy.c"
SOURCE = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "aicore/meter.h"
typedef struct { uint64_t packets[2], bytes[2]; } counts;
static void nothing(void *self, aicore_meter_flow *flow, const aicore_packet *packet, void *state) {
    (void)self; (void)flow; (void)packet; (void)state;
}
static void count(void *self, aicore_meter_flow *flow, const aicore_packet *packet, void *state) {
    counts *c = state;
    (void)self; (void)flow;
    ++c->packets[packet->reverse];
    c->bytes[packet->reverse] += packet->ip_length;
}
static void record(void *self, aicore_meter_flow *flow, void *state) {
    const counts *c = state;
    (void)self;
    flow->host->set_integer(flow, 0, (int64_t)(c->packets[0] + c->packets[1]));
    flow->host->set_integer(flow, 1, (int64_t)(c->bytes[0] + c->bytes[1]));
}
static const aicore_field fields[] = {{"counted", AICORE_INTEGER, 0, 0, NULL, NULL, "packets"},
                                      {"counted_bytes", AICORE_INTEGER, 0, 0, NULL, NULL, "bytes"}};
static const aicore_meter packet = {.abi = AICORE_METER_ABI, .size = sizeof(aicore_meter), .name = "nothing",
    .packet = nothing};
static const aicore_meter state = {.abi = AICORE_METER_ABI, .size = sizeof(aicore_meter), .name = "counts",
    .state_size = sizeof(counts), .packet = count};
static const aicore_meter full = {.abi = AICORE_METER_ABI, .size = sizeof(aicore_meter), .name = "recorded",
    .state_size = sizeof(counts), .packet = count, .fields = fields, .field_count = 2, .field_size = sizeof *fields,
    .record = record};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "made", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_made(void) {
    PyObject *self = PyModule_Create(&module);
    PyModule_AddObject(self, "packet", PyCapsule_New((void *)&packet, AICORE_METER_CAPSULE, NULL));
    PyModule_AddObject(self, "state", PyCapsule_New((void *)&state, AICORE_METER_CAPSULE, NULL));
    PyModule_AddObject(self, "full", PyCapsule_New((void *)&full, AICORE_METER_CAPSULE, NULL));
    return self;
}
"""

NONE = "no meter"
#: Subject: module and capsule.
METERS = {
    "packet() that returns": ("made", "packet"),
    "packet() that counts in its state": ("made", "state"),
    "the same, and two fields set": ("made", "full"),
    "examples/native/entropy": ("aicore_entropy", "entropy"),
}


def build(folder: Path) -> None:
    import aicore

    (folder / "made.c").write_text(SOURCE)
    include = [f"-I{aicore.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    for source in (folder / "made.c", ENTROPY):
        output = folder / f"{source.stem}.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", *include, source, "-o", output, "-lm"], check=True)


def capsule(folder: Path, module: str, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(module, folder / f"{module}.so")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return getattr(loaded, name)


def measure(name: str, capture: str, folder: Path) -> dict[str, float]:
    import aicore

    # What else is installed would be measured, too.
    others = {row.name for row in aicore.list_plugins(load=False) if row.distribution != "aicore"}
    os.environ["AICORE_DISABLE_PLUGINS"] = ",".join(sorted(others))
    return run_noop(capture, [] if name == NONE else [(capsule(folder, *METERS[name]), {})])


def bench(capture: Path, rounds: int, folder: Path) -> None:
    costs: dict[str, list[float]] = {name: [] for name in (NONE, *METERS)}
    for _ in range(rounds):
        for name, cost in costs.items():
            command = [sys.executable, __file__, str(capture), "--work", str(folder), "--subject", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            cost.append(found["cpu"] / found["packets"] * 1e9)
    print(f"\n{capture.name}: {found['packets']} packets, {found['flows']} flows, {rounds} rounds")
    print(f"{'subject':36} {'CPU ns/packet':>14} {'(low-high)':>14} {'more':>7}")
    for name, cost in costs.items():
        # Within a round: a machine that slows down slows its neighbours in time.
        more = statistics.median(a - b for a, b in zip(cost, costs[NONE], strict=True))
        spread = f"{min(cost):.0f}-{max(cost):.0f}"
        print(f"{name:36} {statistics.median(cost):14.1f} {spread:>14} {more:7.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="*", type=Path)
    parser.add_argument("--packets", type=int, default=1_000_000, help="packets of each mix")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"), help="where mixes and meters are kept")
    parser.add_argument("--subject", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.subject:
        print(json.dumps(measure(arguments.subject, str(arguments.captures[0]), arguments.work)))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    build(arguments.work)
    for capture in arguments.captures or make(arguments.work, arguments.packets).values():
        bench(capture, arguments.rounds, arguments.work)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packets per CPU second and peak memory, side by side: run.py [CAPTURE...] [--mixes] [--rounds N] [--only NAME...]

Every round runs every subject once, in turn, so that a machine that slows down slows all of them; the medians are
printed, and the ratio to the bare libpcap loop of the same run. Beside that stand a walk over the records with
read(1 MiB), for pcap of this machine's byte order, and aicore's reader alone. NFStream and ndpiReader are measured
where installed. Without a CAPTURE the benchmark's own mixes are made and used (see mixes.py).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from mixes import make

HERE = Path(__file__).resolve().parent
LOOP = "libpcap loop"


def build(folder: Path) -> dict[str, str]:
    """The programs that read a capture and do nothing with it, by subject."""
    source = HERE.parent / "native/src/source"
    parts = [path for path in source.glob("*.cpp") if not path.name.startswith("live")]
    parts += [source / "unpack/compressed.cpp", source / "unpack/decompressor.cpp"]  # without the libraries
    native = ["c++", "-O2", "-DNDEBUG", "-std=c++20", f"-I{HERE.parent / 'native/include'}", f"-I{source}"]
    programs: dict[str, tuple[str, list[str | Path]]] = {
        LOOP: ("loop", ["cc", "-O2", HERE / "loop.c", "-lpcap"]),
        "read(1 MiB) walk": ("walk", ["cc", "-O2", HERE / "walk.c"]),
        "reader alone": ("reader", [*native, HERE / "reader.cpp", *parts, "-lpcap"]),
    }
    for name, command in programs.values():
        subprocess.run([*command, "-o", folder / name], check=True)
    return {subject: str((folder / name).resolve()) for subject, (name, _) in programs.items()}


def measure(command: list[str]) -> tuple[dict[str, float], int]:
    """What the command printed, and its largest process in KiB."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(HERE)}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, env=environment, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise SystemExit(f"benchmark: {' '.join(command)} ended with {process.returncode}")
    if command[0].endswith("ndpiReader"):
        return {"cpu": usage.ru_utime + usage.ru_stime}, usage.ru_maxrss
    return json.loads(text.strip().splitlines()[-1]), usage.ru_maxrss


def commands(programs: dict[str, str], capture: Path) -> dict[str, list[str]]:
    subject = [sys.executable, str(HERE / "subject.py")]
    names = ["no adaptor", "no-op write", "no-op insert/update/remove", "sqlite", "aicore.flows"]
    if importlib.util.find_spec("nfstream"):
        names.append("nfstream")
    found = {name: [program, str(capture)] for name, program in programs.items()}
    found |= {name: [*subject, name, str(capture)] for name in names}
    if reader := shutil.which("ndpiReader"):
        found["ndpiReader"] = [reader, "-q", "-i", str(capture)]
    return found


def bench(capture: Path, programs: dict[str, str], rounds: int, only: list[str]) -> dict[str, dict[str, float]]:
    every = commands(programs, capture)
    chosen = {name: command for name, command in every.items() if not only or name in (LOOP, *only)}
    samples: dict[str, list[tuple[dict[str, float], int]]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name, command in chosen.items():
            samples[name].append(measure(command))
    packets = samples[LOOP][0][0]["packets"]
    result: dict[str, dict[str, float]] = {}
    for name, runs in samples.items():
        rates = sorted(packets / run["cpu"] for run, _ in runs)
        result[name] = {
            "packets_per_cpu_second": statistics.median(rates),
            "lowest": rates[0],
            "highest": rates[-1],
            "peak_mib": max(peak for _, peak in runs) / 1024,
            "flows": runs[0][0].get("flows") or 0,
        }
    for figures in result.values():
        figures["of_libpcap_loop"] = figures["packets_per_cpu_second"] / result[LOOP]["packets_per_cpu_second"]
    return result


def show(capture: Path, result: dict[str, dict[str, float]]) -> None:
    print(f"\n{capture.name}")
    print(f"{'subject':28} {'M packets/CPU s':>16} {'(low-high)':>14} {'of loop':>8} {'peak MiB':>9} {'flows':>8}")
    for name, f in result.items():
        spread = f"{f['lowest'] / 1e6:.2f}-{f['highest'] / 1e6:.2f}"
        rate, peak = f["packets_per_cpu_second"] / 1e6, f["peak_mib"]
        print(f"{name:28} {rate:16.2f} {spread:>14} {f['of_libpcap_loop']:8.2f} {peak:9.0f} {int(f['flows']) or '':>8}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="*", type=Path)
    parser.add_argument("--mixes", action="store_true", help="the benchmark's own mixes, beside any CAPTURE")
    parser.add_argument("--packets", type=int, default=1_000_000, help="packets of each mix")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these subjects, and the libpcap loop")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks"), help="where mixes and programs are kept")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    captures = list(arguments.captures)
    if arguments.mixes or not captures:
        captures += make(arguments.work, arguments.packets).values()
    programs = build(arguments.work)
    results = {}
    for capture in captures:
        results[str(capture)] = bench(capture, programs, arguments.rounds, arguments.only)
        if not arguments.json:
            show(capture, results[str(capture)])
    if arguments.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

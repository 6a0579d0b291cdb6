# SPDX-License-Identifier: Apache-2.0
"""Builds the fuzz programs with clang, makes their seeds, and runs each target for AICORE_FUZZ_SECONDS (60).

python native/fuzz/run.py FOLDER [TARGET...]

FOLDER keeps the builds, what was learnt (corpus) and the inputs of reports. A target is binary, decode, packets,
reader, capture, or the name of a protocol of the core, aicore-protocols or aicore-quic. As many run at once as there
are processors.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
ROOT = SOURCE.parents[1]
PROJECTS = {  # kind of seeds: CMake project, where its programs are, that of the targets that have none of their own
    "core": (ROOT / "native", "fuzz", "dissect"),
    "protocols": (ROOT / "plugins/aicore-protocols", "", "protocols"),
    "quic": (ROOT / "plugins/aicore-quic", "", "quic"),
}
SECONDS = os.environ.get("AICORE_FUZZ_SECONDS", "60")
PROCESSORS = len(os.sched_getaffinity(0))


def build(folder: Path, project: Path) -> None:
    options = ["-DAICORE_SANITIZE=ON", "-DAICORE_TESTS=OFF", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
    compilers = ["-DCMAKE_C_COMPILER=clang", "-DCMAKE_CXX_COMPILER=clang++"]
    configure = ["cmake", "-S", str(project), "-B", str(folder), "--no-warn-unused-cli", *options, *compilers]
    for command in (configure, ["cmake", "--build", str(folder), "--parallel", str(PROCESSORS)]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def fuzz(folder: Path, program: Path, target: str, seeds: Path) -> bool:
    """Whether there was nothing to report."""
    learnt, reports, log = folder / "corpus" / target, folder / "reports", folder / f"{target}.log"
    learnt.mkdir(parents=True, exist_ok=True)
    reports.mkdir(exist_ok=True)
    limits = [f"-max_total_time={SECONDS}", "-max_len=8192", "-timeout=10", "-rss_limit_mb=2048"]
    inputs = [learnt, seeds, *SOURCE.glob(f"corpus/{target}")]
    with log.open("w") as out:
        done = subprocess.run(
            [program, *limits, "-print_final_stats=1", f"-artifact_prefix={reports / target}-", *inputs],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"AICORE_FUZZ_PROTOCOL": target.split("-")[0]},
            check=False,
        )
    text = log.read_text(errors="replace")
    count = re.search(r"number_of_executed_units: (\d+)", text)
    result = "0 reports" if done.returncode == 0 else f"REPORT: {log}"
    print(f"{target:12} {count[1] if count else '?':>12} executions  {result}", flush=True)
    return done.returncode == 0


def main(place: str, *wanted: str) -> int:
    folder = Path(place).resolve()
    runs = []
    for kind, (project, programs, common) in PROJECTS.items():
        seeds = folder / "seeds" / kind
        subprocess.run([sys.executable, SOURCE / "seeds.py", kind, seeds], check=True)
        targets = [target for target in sorted(seeds.iterdir()) if not wanted or target.name in wanted]
        if targets:
            build(folder / kind, project)
        for target in targets:
            own, shared = (folder / kind / programs / f"fuzz_{name}" for name in (target.name, common))
            runs.append((folder, own if own.exists() else shared, target.name, target))
    with ThreadPoolExecutor(PROCESSORS) as pool:
        quiet = list(pool.map(lambda run: fuzz(*run), runs))
    return 0 if quiet and all(quiet) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

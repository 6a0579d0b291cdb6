# SPDX-License-Identifier: Apache-2.0
"""Moves each bound of the core by one, and breaks other lines that only a test at their limit can guard, one at a time;
says which of these mutants no native test notices.

python native/tests/mutants.py FOLDER [WORD...]

FOLDER keeps a copy of native/ and its build. With words: only mutants whose file or line holds one of them.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NATIVE = Path(__file__).resolve().parents[1]

# Constants that are bounds: the test program of the library that each belongs to, its file, its names.
BOUNDS = [
    ("decode", "src/decode/layers.h", "kMaxTags kMaxLabels kMaxTunnels kMaxExtensions"),
    ("decode", "src/decode/udp_tunnel.cpp", "kMaxGtpExtensions kMaxTrailers kMaxTrailer"),
    ("decode", "src/decode/pseudo.cpp", "kMaxAttributes"),
    ("decode", "src/decode/fragments.h", "kTimeout"),
    ("event", "include/aicore/batch.h", "kMaxKeptText"),
    ("event", "src/event/binary_read.cpp", "kMaxNames"),
    ("flow", "src/flow/packet_clock.h", "kFar kHalf"),
    ("flow", "src/flow/tcp.cpp", "kStraysAgree"),
    ("flow", "src/flow/handshakes.cpp", "kMostHeld"),
    ("flow", "src/flow/tracker_events.cpp", "kMaxWait"),
    ("flow", "src/flow/batch_writer.cpp", "kMaxBatchText"),
    ("flow", "src/flow/registry.cpp", "kMaxNamesLater"),
    ("flow", "src/flow/tops.h", "kMax"),
    ("flow", "src/flow/engine.cpp", "kMaxFlows kMaxTime"),
    ("flow", "src/flow/cold.h", "kMaxString kMaxRecordText kMaxAttributes kMaxNames kMaxLaterSegments"),
    ("flow", "src/flow/recognition.cpp", "kMaxTcpPayloads kMaxUdpPayloads kMaxUdpMore"),
    ("protocols", "src/protocols/http/lines.cpp", "kMinMethod kMaxMethod"),
    ("protocols", "src/protocols/http/reader.cpp", "kMaxValue"),
    ("protocols", "src/protocols/dns/name.cpp", "kMaxName kMaxJumps"),
    ("protocols", "src/protocols/dns/dns.cpp", "kMaxAddresses kNamesAMessage kMaxWait"),
    ("protocols", "src/protocols/tls/tls.cpp", "kMaxCiphertext kMaxText kMaxIdle"),
    ("protocols", "src/protocols/tls/records.cpp", "kMaxRecord"),
    ("protocols", "src/protocols/tls/records.h", "kMaxWait"),
    ("source", "src/source/capture_reader.h", "kMaxCaptured"),
    ("source", "src/source/pcapng_reader.cpp", "kMaxInterfaces kMaxBlock"),
]

# Test program, file, what stands there, what then does.
LINES = [
    ("flow", "src/flow/flow_table.cpp", "--bucket.passed;", "++bucket.passed;"),
    ("flow", "src/flow/flow_table.cpp", "--bucket.passed;", ";"),
    ("flow", "src/flow/flow_table.cpp", "++bucket.passed;", ";"),
    ("flow", "src/flow/flow_table.cpp", "touched_slots_ < capacity_", "touched_slots_ <= capacity_"),
    ("flow", "src/flow/packet_clock.h", "distance(now_, time) <= kFar", "distance(now_, time) < kFar"),
    ("flow", "src/flow/tcp.cpp", "ahead > most", "ahead >= most"),
    ("flow", "src/flow/tracker.cpp", "return clock_ - seen(flow) >= limit", "return clock_ - seen(flow) > limit"),
    ("flow", "src/flow/recognition.cpp", "length >= limits_.stream_bytes;", "length > limits_.stream_bytes;"),
    ("flow", "src/flow/dissection.cpp", "length - consumed >= limits_", "length - consumed > limits_"),
    ("flow", "src/flow/streams.cpp", "held_ > limits_.streams_bytes", "held_ >= limits_.streams_bytes"),
]


def copy_changed(source: str, target: str) -> None:
    """The copy is new: with its source's time it could be older than what was built of the file before."""
    if not os.path.exists(target) or not filecmp.cmp(source, target, shallow=False):
        shutil.copyfile(source, target)


def mutants() -> list[tuple[str, Path, str, str]]:
    """All of them: an entry that the code has left behind is an error before the first one runs."""
    found = list(listed())
    for _, file, old, _ in found:
        count = (NATIVE / file).read_text().count(old)
        if count != 1:
            raise SystemExit(f"{file}: {count} times {old!r}")
    return found


def listed() -> Iterator[tuple[str, Path, str, str]]:
    for program, file, names in BOUNDS:
        text = (NATIVE / file).read_text()
        for name in names.split():
            found = re.search(rf"\b{name} = ([^;,]+)[;,]", text)
            if not found:
                raise SystemExit(f"{file}: no {name}")
            for change in (" + 1", " - 1"):
                yield program, Path(file), found[0], f"{name} = ({found[1]}){change}{found[0][-1]}"
    for program, file, old, new in LINES:
        yield program, Path(file), old, new


def build(folder: Path, program: str) -> bool:
    command = ["cmake", "--build", str(folder), "--parallel", "--target", f"test_{program}"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def survives(folder: Path, program: str) -> bool:
    try:
        done = subprocess.run(
            [folder / f"test_{program}", "--gtest_brief=1", "--gtest_fail_fast"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=600,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main(place: str, *words: str) -> int:
    copy, folder = Path(place).resolve() / "native", Path(place).resolve() / "build"
    shutil.copytree(NATIVE, copy, dirs_exist_ok=True, copy_function=copy_changed)
    options = ["-DAICORE_LTO=OFF", "-DAICORE_DEVELOPER=OFF", "-DAICORE_TESTS=ON", "-DCMAKE_BUILD_TYPE=Release"]
    subprocess.run(["cmake", "-S", copy, "-B", folder, *options], check=True, stdout=subprocess.DEVNULL)
    survivors = 0
    for program, file, old, new in mutants():
        if words and not any(word in f"{file} {old}" for word in words):
            continue
        text = (NATIVE / file).read_text()
        (copy / file).write_text(text.replace(old, new))
        verdict = "does not compile" if not build(folder, program) else "noticed"
        if verdict == "noticed" and survives(folder, program):
            verdict = "SURVIVES"
            survivors += 1
        print(f"{verdict:16} {file}: {old} -> {new}", flush=True)
        (copy / file).write_text(text)
        os.utime(copy / file)  # later than the mutant's object
    return 1 if survivors else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="where the copy is built, and kept for the next time")
    parser.add_argument("word", nargs="*", help="only mutants of which file or text holds one of these")
    given = parser.parse_args()
    sys.exit(main(given.folder, *given.word))

# SPDX-License-Identifier: Apache-2.0
"""The dissectors alone, in C++ by clang under AddressSanitizer and UndefinedBehaviorSanitizer, with the conversations
of `messages` as their input."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from messages import TALKS
from talk import write_seeds

SOURCE = Path(__file__).parents[1]
FUZZ = SOURCE.parents[1] / "native" / "fuzz"


def run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]


@pytest.mark.timeout(1200)  # the first time, two cores compile for minutes
def test_dissectors(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not all(map(shutil.which, ("cmake", "clang++"))) or not Path("/usr/include/gtest/gtest.h").exists():
        pytest.skip("needs cmake, clang and GoogleTest (Debian: cmake clang libclang-rt-14-dev libgtest-dev)")
    build = request.config.cache.mkdir("aicore-protocols")
    optimised = "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -gline-tables-only"  # with -O2 -g the build takes twice as long
    compiler = ("-DCMAKE_CXX_COMPILER=clang++", "-DCMAKE_BUILD_TYPE=Debug", optimised)
    run("cmake", "-S", SOURCE, "-B", build, *compiler, "-DAICORE_SANITIZE=ON")
    run("cmake", "--build", build, "--parallel", "2")
    write_seeds(tmp_path / "seeds", TALKS.items())
    run(build / "test_protocols", "--gtest_brief=1", AICORE_SEEDS=str(tmp_path / "seeds"))
    # The fuzz program for a moment, from the inputs of `tox run -e fuzz`.
    run(sys.executable, FUZZ / "seeds.py", "protocols", tmp_path / "fuzz")
    for protocol in sorted((tmp_path / "fuzz").iterdir()):
        run(build / "fuzz_protocols", "-seed=1", "-runs=1000", protocol, AICORE_FUZZ_PROTOCOL=protocol.name)

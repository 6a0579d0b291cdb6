# SPDX-License-Identifier: Apache-2.0
"""The dissector alone, in C++ by clang under AddressSanitizer and UndefinedBehaviorSanitizer, with the packets of
`conversations` as its input."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conversations import write_seeds

SOURCE = Path(__file__).parents[1]
FUZZ = SOURCE.parents[1] / "native" / "fuzz"


def run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]


@pytest.mark.timeout(600)  # the first time it compiles
def test_dissector(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not all(map(shutil.which, ("cmake", "clang++"))) or not Path("/usr/include/gtest/gtest.h").exists():
        pytest.skip("needs cmake, clang and GoogleTest (Debian: cmake clang libclang-rt-14-dev libgtest-dev)")
    build = request.config.cache.mkdir("aicore-quic")
    optimised = "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -gline-tables-only"  # with -O2 -g the build takes twice as long
    compiler = ("-DCMAKE_CXX_COMPILER=clang++", "-DCMAKE_BUILD_TYPE=Debug", optimised)
    run("cmake", "-S", SOURCE, "-B", build, *compiler, "-DAICORE_SANITIZE=ON")
    run("cmake", "--build", build, "--parallel", "2")
    write_seeds(tmp_path / "seeds")
    run(build / "test_quic", "--gtest_brief=1", AICORE_SEEDS=str(tmp_path / "seeds"))
    # The fuzz programs for a moment, from the inputs of `tox run -e fuzz`.
    run(sys.executable, FUZZ / "seeds.py", "quic", tmp_path / "fuzz")
    for target in ("quic", "quic-unsealed"):
        run(build / f"fuzz_{target}", "-seed=1", "-runs=5000", tmp_path / "fuzz" / target, AICORE_FUZZ_PROTOCOL="quic")

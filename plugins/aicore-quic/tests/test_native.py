# SPDX-License-Identifier: Apache-2.0
"""The dissector alone, in C++ under AddressSanitizer and UndefinedBehaviorSanitizer, with the packets of
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
    if not shutil.which("cmake") or not Path("/usr/include/gtest/gtest.h").exists():
        pytest.skip("needs cmake and GoogleTest (Debian: libgtest-dev)")
    build = request.config.cache.mkdir("aicore-quic")
    run("cmake", "-S", SOURCE, "-B", build, "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DAICORE_SANITIZE=ON")
    run("cmake", "--build", build, "--parallel", "2")
    write_seeds(tmp_path / "seeds")
    run(build / "test_quic", "--gtest_brief=1", AICORE_SEEDS=str(tmp_path / "seeds"))
    # The fuzz programs, with the inputs that they start from: those of `tox run -e fuzz`.
    run(sys.executable, FUZZ / "seeds.py", "quic", tmp_path / "fuzz")
    for target in ("quic", "quic-unsealed"):
        run(build / f"fuzz_{target}", tmp_path / "fuzz" / target, AICORE_FUZZ_PROTOCOL="quic")

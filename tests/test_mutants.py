# SPDX-License-Identifier: Apache-2.0
"""native/tests/mutants.py takes long and is run by hand: that its list fits the code is checked here."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_each_bound_of_the_list_is_in_the_file_that_it_names() -> None:
    mutants = runpy.run_path(str(ROOT / "native/tests/mutants.py"))["mutants"]()
    assert len(mutants) > 80
    assert all(old != new for _, _, old, new in mutants)

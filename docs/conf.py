# SPDX-License-Identifier: Apache-2.0
"""Sphinx: `tox run -e docs` builds the pages into build/docs, warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path

from aicore import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402

generate.write(HERE / "build")

project = "aicore"
author = "the aicore authors"
version = release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {"description": "Packets in, flow records out", "fixed_sidebar": True}
html_show_sourcelink = False
# Links to files of the repository that are no pages.
suppress_warnings = ["myst.xref_missing"]

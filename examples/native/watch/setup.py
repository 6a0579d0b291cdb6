# SPDX-License-Identifier: Apache-2.0
"""Built without isolation, so that the installed aicore gives its header: pip install --no-build-isolation ."""

from __future__ import annotations

from setuptools import Extension, setup

import aicore

setup(
    packages=["aicore_watch"],
    ext_modules=[Extension("aicore_watch._native", ["watch.c"], include_dirs=[aicore.get_include()])],
)

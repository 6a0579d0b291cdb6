# SPDX-License-Identifier: Apache-2.0
"""Built without isolation, so that the installed aicore gives its header: pip install --no-build-isolation ."""

from __future__ import annotations

from setuptools import Extension, setup

import aicore

setup(
    ext_modules=[
        Extension("aicore_entropy", ["aicore_entropy.c"], include_dirs=[aicore.get_include()], libraries=["m"])
    ]
)

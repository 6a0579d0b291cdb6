# SPDX-License-Identifier: Apache-2.0
"""`python -m aicore`."""

from __future__ import annotations

from aicore.cli import main

main()

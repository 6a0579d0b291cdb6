# SPDX-License-Identifier: Apache-2.0
"""What plugins are written against, and how they are found: hook specifications, base classes, options, URLs."""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""One run: its settings and source, the plugins that it opens, the loop that pulls batches, and what plugins cost."""

from __future__ import annotations

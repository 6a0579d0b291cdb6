# SPDX-License-Identifier: Apache-2.0
"""Makes `messages` importable; `captures`, the project's generator, comes from the project's own settings."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

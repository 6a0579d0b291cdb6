# SPDX-License-Identifier: Apache-2.0
"""Makes `packets` and `conversations` importable; `captures` comes from the project's own settings."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

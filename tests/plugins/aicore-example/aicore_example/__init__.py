# SPDX-License-Identifier: Apache-2.0
"""An adaptor that counts flows by a field, and a hook that labels flows by the length of their host's name."""

from __future__ import annotations

# SPDX-License-Identifier: Apache-2.0
"""The record of a flow: its schema, and batches of events as columns."""

from __future__ import annotations

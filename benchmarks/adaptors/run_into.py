#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One run: run_into.py URL|none CAPTURE. Prints JSON: packets, cpu (seconds of this process; a server has its own)."""

from __future__ import annotations

import json
import sys

from subject import cpu, run_aicore

import aicore
import aicore.run.loop

if __name__ == "__main__":
    url, capture = sys.argv[1:]
    adaptor = None if url == "none" else aicore.open_adaptor(url)
    if adaptor is not None:
        adaptor.connect(adaptor.url)  # drivers are imported here, which is not a matter of packets
        adaptor.close()
    start = cpu()
    packets, _ = run_aicore(capture, adaptor)
    print(json.dumps({"packets": packets, "cpu": cpu() - start}))

# SPDX-License-Identifier: Apache-2.0
"""aicore's flows with domain names in the notation of tshark, for comparison with its output.

The bytes are the same, their spelling is not: for a byte that is no UTF-8 aicore writes `\\xNN` and tshark U+FFFD; for
a control byte aicore writes `\\DDD` in decimal, as RFC 1035 section 5.1 does, and tshark in octal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace

import aicore

FIELDS = ("ipsrc", "portsrc", "proto", "ipdst", "portdst", "packets", "bytes", "layer7", "httphost", "sslhost")


def name(text: str) -> str:
    text = re.sub(r"\\x[0-9a-f]{2}", "\ufffd", text)
    return re.sub(r"\\([0-9]{3})", lambda match: f"\\{int(match[1]):03o}", text)


def flows(path: str) -> Iterator[SimpleNamespace]:
    for flow in aicore.flows(path):
        row = SimpleNamespace(**{field: getattr(flow, field) for field in FIELDS})
        row.dnsdomain = flow.dnsdomain and name(flow.dnsdomain)
        row.dnsdomains = [name(text) for text in flow.dnsdomains or ()]
        yield row

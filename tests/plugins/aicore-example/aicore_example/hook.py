# SPDX-License-Identifier: Apache-2.0
"""Adds `label`: the option's text and the length of the host's name."""

from __future__ import annotations

import aicore


class Label:
    options = {"text": aicore.Option(str, default="host", help="what the label starts with")}
    fields = (aicore.Field("label", "str", "text and length of the host's name"),)

    @aicore.hookimpl
    def flow_enrich(self, flows: aicore.FlowBatch) -> None:
        hosts = (flow.httphost or flow.sslhost or flow.dnsdomain for flow in flows)
        flows.add("label", [f"{self.config['text']}-{len(host)}" if host else None for host in hosts])

# SPDX-License-Identifier: Apache-2.0
"""aicore: packets in, flow records out, live, into the store of your choice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aicore.adaptor import DatabaseAdaptor
    from aicore.batch import Flow, FlowBatch
    from aicore.context import AdaptorSummary, RunContext, RunSummary
    from aicore.dispatcher import PacketDispatcher
    from aicore.errors import AicoreError, Fatal, PluginError, RowError, SourceError, UsageError
    from aicore.flowiter import Flows, flows
    from aicore.flowkey import FlowKey
    from aicore.hookspecs import hookimpl
    from aicore.lookup import Lookup
    from aicore.options import Option
    from aicore.plugins import API_VERSION, list_plugins, open_adaptor
    from aicore.protocol import Answer, InspectedFlow, Protocol, ProtocolRegistry
    from aicore.schema import Field
    from aicore.stack import StackLan, StackLanIPv6, StackMobile, StackVirtual

# fmt: off
__all__ = [
    "API_VERSION", "AdaptorSummary", "AicoreError", "Answer", "DatabaseAdaptor", "Fatal", "Field", "Flow", "FlowBatch",
    "FlowKey", "Flows", "InspectedFlow", "Lookup", "Option", "PacketDispatcher", "PluginError", "Protocol",
    "ProtocolRegistry", "RowError", "RunContext", "RunSummary", "SourceError", "StackLan", "StackLanIPv6",
    "StackMobile", "StackVirtual", "UsageError", "__version__", "flows", "get_include", "hookimpl", "list_plugins",
    "open_adaptor",
]
# Imported when first asked for: `import aicore` must cost a command line nothing that it does not need.
_HOMES = {
    "API_VERSION": "plugins", "AdaptorSummary": "context", "AicoreError": "errors", "Answer": "protocol",
    "DatabaseAdaptor": "adaptor", "Fatal": "errors", "Field": "schema", "Flow": "batch", "FlowBatch": "batch",
    "FlowKey": "flowkey", "Flows": "flowiter", "InspectedFlow": "protocol", "Lookup": "lookup", "Option": "options",
    "PacketDispatcher": "dispatcher", "PluginError": "errors", "Protocol": "protocol", "ProtocolRegistry": "protocol",
    "RowError": "errors", "RunContext": "context", "RunSummary": "context", "SourceError": "errors",
    "StackLan": "stack", "StackLanIPv6": "stack", "StackMobile": "stack", "StackVirtual": "stack",
    "UsageError": "errors", "flows": "flowiter", "hookimpl": "hookspecs", "list_plugins": "plugins",
    "open_adaptor": "plugins",
}
# fmt: on


def get_include() -> str:
    """The folder that holds `aicore/protocol.h`, for the compiler of a protocol plugin."""
    from importlib.resources import files

    return str(files("aicore") / "include")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("aicore")
    if name in _HOMES:
        return getattr(import_module(f"aicore.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'aicore' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Names that were not asked for yet are found too: by completion, and by Python's `Did you mean`."""
    return sorted({*globals(), *__all__})

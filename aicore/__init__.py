# SPDX-License-Identifier: Apache-2.0
"""aicore: packets in, flow records out, live, into the store of your choice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aicore.api.dispatcher import PacketDispatcher
    from aicore.api.flows import Flows, flows
    from aicore.cli import terminal
    from aicore.errors import AicoreError, Fatal, PluginError, RowError, SourceError, UsageError
    from aicore.plugins.adaptor import DatabaseAdaptor
    from aicore.plugins.discovery import API_VERSION, list_plugins, open_adaptor
    from aicore.plugins.file_store import FileStore
    from aicore.plugins.files import check_file, path_of
    from aicore.plugins.hookspecs import hookimpl
    from aicore.plugins.meter import Meter
    from aicore.plugins.options import Option
    from aicore.plugins.protocol import Answer, InspectedFlow, Protocol, ProtocolRegistry
    from aicore.plugins.url import AdaptorURL
    from aicore.record import schema
    from aicore.record.batch import Flow, FlowBatch, Place
    from aicore.record.flowkey import FlowKey
    from aicore.record.lookup import Lookup
    from aicore.record.schema import Field
    from aicore.run.context import AdaptorSummary, RunContext, RunSummary
    from aicore.run.stack import StackLan, StackLanIPv6, StackMobile, StackVirtual
    from aicore.run.standalone import record_fields

# fmt: off
__all__ = [
    "API_VERSION", "AdaptorSummary", "AdaptorURL", "AicoreError", "Answer", "DatabaseAdaptor", "Fatal", "Field",
    "FileStore", "Flow", "FlowBatch", "FlowKey", "Flows", "InspectedFlow", "Lookup", "Meter", "Option",
    "PacketDispatcher", "Place", "PluginError", "Protocol", "ProtocolRegistry", "RowError", "RunContext", "RunSummary",
    "SourceError", "StackLan", "StackLanIPv6", "StackMobile", "StackVirtual", "UsageError", "__version__", "check_file",
    "flows", "get_include", "hookimpl", "list_plugins", "open_adaptor", "path_of", "record_fields", "schema",
    "terminal",
]
# Imported when first asked for: `import aicore` must cost a command line nothing that it does not need.
_HOMES = {
    "API_VERSION": "plugins.discovery", "AdaptorSummary": "run.context", "AdaptorURL": "plugins.url",
    "AicoreError": "errors", "Answer": "plugins.protocol", "DatabaseAdaptor": "plugins.adaptor", "Fatal": "errors",
    "Field": "record.schema", "FileStore": "plugins.file_store", "Flow": "record.batch", "FlowBatch": "record.batch",
    "FlowKey": "record.flowkey", "Flows": "api.flows", "InspectedFlow": "plugins.protocol", "Lookup": "record.lookup",
    "Meter": "plugins.meter", "Option": "plugins.options", "PacketDispatcher": "api.dispatcher",
    "Place": "record.batch", "PluginError": "errors", "Protocol": "plugins.protocol",
    "ProtocolRegistry": "plugins.protocol", "RowError": "errors", "RunContext": "run.context",
    "RunSummary": "run.context", "SourceError": "errors", "StackLan": "run.stack", "StackLanIPv6": "run.stack",
    "StackMobile": "run.stack", "StackVirtual": "run.stack", "UsageError": "errors", "check_file": "plugins.files",
    "flows": "api.flows", "hookimpl": "plugins.hookspecs", "list_plugins": "plugins.discovery",
    "open_adaptor": "plugins.discovery", "path_of": "plugins.files", "record_fields": "run.standalone",
}
# Public as a whole.
_MODULES = {"schema": "record.schema", "terminal": "cli.terminal"}
# fmt: on


def get_include() -> str:
    """The folder of the headers for native plugins (`aicore/protocol.h`, for C++ `aicore/dissector.h`;
    `aicore/meter.h`)."""
    from importlib.resources import files

    return str(files("aicore") / "include")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("aicore")
    if name in _MODULES:
        return import_module(f"aicore.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(import_module(f"aicore.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'aicore' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Names that were not asked for yet are found too: by completion, and by Python's `Did you mean`."""
    return sorted({*globals(), *__all__})

# SPDX-License-Identifier: Apache-2.0
"""`aicore version`."""

from __future__ import annotations

import click

from aicore.cli.terminal import dump, say


@click.command("version", short_help="Versions of aicore and its interfaces.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(as_json: bool) -> None:
    """Versions of aicore, its plugin interfaces and Python."""
    import platform
    from importlib.metadata import version

    from aicore import _core
    from aicore.plugins.discovery import API_VERSION

    versions = {
        "aicore": version("aicore"),
        "plugin_api": API_VERSION,
        "protocol_abi": _core.PROTOCOL_ABI,
        "meter_abi": _core.METER_ABI,
        "python": platform.python_version(),
    }
    if as_json:
        dump(versions)
    else:
        for name, value in versions.items():
            say(f"{name.replace('_', ' '):13} {value}")

# SPDX-License-Identifier: Apache-2.0
"""`aicore interfaces`."""

from __future__ import annotations

import click

from aicore.cli.terminal import dump, say, table


@click.command("interfaces")
@click.option("--json", "as_json", is_flag=True, help="A list of JSON objects.")
def command(as_json: bool) -> None:
    """List the devices that `run -i` can capture on."""
    from aicore import _core

    devices = _core.interfaces()
    if as_json:
        dump(devices)
        return
    rows = [
        (device["name"], _state(device), ", ".join(device["addresses"]), device["description"] or "")
        for device in devices
    ]
    for line in table(("NAME", "STATE", "ADDRESSES", "DESCRIPTION"), rows):
        say(line)


def _state(device: dict[str, object]) -> str:
    state = "up" if device["running"] else "no link" if device["up"] else "down"
    return f"{state}, loopback" if device["loopback"] else state

# SPDX-License-Identifier: Apache-2.0
"""One module a protocol, each with `TALKS`: conversations written from the protocol's specification, by name."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from talk import Talk

TALKS: dict[str, Talk] = {
    f"{module.name}-{name}": talk
    for module in iter_modules(__path__)
    for name, talk in import_module(f"messages.{module.name}").TALKS.items()
}

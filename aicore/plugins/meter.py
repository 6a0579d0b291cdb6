# SPDX-License-Identifier: Apache-2.0
"""Meters: native code that sees each packet and the in-order streams of a flow, and adds fields to its record.

What a meter does is native, by `aicore/meter.h`: nothing of Python runs at a packet. Python finds it, checks its
options and, where a class stands in front, reads its files.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from aicore.errors import AicoreError, Fatal, PluginError, UsageError
from aicore.plugins.options import config_of
from aicore.plugins.secrets import one_line
from aicore.record.schema import Field, as_native, declared_fields

if TYPE_CHECKING:
    from aicore.plugins.options import Option


class Meter:
    """Base of classes that stand in front of a native meter. A meter that takes no options needs none: its entry point
    is the capsule itself."""

    options: ClassVar[Mapping[str, Option]] = {}
    aicore_api: ClassVar[int] = 1
    #: What it adds to the record; may be a property that depends on `config`. The native code sets them by their index
    #: here. Empty: those that the native structure declares.
    fields: Sequence[Field] = ()

    @functools.cached_property
    def config(self) -> Mapping[str, Any]:
        """The checked values of `options`, or their defaults in an object that a program made itself."""
        return config_of(type(self).__name__, self, {})

    def native(self) -> tuple[object, bytes]:
        """The capsule of the native structure, and what its `create` gets as `config`.

        Reads and checks files, too: UsageError if it cannot work. Called on the thread of run(), once before the source
        is opened and again for each reload. Capsule and `fields` must then be the same as before; the new instance
        takes the place of the old one between two packets, and flows keep their state. What a reload raises is logged
        and counted, and the instance in use stays.
        """
        raise NotImplementedError


class NativePart(NamedTuple):
    """What a run needs of a meter."""

    capsule: object
    config: bytes = b""
    fields: list[dict[str, Any]] | None = None  # as _core.Registry takes them; None: the structure's own


def native_part(label: str, meter: object) -> NativePart:
    """Of a capsule, or of an `aicore.Meter`, whose native() is called. AicoreError as native() raises it, PluginError
    for anything else that is wrong with it."""
    if not isinstance(meter, Meter):
        return NativePart(meter)
    try:
        given: Any = meter.native()
        fields: object = meter.fields
    except Fatal as error:
        raise UsageError(str(error)) from error
    except AicoreError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{label}: native() raised {one_line(error)}") from error
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], bytes)):
        raise PluginError(f"{label}: native() must return a capsule and bytes, not {given!r:.100}")
    return NativePart(*given, [as_native(field) for field in declared_fields(label, fields)] or None)


def check_meter(label: str, meter: type) -> None:
    """PluginError unless the class is one of a meter."""
    if not issubclass(meter, Meter):
        raise PluginError(f"{label}: the class is no aicore.Meter")
    if meter.native is Meter.native:
        raise PluginError(f"{label}: it has no native()")

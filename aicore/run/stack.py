# SPDX-License-Identifier: Apache-2.0
"""StackLan: what is tracked, within which bounds, and where its flows go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from aicore.errors import UsageError
from aicore.plugins.adaptor import takes_nothing
from aicore.plugins.options import Option, nearest
from aicore.plugins.url import AdaptorURL
from aicore.run.isolation import LIMIT

T = TypeVar("T")

TCP, UDP = 6, 17
#: Every how many packets of a flow an update is emitted, unless something else is said.
EVERY = 32


class Setting(Generic[T]):
    """A checked attribute of a stack that becomes an option of the engine, unless it is not `native`. None leaves the
    engine's own default."""

    def __init__(self, option: Option, *, scale: int | None = None, native: bool = True) -> None:
        self.option = option
        self.scale = scale
        self.native = native

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, stack: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, stack: StackLan, owner: type) -> T: ...
    def __get__(self, stack: StackLan | None, owner: type) -> Setting[T] | T:
        if stack is None:
            return self
        return vars(stack).get(self.name, self.option.default)  # type: ignore[no-any-return]

    def __set__(self, stack: StackLan, value: T) -> None:
        vars(stack)[self.name] = self.option.check(self.name, value)

    def engine_value(self, stack: StackLan) -> Any:
        value = self.__get__(stack, StackLan)
        return value if self.scale is None or value is None else round(value * self.scale)  # type: ignore[operator]


def _count(default: int | None, help: str, *, minimum: int = 0, maximum: int = 1 << 31) -> Setting[int]:
    return Setting(Option(int, default=default, help=help, minimum=minimum, maximum=maximum))


def _seconds(default: float | None, help: str, *, minimum: float = 0.001) -> Setting[float]:
    option = Option(float, default=default, help=f"{help}, in seconds", minimum=minimum, maximum=10 * 365 * 86400)
    return Setting(option, scale=1_000_000_000)


@dataclass
class Use:
    """A plugin that the run shall open: its name or an object, with options."""

    plugin: Any
    options: dict[str, Any]


@dataclass
class Attached:
    """An adaptor (an object or its URL), and for each transport that it gets at every how many packets of a flow it
    wants an update."""

    adaptor: Any
    every: dict[int, int]


_PLAIN = ("every_tcp", "every_udp", "uses")


class StackLan:
    """Settings of a run. Changing them has no effect on a run that has started."""

    tcp_flows = _count(163840, "TCP flows tracked at once", maximum=1 << 30)
    udp_flows = _count(163840, "UDP flows tracked at once", maximum=1 << 30)
    idle_tcp = _seconds(300.0, "a TCP flow without packets for so long ends")
    idle_udp = _seconds(180.0, "a UDP flow without packets for so long ends")
    half_open = _seconds(70.0, "a TCP flow that was never answered ends after so long without packets")
    linger = _seconds(5.0, "a closed TCP flow stays for so long for late packets", minimum=0)
    active = _seconds(0.0, "a flow older than this ends and a new one begins; 0 = off", minimum=0)
    vlan_in_key: Setting[bool] = Setting(
        Option(bool, default=True, help="the VLAN is part of a flow's identity; off for taps that tag one direction")
    )
    tunnel_in_key: Setting[bool] = Setting(
        Option(
            bool,
            default=True,
            help="the id of a tunnel (VXLAN or Geneve network, GRE key, PBB service) is part of a flow's identity;"
            " off where the directions have different ids",
        )
    )
    sensor: Setting[str | None] = Setting(Option(str, help="name of the vantage point"))
    batch_rows = _count(4096, "events a batch", minimum=2, maximum=1 << 20)
    flush = _seconds(0.1, "a batch that is not full is handed over after so long")
    queue_batches = _count(None, "batches between the engine and Python", minimum=2, maximum=1 << 16)
    stream_bytes = _count(None, "bytes of payload kept for a direction of a flow until its protocol is known")
    streams_bytes = _count(None, "bytes of payload kept in all", maximum=1 << 40)
    inspected_flows = _count(None, "flows that Python protocols look at at once", minimum=1, maximum=1 << 24)
    max_fragments = _count(None, "fragmented datagrams remembered at once")
    plugin_limit: Setting[float] = Setting(
        Option(
            float,
            default=LIMIT,
            minimum=0,
            maximum=3600,
            help="CPU time, in seconds, of a Python protocol for a payload or a hook for a row, as a mean of 100 calls,"
            " above which the plugin is set aside; 0 = no limit",
        ),
        native=False,
    )

    def __init__(self, **settings: Any) -> None:
        self.every_tcp = EVERY
        self.every_udp = EVERY
        self.uses: list[Use] = []
        self._tcp: tuple[Any, int] = (None, EVERY)
        self._udp: tuple[Any, int] = (None, EVERY)
        self._more: list[tuple[Any, set[int], int | None]] = []
        self._counters: Callable[[], dict[str, int]] | None = None  # of the present or the last run
        self.configure(settings)

    if not TYPE_CHECKING:  # a type checker would take every name from then on

        def __setattr__(self, name: str, value: Any) -> None:
            # A slip in a name would have no effect and no word. Subclasses have attributes of their own.
            if type(self) is StackLan and not name.startswith("_"):
                kinds = Setting, property
                known = [*_PLAIN, *(one for one, value in vars(StackLan).items() if isinstance(value, kinds))]
                if name not in known:
                    raise _unknown(name, known)
            super().__setattr__(name, value)

    @classmethod
    def settings(cls) -> dict[str, Option]:
        """What configure() takes, by name."""
        return {name: setting.option for name, setting in vars(StackLan).items() if isinstance(setting, Setting)}

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Sets several settings, as from a file. UsageError for an unknown or wrong one."""
        known = self.settings()
        for name, value in settings.items():
            if name not in known:
                raise _unknown(name, known)
            setattr(self, name, value)

    @property
    def flows_timeout(self) -> float:
        """Idle timeout of UDP flows in seconds; setting it sets that of both transports."""
        return self.idle_udp

    @flows_timeout.setter
    def flows_timeout(self, seconds: float) -> None:
        self.idle_tcp = seconds
        self.idle_udp = seconds

    def set_tcp_database_adaptor(self, adaptor: Any, n: int = EVERY) -> None:
        """TCP flows go to this adaptor: an object with insert, update and remove (or write), or a URL. `n`: an update
        at every n-th packet of a flow, 0 for discoveries only. None detaches. UsageError for an n below 0 or a URL that
        cannot work, PluginError for a plugin that cannot be used."""
        self._tcp = (_checked_adaptor(adaptor), _checked_every(n))
        self.every_tcp = n

    def set_udp_database_adaptor(self, adaptor: Any, n: int = EVERY) -> None:
        """The same for UDP flows. An object that is set for both transports has one delivery."""
        self._udp = (_checked_adaptor(adaptor), _checked_every(n))
        self.every_udp = n

    def add_database_adaptor(
        self, adaptor: Any, *, tcp: bool = True, udp: bool = True, every: int | None = None
    ) -> None:
        """One more adaptor. It gets an update at every `every`-th packet of a flow, None: at those that every_tcp and
        every_udp say when the run begins. `every=` in its URL comes first. Errors as above."""
        if adaptor is None or not (tcp or udp):
            raise UsageError("an adaptor and at least one transport are needed")
        transports = {number for number, wanted in ((TCP, tcp), (UDP, udp)) if wanted}
        self._more.append((_checked_adaptor(adaptor), transports, None if every is None else _checked_every(every)))

    def use(self, plugin: Any, **options: Any) -> None:
        """Opens a hook, meter or protocol plugin in the run: `st.use("geoip", db="...")`, or an object of one's own.
        Meters are called in the order in which they are named."""
        self.uses.append(Use(plugin, options))

    def attached(self) -> list[Attached]:
        """The adaptors, each object once, in the order in which they were set."""
        merged: list[Attached] = []
        own = {TCP: _checked_every(self.every_tcp), UDP: _checked_every(self.every_udp)}
        given = [(self._tcp[0], {TCP: self._tcp[1]}), (self._udp[0], {UDP: self._udp[1]})]
        given += [
            (adaptor, {number: own[number] if every is None else every for number in transports})
            for adaptor, transports, every in self._more
        ]
        for adaptor, every in given:
            if adaptor is None:
                continue
            same = next((other for other in merged if _same(other.adaptor, adaptor)), None)
            if same is None:
                merged.append(Attached(adaptor, every))
            else:
                same.every = {**every, **same.every}
        return merged

    def engine_options(self) -> dict[str, Any]:
        """The settings as the engine takes them, but for `every`, on which the stores have a say."""
        options: dict[str, Any] = {}
        for name, setting in vars(StackLan).items():
            if isinstance(setting, Setting) and setting.native:
                value = setting.engine_value(self)
                if value is not None:
                    options[name] = value
        return options

    @property
    def statistics(self) -> dict[str, int]:
        """Counters of the core, of the present or the last run; empty before the first."""
        return {} if self._counters is None else self._counters()


# AIEngine has a class for each network; here one stack decodes all of it.
StackLanIPv6 = StackMobile = StackVirtual = StackLan


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"a stack has no setting {name!r}; {nearest(name, known)}")


def _same(first: object, second: object) -> bool:
    return first is second or (isinstance(first, str) and first == second)


def _checked_every(n: object) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < 1 << 31:
        raise UsageError(f"n must be a whole number from 0 (discoveries only) on, not {n!r}")
    return n


def _checked_adaptor(adaptor: Any) -> Any:
    if isinstance(adaptor, type):
        raise UsageError(f"an adaptor is needed, not its class {adaptor.__name__}")
    if takes_nothing(adaptor):
        raise UsageError(f"{type(adaptor).__name__} defines neither write nor insert, update or remove")
    if isinstance(adaptor, str):
        if not isinstance(adaptor, AdaptorURL):
            from aicore.plugins.discovery import open_adaptor  # imports the core, which --help does without

            open_adaptor(adaptor)  # a run opens another one; this one says at once what is wrong
        return adaptor
    if adaptor is None or callable(getattr(adaptor, "write", None)):
        return adaptor
    missing = [name for name in ("insert", "update", "remove") if not callable(getattr(adaptor, name, None))]
    if missing:
        name = type(adaptor).__name__
        raise UsageError(f"an adaptor has insert, update and remove; {name} has no {', '.join(missing)}")
    return adaptor

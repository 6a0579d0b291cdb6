# SPDX-License-Identifier: Apache-2.0
"""Finding and loading plugins: entry points through stevedore, one `pluggy.PluginManager` for what is opened.

Nothing is imported before it is named, except protocols, which a run loads all. A plugin that cannot be used is a row
with its reason and a `PluginError`, never anything worse.
"""

from __future__ import annotations

import inspect
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Literal

import pluggy
from stevedore.driver import DriverManager

from aicore import _core
from aicore.errors import AicoreError, Fatal, PluginError, Status, UsageError
from aicore.plugins import hookspecs
from aicore.plugins.adaptor import DatabaseAdaptor, takes_nothing
from aicore.plugins.options import DELIVERY_OPTIONS, DeliveryOptions, check_options, declared_options, nearest
from aicore.plugins.secrets import one_line
from aicore.plugins.url import AdaptorURL

logger = logging.getLogger("aicore")

#: The plugin interface of this aicore. Raised when plugins must change; a plugin declares `aicore_api`.
API_VERSION = 1
#: The oldest one that still works.
MIN_API_VERSION = 1

PluginKind = Literal["adaptor", "protocol", "meter", "hook"]
GROUPS: dict[PluginKind, str] = {
    "adaptor": "aicore.adaptors",
    "protocol": "aicore.protocols",
    "meter": "aicore.meters",
    "hook": "aicore.hooks",
}

#: Which package to install for a scheme that nobody provides.
PACKAGES = {
    "cassandra": "aicore-cassandra",
    "duckdb": "aicore-duckdb",
    "elasticsearch": "aicore-elastic",
    "hdf5": "aicore-hdf5",
    "opensearch": "aicore-elastic",
    "postgres": "aicore-postgres",
    "redis": "aicore-redis",
    "rediss": "aicore-redis",
}

#: Of kinds whose plugins may be capsules: why one cannot be used, or None.
_ABI_ERRORS: Mapping[PluginKind, Callable[[object], str | None]] = {
    "protocol": _core.abi_error,
    "meter": _core.meter_abi_error,
}

_SLOW_IMPORT = 2.0  # seconds; named in the log, because it is the user's start that takes them


class _Driver(DriverManager[Any]):
    """stevedore's loader over entry points read afresh.

    Its own list comes from a cache on disk that goes stale for two minutes after a reinstall and loses the
    distribution, so list_entry_points() is overridden."""

    def __init__(self, found: list[EntryPoint], group: str, name: str) -> None:
        self._found = found
        super().__init__(group, name)

    def list_entry_points(self) -> list[EntryPoint]:
        return self._found


@dataclass(frozen=True)
class PluginRow:
    """A row of `aicore list-plugins`; the fields are the keys of `--json`."""

    name: str
    kind: PluginKind
    status: Status | Literal["ok"]
    version: str | None
    api: int | None
    distribution: str | None
    hooks: list[str] = field(default_factory=list)
    error: str | None = None


class Plugins:
    """The plugins of this environment as of now, and those of a run that are opened.

    `blocked` holds names as `list-plugins` prints them (`adaptor:redis`), or bare ones where one kind has them; those
    of AICORE_DISABLE_PLUGINS are added. `only` holds such names, or those of distributions, and those of
    AICORE_ONLY_PLUGINS are added: with one at least, what is neither among them nor aicore's own is blocked. UsageError
    for a name that does not exist. A run needs a Plugins of its own.
    """

    def __init__(self, blocked: Iterable[str] = (), *, only: Iterable[str] = (), strict: bool | None = None) -> None:
        self.strict = os.environ.get("AICORE_STRICT") == "1" if strict is None else strict
        #: What is opened, as `kind:name`.
        self.manager = pluggy.PluginManager("aicore")
        self.manager.add_hookspecs(hookspecs)
        installed = entry_points()
        self._found: dict[PluginKind, dict[str, list[EntryPoint]]] = {}
        for kind, group in GROUPS.items():
            names: dict[str, list[EntryPoint]] = {}
            for entry in sorted(installed.select(group=group), key=lambda entry: (entry.name, _distribution(entry))):
                names.setdefault(entry.name, []).append(entry)
            self._found[kind] = names
        for name in (*blocked, *_in_environment("AICORE_DISABLE_PLUGINS")):
            kind, bare = self.resolve(name)
            self.manager.set_blocked(f"{kind}:{bare}")
        if only := (*only, *_in_environment("AICORE_ONLY_PLUGINS")):
            self._allow(only)

    def _allow(self, only: Iterable[str]) -> None:
        """Blocks what `only` does not name, of other distributions than aicore."""
        every = [(kind, name, found) for kind, names in self._found.items() for name, found in names.items()]
        allowed: set[tuple[str, str]] = set()
        for name in only:
            of_package = {(kind, one) for kind, one, found in every if name in _packages(found)}
            allowed |= of_package or {self.resolve(name)}
        for kind, name, found in every:
            if (kind, name) not in allowed and _packages(found) != {"aicore"}:
                self.manager.set_blocked(f"{kind}:{name}")

    def names(self, kind: PluginKind) -> list[str]:
        """Names that installed packages give, blocked ones too."""
        return list(self._found[kind])

    def resolve(self, name: str, kinds: Sequence[PluginKind] = tuple(GROUPS)) -> tuple[PluginKind, str]:
        """Kind and bare name of `kind:name` or of a bare name that one of the kinds has. UsageError otherwise."""
        prefix, colon, bare = name.partition(":")
        having = [kind for kind in kinds if (prefix == kind and bare in self._found[kind]) or name in self._found[kind]]
        if len(having) == 1:
            kind = having[0]
            return kind, name if name in self._found[kind] else bare
        if having:
            raise UsageError(f"{name!r} is ambiguous: {' or '.join(f'{kind}:{name}' for kind in having)}")
        for kind in GROUPS:
            if kind not in kinds and (name in self._found[kind] or (prefix == kind and bare in self._found[kind])):
                wanted = ", a ".join(kinds[:-1]) + f" or a {kinds[-1]}"
                raise UsageError(
                    f"{name!r} is the name of {'an' if kind == 'adaptor' else 'a'} {kind}, not of a {wanted}"
                )
        known = [f"{kind}:{known}" if colon else known for kind in kinds for known in self._found[kind]]
        raise UsageError(f"no plugin is named {name!r}; {nearest(name, known)}")

    def is_blocked(self, kind: PluginKind, name: str) -> bool:
        return self.manager.is_blocked(f"{kind}:{name}")

    def load(self, kind: PluginKind, name: str) -> Any:
        """The class or capsule of a plugin. PluginError with the reason if it cannot be used."""
        found = self._found[kind].get(name, [])
        label = f"{kind}:{name}"
        if not found:
            raise UsageError(f"no {kind} plugin is named {name!r}; {nearest(name, self._found[kind])}")
        if self.is_blocked(kind, name):
            raise PluginError(
                f"{label} is blocked: by --no-plugin or AICORE_DISABLE_PLUGINS, or as --only-plugin or"
                " AICORE_ONLY_PLUGINS do not name it",
                "blocked",
            )
        if len(found) > 1:
            givers = " and ".join(_distribution(entry) or entry.value for entry in found)
            raise PluginError(f"{label} is given by {givers}; uninstall one of them", "duplicate")
        begin = time.monotonic()
        try:
            plugin = _Driver(found, GROUPS[kind], name).driver
        except (Exception, SystemExit) as error:  # a plugin that exits while it is imported ends only itself
            raise PluginError(f"{label} of {_distribution(found[0])} cannot be loaded: {one_line(error)}") from error
        if (spent := time.monotonic() - begin) > _SLOW_IMPORT:
            logger.warning("%s of %s took %.1f s to import", label, _distribution(found[0]), spent)
        check_plugin(kind, label, plugin)
        return plugin

    def make(self, kind: PluginKind, name: str, options: Mapping[str, Any]) -> Any:
        """An instance with its checked `config`; a native protocol or meter stays the capsule that it is."""
        plugin = self.load(kind, name)
        label = f"{kind}:{name}"
        if not inspect.isclass(plugin):
            check_options(label, {}, options)
            return plugin
        shared = DELIVERY_OPTIONS if kind == "adaptor" else {}
        values = check_options(label, {**declared_options(label, plugin), **shared}, options)
        delivery = {name: values.pop(name) for name in shared}
        try:
            instance: Any = plugin()
            instance.config = MappingProxyType(values)
            if kind == "adaptor":
                instance.delivery = DeliveryOptions.of(delivery)
        except (Exception, SystemExit) as error:
            raise PluginError(f"{label} cannot be made: {one_line(error)}") from error
        return instance

    def register(self, name: str, plugin: object) -> str:
        """Registers an opened plugin's hooks. PluginError, and nothing registered, for hooks that do not exist, take
        arguments that do not exist, or are wrappers. Returns the name; a second one becomes `name#2`."""
        unique, number = name, 1
        while self.manager.has_plugin(unique):
            number += 1
            unique = f"{name}#{number}"
        _register(self.manager, plugin, unique)
        return unique

    def rows(self, *, load: bool = True) -> list[PluginRow]:
        """Every plugin of the environment. With load each one that is not blocked is imported and checked."""
        rows = []
        for kind, names in self._found.items():
            for name, found in names.items():
                rows.append(self._row(kind, name, found, load))
        return rows

    def _row(self, kind: PluginKind, name: str, found: list[EntryPoint], load: bool) -> PluginRow:
        label = f"{kind}:{name}"
        distributions = [entry.dist for entry in found if entry.dist is not None]
        distribution = ", ".join(dist.name for dist in distributions) or None
        version = ", ".join(dist.version for dist in distributions) or None
        if self.is_blocked(kind, name):
            return PluginRow(label, kind, "blocked", version, None, distribution)
        if not load and len(found) == 1:
            return PluginRow(label, kind, "ok", version, None, distribution)
        try:
            plugin = self.load(kind, name)
        except PluginError as error:
            return PluginRow(label, kind, error.status, version, None, distribution, [], str(error))
        return PluginRow(label, kind, "ok", version, _api(kind, plugin), distribution, hook_names(kind, plugin))


def list_plugins(blocked: Iterable[str] = (), *, only: Iterable[str] = (), load: bool = True) -> list[PluginRow]:
    """The plugins of this environment; see `Plugins`."""
    return Plugins(blocked, only=only).rows(load=load)


def _packages(found: Iterable[EntryPoint]) -> set[str | None]:
    return {None if entry.dist is None else entry.dist.name for entry in found}


def _in_environment(variable: str) -> list[str]:
    """Names with commas between them."""
    return [name for name in map(str.strip, os.environ.get(variable, "").split(",")) if name]


def open_adaptor(url: str, plugins: Plugins | None = None) -> Any:
    """The adaptor that a URL names, with its options checked and `url` set. It is not connected yet: a run connects it
    on the thread that delivers, a program that uses it alone calls `adaptor.connect(adaptor.url)`. UsageError for what
    cannot work."""
    plugins = plugins or Plugins()
    parsed = AdaptorURL.parse(url)
    try:
        return _opened(parsed, plugins)
    except AicoreError as error:
        text = str(error)
        if (hidden := parsed.hide(text)) == text:
            raise
        error.args = (hidden,)
        raise error from None  # what it comes from may say it, too


def _opened(parsed: AdaptorURL, plugins: Plugins) -> Any:
    names = plugins.names("adaptor")
    base = parsed.scheme.partition("+")[0]
    scheme = parsed.scheme if parsed.scheme in names else base
    if scheme not in names:
        package = PACKAGES.get(base)
        hint = f"it comes with the package {package}; installed: {', '.join(names)}" if package else None
        raise UsageError(f"no adaptor for {parsed.shown_scheme!r}; {hint or nearest(scheme, names)}")
    plugin = plugins.load("adaptor", scheme)
    # Before anything can be said of its options.
    parsed.declare(getattr(plugin, "options", {}), getattr(plugin, "default_port", None))
    adaptor = plugins.make("adaptor", scheme, parsed.options)
    adaptor.url = parsed
    if isinstance(adaptor, DatabaseAdaptor):
        run_check(f"adaptor:{scheme}", adaptor.check, parsed)
    return adaptor


def run_check(label: str, check: Callable[..., object], *arguments: object) -> None:
    """A plugin's own check. Raises the AicoreError that it raises, and PluginError for anything else."""
    try:
        check(*arguments)
    except Fatal as error:  # as from `connect`, with which it may share its code
        raise UsageError(str(error)) from error
    except AicoreError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{label}: check raised {one_line(error)}") from error


def check_plugin(kind: PluginKind, label: str, plugin: Any) -> None:
    """PluginError if a loaded object is not what its kind needs, or was written for another interface."""
    if kind in _ABI_ERRORS and type(plugin).__name__ == "PyCapsule":
        reason = _ABI_ERRORS[kind](plugin)
        if reason is not None:
            raise PluginError(f"{label}: {reason}", "incompatible")
        return
    if not inspect.isclass(plugin):
        wanted = f"a class or a {kind} capsule" if kind in _ABI_ERRORS else "a class"
        raise PluginError(f"{label}: the entry point must give {wanted}, not {type(plugin).__name__}")
    api = getattr(plugin, "aicore_api", 1)
    if not isinstance(api, int) or not MIN_API_VERSION <= api <= API_VERSION:
        supported = f"{MIN_API_VERSION} to {API_VERSION}" if MIN_API_VERSION < API_VERSION else str(API_VERSION)
        raise PluginError(f"{label} was written for plugin API {api}, this aicore supports {supported}", "incompatible")
    options = declared_options(label, plugin)
    if kind == "adaptor":
        missing = [name for name in _adaptor_methods(plugin) if not callable(getattr(plugin, name, None))]
        if missing:
            raise PluginError(f"{label}: the adaptor has no {', '.join(missing)}")
        if takes_nothing(plugin):
            raise PluginError(f"{label} defines neither write nor insert, update or remove")
        if taken := sorted(DELIVERY_OPTIONS.keys() & options.keys()):
            raise PluginError(f"{label} declares {', '.join(taken)}, which every adaptor's URL takes for its delivery")
    elif kind == "protocol":
        from aicore.plugins.protocol import Protocol, check_protocol

        if not issubclass(plugin, Protocol):
            raise PluginError(f"{label}: the class is no aicore.Protocol")
        check_protocol(label, plugin)
    elif kind == "meter":
        from aicore.plugins.meter import check_meter

        check_meter(label, plugin)
    else:
        check_hooks(label, plugin)


def check_hooks(label: str, plugin: object) -> None:
    """PluginError unless a hook class or object implements hooks, all of them known and right."""
    scratch = pluggy.PluginManager("aicore")
    scratch.add_hookspecs(hookspecs)
    _register(scratch, plugin, label)
    if not scratch.get_hookcallers(plugin):
        raise PluginError(f"{label} implements no hook; its methods are marked with aicore.hookimpl")


def hook_names(kind: PluginKind, plugin: object) -> list[str]:
    """Hooks that a plugin implements, sorted. Adaptors implement none: their deliveries are called directly."""
    if kind == "adaptor":
        return []
    manager = pluggy.PluginManager("aicore")
    return sorted(name for name in dir(plugin) if manager.parse_hookimpl_opts(plugin, name) is not None)


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    try:
        manager.register(plugin, name=name)
        manager.check_pending()
        for caller in manager.get_hookcallers(plugin) or ():
            for impl in caller.get_hookimpls():
                # The dispatch calls implementations one by one, so that one that raises stops no other: there is
                # nothing that a wrapper could wrap.
                if impl.plugin is plugin and (impl.wrapper or impl.hookwrapper):
                    raise PluginError(f"{name}: {caller.name} is a wrapper; aicore's hooks cannot be wrapped")
    except BaseException as error:
        if manager.is_registered(plugin):
            manager.unregister(plugin)
        if isinstance(error, pluggy.PluginValidationError):
            raise PluginError(f"{name}: {_hook_problem(plugin) or one_line(error)}") from error
        if isinstance(error, Exception) and not isinstance(error, PluginError):  # raised by register_protocols
            raise PluginError(f"{name}: register_protocols raised {one_line(error)}") from error
        raise


def _hook_problem(plugin: object) -> str | None:
    """What is wrong with a marked method, in the words of the hooks; None for what only pluggy can name."""
    specified = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "aicore_spec")}
    for name in hook_names("hook", plugin):
        if name not in specified:
            return f"there is no hook {name!r}; {nearest(name, specified)}"
        known = list(inspect.signature(specified[name]).parameters)
        for argument in inspect.signature(getattr(plugin, name)).parameters:
            if argument not in known and argument != "self":
                return f"{name} takes {' and '.join(known)}, not {argument!r}"
    return None


def _adaptor_methods(plugin: type) -> tuple[str, ...]:
    return ("connect", "write") if hasattr(plugin, "write") else ("connect", "insert", "update", "remove")


def _api(kind: PluginKind, plugin: Any) -> int:
    if inspect.isclass(plugin):
        return getattr(plugin, "aicore_api", 1)
    return _core.METER_ABI if kind == "meter" else _core.PROTOCOL_ABI


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""

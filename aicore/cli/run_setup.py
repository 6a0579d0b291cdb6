# SPDX-License-Identifier: Apache-2.0
"""From the options of the command line to a stack, a source and plugins that a run takes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aicore.cli.config import Config
from aicore.delivery import SpoolSettings
from aicore.plugins.discovery import Plugins
from aicore.plugins.url import AdaptorURL, password_variable
from aicore.run.source import Source
from aicore.run.stack import StackLan, Use
from aicore.run.state import default_spool

logger = logging.getLogger("aicore")

DEFAULT_STORE = "sqlite:flows.db"


@dataclass(frozen=True)
class Job:
    """What shall run. Nothing is opened yet, no adaptor or hook plugin imported."""

    stack: StackLan
    source: Source
    plugins: Plugins
    urls: tuple[AdaptorURL, ...]
    tcp: bool
    udp: bool
    #: Where spools lie; None keeps nothing on disk.
    spool: Path | None
    spool_settings: SpoolSettings
    #: Where the ledgers of followed folders lie.
    ledgers: Path

    @property
    def writes_stdout(self) -> bool:
        """A store is standard output, so nothing else may be written there."""
        return any(url.path == "-" for url in self.urls)


def make(ctx: click.Context, options: dict[str, Any]) -> Job:
    """The job that the options describe. UsageError, or SourceError for files that are not there."""
    config: Config | None = ctx.meta.get("aicore.config")
    plugins = Plugins(options["no_plugin"], only=options["only_plugin"])
    urls = _stores(options["to"], config)
    stack = StackLan()
    stack.configure({name: options[name] for name in StackLan.settings() if options.get(name) is not None})
    stack.every_tcp = stack.every_udp = options["every"]
    for name, settings in config.plugins if config is not None else ():
        stack.uses.append(Use(name, settings))
    for text in options["plugin"]:
        stack.use(text)
    if options["spool"] and options["no_spool"]:
        raise click.UsageError("--spool and --no-spool exclude each other")
    state = Path(options["spool"] or default_spool())
    both = options["tcp"] == options["udp"]
    return Job(
        stack,
        _source(ctx, options),
        plugins,
        urls,
        tcp=both or options["tcp"],
        udp=both or options["udp"],
        spool=None if options["no_spool"] else state,
        spool_settings=SpoolSettings(options["spool_size"] << 20, options["spool_free"] / 100, options["spool_always"]),
        ledgers=state / "followed",
    )


def _stores(given: Sequence[str], config: Config | None) -> tuple[AdaptorURL, ...]:
    urls = []
    for text in given:
        url = AdaptorURL.parse(text)
        if url.literal_secret:
            logger.warning(
                "%s has a secret in the command line, where ps and the shell's history show it; use ${VARIABLE}%s",
                url.redacted,
                f" or {password_variable(url.scheme)}" if url.password else "",
            )
        urls.append(url)
    urls += [AdaptorURL.parse(text, options=options) for text, options in (config.to if config is not None else ())]
    return tuple(dict.fromkeys(urls)) or (AdaptorURL.parse(DEFAULT_STORE),)


def _source(ctx: click.Context, options: dict[str, Any]) -> Source:
    paths = options["source"] or _strings(ctx.lookup_default("source"))
    interfaces = options["interface"]
    if options["merge"] and (interfaces or options["follow"]):
        raise click.UsageError(
            "--merge is for capture files: several interfaces are merged anyway, a followed directory never is"
        )
    if options["follow"]:
        if interfaces:
            raise click.UsageError("--follow reads captures in directories; an interface needs none of it")
        if not paths:
            raise click.UsageError("--follow needs a directory")
        return Source.of(paths, filter=options["filter"], follow=True)
    if bool(paths) == bool(interfaces):
        raise click.UsageError(
            "capture files and interfaces cannot be mixed" if paths else "name capture files, or an interface with -i"
        )
    if paths:
        return Source.of(paths, filter=options["filter"], live=False, merge=options["merge"])
    return Source.of(
        interfaces,
        filter=options["filter"],
        live=True,
        snaplen=options["snaplen"],
        buffer_bytes=options["buffer"] << 20,
        promiscuous=not options["no_promiscuous"],
        immediate=options["immediate"],
    )


def _strings(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]

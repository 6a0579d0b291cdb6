# SPDX-License-Identifier: Apache-2.0
"""URLs of adaptors, and the secrets in them: nothing here ever shows a password.

`scheme://user:password@host/path?option=value`; stores that are files take `scheme:PATH`. `${VAR}` is replaced from the
environment, `AICORE_<SCHEME>_PASSWORD` fills a missing password. A value from the environment that stands in the user,
password or query part is percent-encoded, so a secret may hold any character.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from aicore.errors import UsageError
from aicore.plugins.options import parse_query

_SCHEME = re.compile(r"([a-z][a-z0-9]*(?:[+.-][a-z0-9]+)*):", re.ASCII | re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
# A password runs to the last @ of the word, because one that was not percent-encoded may hold /, ? and @ itself.
# The look-ahead keeps host:port/path?mail=a@b as it is.
_PASSWORD = re.compile(r"(://[^\s/?#:@]*:)(?!\d+(?:[/?#,\s]|$))[^\s'\"]+@")
_SECRET_OPTION = re.compile(r"((?:^|[?&\s])[\w-]*(?:passw|secret|token|api_?key)[\w-]*=)[^&\s'\"]+", re.IGNORECASE)

# Process-wide, because a driver may put what it was given into any exception or log line of any run.
_known_secrets: set[str] = set()
# Shorter ones would blot out ordinary words; where they stand in a URL the patterns above find them.
_SHORTEST_EXACT = 4


def redact(text: str) -> str:
    """The text with passwords in URLs and secret-looking options replaced by ***."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", text))


def remember_secret(value: str) -> None:
    """From now on `scrub` and aicore's logger replace this value wherever it stands."""
    for form in {value, quote(value, safe=""), unquote(value)}:
        if len(form) >= _SHORTEST_EXACT:
            _known_secrets.add(form)


def scrub(text: str) -> str:
    """`redact`, and every secret that a URL of this process held. For text made by others: errors of drivers."""
    text = redact(text)
    for secret in sorted(_known_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


class ScrubFilter(logging.Filter):
    """Keeps secrets out of log records, their tracebacks included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrub(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = scrub(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


logging.getLogger("aicore").addFilter(ScrubFilter())


@dataclass(frozen=True)
class AdaptorURL:
    """A parsed URL. `text` is complete and secret; `redacted` may be shown, and so may the repr."""

    scheme: str
    redacted: str
    #: A password stands in the URL itself, where shell history and process lists show it.
    literal_secret: bool
    text: str = field(repr=False)
    query: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str] = os.environ) -> AdaptorURL:
        """UsageError for text that is no URL or names an unset variable."""
        # A URL that is wholly a variable is split only once it is known.
        template = _expand(url, environ, encode=False) if url.startswith("${") else url
        literal = _VARIABLE.sub("", url)
        match = _SCHEME.match(template)
        if match is None:
            raise UsageError(
                f"{redact(url)!r} is not a URL; files are written as sqlite:PATH, servers as scheme://host"
            )
        scheme = match[1].lower()
        rest = template[match.end() :]
        redacted = redact(f"{scheme}:{rest}")
        user = ""
        if rest.startswith("//"):
            user, rest = _split_user(rest[2:])
            user = "//" + _expand(_fill_password(scheme, user, environ), environ, encode=True)
        place, mark, query = rest.partition("?")
        for name in _VARIABLE.findall(query):
            remember_secret(environ.get(name, ""))
        query = _expand(query, environ, encode=True)
        options = parse_query(f"{scheme} URL", query)
        remember_secret(user[2:].rstrip("@").partition(":")[2])
        for name, value in options.items():
            if redact(f"{name}=x") != f"{name}=x":
                remember_secret(value)
        text = f"{scheme}:{user}{_expand(place, environ, encode=False)}{mark}{query}"
        return cls(scheme, redacted, redact(literal) != literal, text, options)


@dataclass(frozen=True)
class Server:
    """A URL of a server taken apart, percent-encoding undone; for the `connect` of adaptors of servers."""

    scheme: str
    user: str | None
    password: str | None = field(repr=False)
    #: Host and port, in the order of the URL; the port is None where it names none. Empty where it names no host.
    hosts: tuple[tuple[str, int | None], ...]
    path: str

    @classmethod
    def parse(cls, url: str) -> Server:
        """UsageError, without the password, for what is not scheme://user:password@host1,host2:port/path?options."""
        scheme, _, rest = url.partition("?")[0].partition("://")
        login, rest = _split_user(rest)
        places, slash, path = rest.partition("/")
        user, colon, password = login.removesuffix("@").partition(":")
        return cls(
            scheme,
            unquote(user) or None,
            unquote(password) if colon else None,
            tuple(_host(scheme, place) for place in places.split(",")) if places else (),
            unquote(slash + path),
        )


# Not urlsplit: it takes no list of hosts, and whether it raises for one with brackets depends on the release of Python.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|([^:\[\]\s]+))(?::(\d{1,5}))?", re.ASCII)


def _host(scheme: str, place: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(place)
    if match is None or (match[3] is not None and not 0 < int(match[3]) < 65536):
        # Without the text: it is part of the password where one holds a bare slash.
        raise UsageError(f"{scheme}: hosts are written as host, host:port or [::1]:port, several with commas between")
    return match[1] or match[2], None if match[3] is None else int(match[3])


def _split_user(text: str) -> tuple[str, str]:
    """`user:password@` (or nothing) and the rest."""
    authority = re.split(r"[/?#]", text, maxsplit=1)[0]
    at = authority.rfind("@")
    return text[: at + 1], text[at + 1 :]


def _fill_password(scheme: str, user: str, environ: Mapping[str, str]) -> str:
    """`user` with the password of the environment, where it has none of its own."""
    base = re.sub(r"[^A-Z0-9]", "_", scheme.partition("+")[0].upper())
    password = environ.get(f"AICORE_{base}_PASSWORD")
    if password is None or ":" in user:
        return user
    return f"{user.rstrip('@')}:{quote(password, safe='')}@"


def _expand(text: str, environ: Mapping[str, str], *, encode: bool) -> str:
    def value(match: re.Match[str]) -> str:
        found = environ.get(match[1])
        if found is None:
            raise UsageError(f"the environment variable {match[1]} of the URL is not set")
        return quote(found, safe="") if encode else found

    return _VARIABLE.sub(value, text)

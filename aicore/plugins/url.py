# SPDX-License-Identifier: Apache-2.0
"""URLs of adaptors, and the secrets in them.

`scheme://user:password@host/path?option=value`; stores that are files take `scheme:PATH`, where `~` in front is a home
directory. `${VAR}` is replaced from the environment, `${file:PATH}` by the first line of a file; the value stays in the
part where it stands, whatever characters it holds. In front of everything a variable may hold the whole URL, or how it
begins. `AICORE_<SCHEME>_PASSWORD` fills a missing password.

What a variable or such a file holds is never shown: messages have its name instead. Files are read again by
`AdaptorURL.of`, and so at each `connect`: a password that changes in one needs no restart.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote, unquote, urlencode

from aicore.errors import UsageError
from aicore.plugins.options import DELIVERY_OPTIONS, Option, parse_query
from aicore.plugins.references import REFERENCE, Values, is_text, read_again, with_quoted_files, written
from aicore.plugins.secrets import looks_secret, redact, remember_secret, replaced

_SCHEME = re.compile(r"([a-z][a-z0-9]*(?:[+.-][a-z0-9]+)*):", re.ASCII | re.IGNORECASE)
# Stands for a `${` of a value while the text around it is expanded: no environment or command line holds it.
_LITERAL = "\0"


class _Template(NamedTuple):
    """A URL behind its scheme, before variables are replaced."""

    authority: bool
    login: str
    places: str
    path: str
    query: str


class AdaptorURL(str):
    """The URL of an adaptor: a str that carries its parts. Parsed once, by `parse` or `of`.

    The str itself is the complete URL, for drivers that take one, and may hold secrets. `redacted` is for people; so is
    the repr.
    """

    #: In lower case; `redis+unix` is one.
    scheme: str
    user: str | None
    password: str | None
    #: Host and port, in the order of the URL; the port is None where it names none. Empty where it names no host.
    hosts: tuple[tuple[str, int | None], ...]
    #: What follows the hosts, with its slash; of `scheme:PATH` and `scheme:///PATH` the name of a file.
    path: str
    #: The query. An adaptor finds the checked values in `self.config`.
    options: Mapping[str, str]

    _template: _Template
    _literal: str
    #: The URL as it was given, with further options, and what its references stood for.
    _given: tuple[str, Mapping[str, str] | None]
    _used: Mapping[str, str]
    #: How the URL was written, where a variable stands in front: its name, and what follows it.
    _front: tuple[str, str] | None
    #: Variables of the path.
    _values: Mapping[str, str]
    #: What variables held, and the parts of what one in front held: what is shown for each.
    _shown: Mapping[str, str]
    #: The path is one, with arguments.
    _command: bool = False
    #: Names of options whose values are secrets, and of those that are no part of `identity`.
    _secret: frozenset[str]
    _beside: frozenset[str]
    #: Values of options, spelt as their checked form.
    _spelt: Mapping[str, str]
    _port: int | None

    @classmethod
    def parse(
        cls, url: str, environ: Mapping[str, str] = os.environ, *, options: Mapping[str, str] | None = None
    ) -> AdaptorURL:
        """An AdaptorURL is returned as it is. `options` are further ones, not encoded, which may name variables, too.
        UsageError, without secrets, for text that is no URL or names a variable that is not set."""
        if isinstance(url, AdaptorURL):
            return url
        if _LITERAL in url:
            raise UsageError("a URL cannot hold a NUL")
        if not is_text(url):
            raise UsageError("the URL holds bytes that are no UTF-8")
        environ = values = Values(environ)
        given, url = url, with_quoted_files(url)
        text, front = url, None
        if first := REFERENCE.match(url):
            front = first[1], url[first.end() :]
            text = _value(first[1], environ).replace("${", _LITERAL) + front[1]
        match = _SCHEME.match(text)
        if match is None:
            raise UsageError(
                f"{redact(given)!r} is not a URL; files are written as sqlite:PATH, servers as scheme://host"
            )
        template = _split(text[match.end() :])
        # A path may be a command, in which the shell has variables of its own.
        if "${" in REFERENCE.sub("", f"{template.login} {template.places} {template.query}"):
            raise UsageError("the URL holds a ${ that is no reference: write ${VAR} or ${file:PATH}")
        if options:
            more = "&".join(f"{quote(name)}={quote(value, safe='${}')}" for name, value in options.items())
            template = template._replace(query=f"{template.query}&{more}" if template.query else more)
            front = front and (front[0], f"{front[1]}{'&' if '?' in front[1] else '?'}{more}")
        made = cls._made(match[1].lower(), template, REFERENCE.sub("", url), environ, front=front)
        made._given, made._used = (given, options), values.used
        return made

    @classmethod
    def of(cls, connection_str: str, prefix: str) -> AdaptorURL:
        """What `connect` was given. `prefix` is what a program may leave out: `sqlite:` in front of a path, which is
        then taken as it is, or `redis://` in front of hosts."""
        if isinstance(connection_str, AdaptorURL):
            return connection_str._read_again()
        if prefix.endswith("//"):
            return cls.parse(connection_str if "://" in connection_str else prefix + connection_str)
        if connection_str.startswith(prefix):
            return cls.parse(connection_str)
        path = _escaped(connection_str).replace("${", _LITERAL)
        return cls._made(prefix[:-1], _Template(False, "", "", path, ""), "", {}, home=False)

    @classmethod
    def _made(
        cls,
        scheme: str,
        template: _Template,
        literal: str,
        environ: Mapping[str, str],
        *,
        home: bool = True,
        front: tuple[str, str] | None = None,
    ) -> AdaptorURL:
        """`literal` is what of the URL was written out rather than taken from a variable. `home`: `~` is one."""
        login = _fill_password(scheme, template.login, environ) if template.authority else ""
        login = _expand(login, environ, _quoted)
        hosts = _expand(template.places, environ, str)
        path = _expand(template.path, environ, _quoted_path if hosts else _escaped)
        if home and template.path.startswith("~"):
            user, slash, rest = path.partition("/")
            path = _escaped(os.path.expanduser(user)) + slash + rest
        query = _expand(template.query, environ, _quoted)

        slashes, mark = "//" * template.authority, "?" * bool(query)
        url = super().__new__(cls, f"{scheme}:{slashes}{login}{hosts}{path}{mark}{query}")
        user, colon, password = login.removesuffix("@").partition(":")
        url.scheme = scheme
        url.user = unquote(user) or None
        url.password = unquote(password) if colon else None
        url.hosts = tuple(_host(scheme, one) for one in hosts.split(",")) if hosts else ()
        url.path = unquote(path) if hosts else _unescaped(path)
        url.options = _options(scheme, query, template.query, environ, front)
        url._template = template
        url._literal = literal
        url._front = front
        url._given, url._used = (url, None), {}
        url._values = {name: environ[name] for name in REFERENCE.findall(template.path)}
        url._secret = frozenset(name for name in url.options if looks_secret(name))
        remember_secret(url.password or "")
        url._shown = url._hidden(environ)
        url._beside = url._secret | DELIVERY_OPTIONS.keys()
        url._spelt = {}
        url.declare({})
        return url

    def _hidden(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`_shown`. Remembers what no message of anybody may hold; as short words and values of ordinary options in
        front would blot out much else, only `hide` looks for them."""
        _, login, places, path, query = self._template
        shown: dict[str, str] = {}
        parts: list[str] = []  # of what the variable in front held, at least in part
        if self._front is not None:
            name, rest = self._front
            front, rest = written(name), unquote(rest)
            shown[environ[name]] = front
            for part in (self.path, self.path[1:], *(host for host, _ in self.hosts)):
                if part not in rest:
                    shown[part] = front
            parts = [part for part in (self.user, self.password, *self.options.values()) if part and part not in rest]
        for name in REFERENCE.findall(f"{login} {places} {path}"):
            shown[environ[name]] = written(name)
        for value in [*shown]:
            if len(folder := os.path.dirname(value)) > 1:
                shown.setdefault(folder, shown[value])
        for value, instead in shown.items():
            remember_secret(value, instead)
        for name in REFERENCE.findall(query):
            remember_secret(environ[name])
            shown[environ[name]] = written(name)
        for part in parts:
            shown.setdefault(part, front)
        return {
            form: instead
            for value, instead in shown.items()
            for form in (value, quote(value, safe=""))
            if any(map(str.isalnum, form))
        }

    def hide(self, text: str) -> str:
        """The text with the names of variables for what they held, for a message about this URL."""
        return replaced(text, self._shown)

    @property
    def shown_scheme(self) -> str:
        """The scheme for a message, by the name of the variable that holds it."""
        return self.scheme if self._front is None else written(self._front[0])

    def _read_again(self) -> AdaptorURL:
        """With what its files hold now; one that cannot be read, as while it is replaced, holds what it held."""
        now = read_again(self._used)
        if now == self._used:
            return self
        text, options = self._given
        try:
            again = AdaptorURL.parse(text, now, options=options)
        except UsageError:
            return self
        again._secret, again._beside, again._spelt = self._secret, self._beside, self._spelt
        again._port = self._port
        for name in again._secret & again.options.keys():
            remember_secret(again.options[name])
        return again

    def declare(self, options: Mapping[str, Option], port: int | None = None) -> None:
        """What the adaptor says of the options: which are secrets, beside those whose names say so, and which are no
        part of `identity`; and of the port where the URL names none."""
        self._port = port
        self._secret |= {name for name, option in options.items() if option.secret}
        self._beside |= self._secret | {name for name, option in options.items() if option.tuning}
        for name in self._secret & self.options.keys():
            remember_secret(self.options[name])
        spelt: dict[str, str] = {}
        for name, option in options.items():
            if name in self._beside or name not in self.options:
                continue
            with suppress(UsageError):  # whoever opens the adaptor says so
                value = option.check(name, self.options[name])
                if value == option.default:
                    self._beside |= {name}
                spelt[name] = str(value)
        self._spelt = spelt

    def command(self) -> list[str]:
        """The path as a command's words, quoted as in a shell. A variable's value stays in its word. UsageError for
        quotes that do not close."""
        try:
            words = shlex.split(self._template.path)
        except ValueError as error:
            raise UsageError(f"{self.scheme}: the command cannot be read: {error}") from None
        self._command = True
        found = [_unescaped(_expand(word, self._values, _escaped)) for word in words]
        if words and words[0].startswith("~"):
            found[0] = os.path.expanduser(found[0])
        return found

    @property
    def redacted(self) -> str:
        """The URL as it was written, variables by name, without its secrets."""
        authority, login, places, path, query = self._template
        if ":" in login:
            login = login.partition(":")[0] + ":***@"
        shown = f"{self.scheme}:{'//' * authority}{login}{places}{redact(path)}"
        if self._front is not None:
            name, rest = self._front
            place, _, query = rest.partition("?")
            if "@" in place:
                before, _, after = place.rpartition("@")
                place = f"{before[: before.find('://') + 3] if '://' in before else ''}***@{after}"
            shown = f"{written(name)}{redact(place)}"
        if query:
            pairs = (pair.partition("=") for pair in query.split("&"))
            shown += "?" + "&".join(
                f"{name}{equals}{'***' if unquote(name) in self._secret else value}" for name, equals, value in pairs
            )
        shown = REFERENCE.sub(lambda match: written(match[1]), shown)
        return shown.replace(_LITERAL, "${")

    @property
    def literal_secret(self) -> bool:
        """A secret stands in the URL itself, where shell history and process lists show it."""
        pairs = (pair.partition("=") for pair in self._literal.partition("?")[2].split("&"))
        return redact(self._literal) != self._literal or any(
            value and unquote(name) in self._secret for name, _, value in pairs
        )

    @property
    def identity(self) -> str:
        """The same for two URLs that write the same into the same store: scheme, place, and the options that say what
        is written where. Not user, secrets, options of the delivery and `tuning` ones; nor, once they are declared, how
        a value is spelt and whether a default, or the adaptor's port, is written out. Relative paths are those of now,
        links are followed.
        """
        where = ",".join(sorted(f"{host.lower()}:{port or self._port or ''}" for host, port in self.hosts)) + self.path
        if not self.hosts:
            where = os.path.abspath(self._template.path) if self._command else os.path.realpath(self.path)
        options = sorted(
            (name, self._spelt.get(name, value)) for name, value in self.options.items() if name not in self._beside
        )
        return f"{self.scheme}|{where}|{urlencode(options)}"

    def __repr__(self) -> str:
        return f"AdaptorURL({self.redacted!r})"


# Not urlsplit: it takes no list of hosts, and whether it raises for one with brackets depends on the release of Python.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|([^:\[\]\s/?#@]+))(?::(\d{1,5}))?", re.ASCII)


def _host(scheme: str, place: str) -> tuple[str, int | None]:
    match = _HOST.fullmatch(place)
    if match is None or (match[3] is not None and not 0 < int(match[3]) < 65536):
        # Without the text: it is part of the password where one holds a bare slash.
        raise UsageError(f"{scheme}: hosts are written as host, host:port or [::1]:port, several with commas between")
    return match[1] or match[2], None if match[3] is None else int(match[3])


def _options(
    scheme: str, query: str, template: str, environ: Mapping[str, str], front: tuple[str, str] | None
) -> dict[str, str]:
    try:
        return parse_query(f"{scheme} URL", query)
    except UsageError as error:
        if front is not None:
            raise UsageError(
                f"the URL that begins with {written(front[0])}: options are written as name=value, joined by &,"
                " none twice"
            ) from None
        held = {environ[name]: written(name) for name in REFERENCE.findall(template)}
        raise UsageError(replaced(str(error), held)) from None


def _split(text: str) -> _Template:
    """What follows the scheme."""
    authority = text.startswith("//")
    login = places = ""
    if authority:
        places = re.split(r"[/?]", text[2:], maxsplit=1)[0]
        text = text[2 + len(places) :]
        login, at, places = places.rpartition("@")
        login += at
    path, _, query = text.partition("?")
    return _Template(authority, login, places, path, query)


def password_variable(scheme: str) -> str:
    """The environment variable that holds the password of such URLs."""
    return f"AICORE_{re.sub('[^A-Z0-9]', '_', scheme.partition('+')[0].upper())}_PASSWORD"


def _fill_password(scheme: str, login: str, environ: Mapping[str, str]) -> str:
    """`user:password@` with the password of the environment, where it has none of its own."""
    name = password_variable(scheme)
    if name not in environ or ":" in login:
        return login
    password = _value(name, environ)
    return f"{login.rstrip('@')}:{quote(password, safe='')}@"


def _value(name: str, environ: Mapping[str, str]) -> str:
    found = environ.get(name)
    if found is None:
        raise UsageError(f"the environment variable {name} of the URL is not set")
    if not is_text(found):
        raise UsageError(f"the environment variable {name} of the URL holds bytes that are no UTF-8")
    return found


def _expand(text: str, environ: Mapping[str, str], encode: Callable[[str], str]) -> str:
    text = REFERENCE.sub(lambda match: encode(_value(match[1], environ)).replace("${", _LITERAL), text)
    return text.replace(_LITERAL, "${")


def _quoted(value: str) -> str:
    return quote(value, safe="")


def _quoted_path(value: str) -> str:
    return quote(value, safe="/")


def _escaped(value: str) -> str:
    """A file's name as it stands in a URL. Of percent escapes only these two are read, which a name with a question
    mark needs: any other path works as the shell completed it."""
    return value.replace("%", "%25").replace("?", "%3F")


def _unescaped(path: str) -> str:
    return path.replace("%3F", "?").replace("%3f", "?").replace("%25", "%")

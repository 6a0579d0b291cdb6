# SPDX-License-Identifier: Apache-2.0
"""The two drivers behind one small interface: where the store is, how to log in, the few requests that are made.

Retries of the drivers are off: the delivery repeats what failed, and a call must end within its time.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aicore import AdaptorURL
from aicore.errors import Fatal, UsageError

TIMEOUT = 5  # seconds for each request
# Less than TIMEOUT, so that a shard that is away is an answer for its rows and not a request without one.
_SHARD_TIMEOUT = "4s"
# Not items.*.error alone: items that went well would be left out, and with them the positions.
_ANSWER = "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
# Of an index; the uuid so that one without `_meta` is in the answer, too.
_OF_INDEX = "*.mappings._meta,*.settings.index.uuid"
PORT = 9200
# What the servers take as index name, less what would be awkward in a pattern.
_INDEX = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class Address:
    """A URL of the form scheme[+https]://[user:password@]host[:port][,host...][/index]."""

    hosts: tuple[tuple[str, int], ...]
    https: bool
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    #: Name of the index, or what the names of dated ones begin with.
    index: str

    @classmethod
    def of(cls, server: AdaptorURL) -> Address:
        """UsageError for what is no such URL."""
        if server.user and server.password is None:
            raise UsageError(f"{server.scheme}: a user needs a password")
        index = server.path.strip("/") or "aicore-flows"
        if not _INDEX.fullmatch(index):
            raise UsageError(f"{server.scheme}: {index!r} is no index name: lower-case letters, digits, - and _")
        return cls(
            tuple((host, port or PORT) for host, port in server.hosts or (("localhost", None),)),
            server.scheme.endswith("+https"),
            server.user,
            server.password,
            index,
        )

    @property
    def loopback(self) -> bool:
        return all(_is_loopback(host) for host, _ in self.hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True)
class Login:
    """How to prove who we are, and who the store is."""

    api_key: str | None = field(default=None, repr=False)
    ca: str | None = None
    insecure: bool = False


class Client(Protocol):
    """What the adaptor needs of a driver. Safe for several threads. Errors are the driver's: see `status_of`."""

    def info(self) -> object: ...
    def component(self, name: str) -> Mapping[str, Any] | None: ...
    def put_component(self, name: str, body: Mapping[str, Any]) -> object: ...
    def template(self, name: str) -> Mapping[str, Any] | None: ...
    def put_template(self, name: str, body: Mapping[str, Any]) -> object: ...
    def indices(self, names: str) -> Mapping[str, Any]:
        """Those that match, by their own names: `_meta` of their mappings, where they have one."""

    def bulk(self, body: bytes) -> Mapping[str, Any]: ...
    def close(self) -> None: ...


def status_of(error: BaseException) -> int | None:
    """The HTTP status of a driver's exception; None where there was no answer."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _found(ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """None where there is no such thing."""
    try:
        return ask()
    except Exception as error:
        if status_of(error) == 404:
            return None
        raise


class Unreachable(OSError):
    """No answer from the server, or none to what was asked; the text says why. No row is the reason."""


def _whole(answer: Any) -> Mapping[str, Any]:
    """A connection that ends behind the headers may leave an answer without a body, which the drivers take for one."""
    if not isinstance(answer, Mapping):
        raise Unreachable("the server's answer has no body")
    return answer


class ElasticsearchClient:
    """elasticsearch-py, version 8."""

    def __init__(self, address: Address, login: Login) -> None:
        from elasticsearch import Elasticsearch

        options: dict[str, Any] = {}
        if address.https:
            options = {"verify_certs": not login.insecure, "ssl_show_warn": False}
            if login.ca is not None:
                options["ca_certs"] = login.ca
        scheme = "https" if address.https else "http"
        self._client = Elasticsearch(
            [f"{scheme}://{_in_url(host)}:{port}" for host, port in address.hosts],
            headers=_headers(address, login),
            request_timeout=TIMEOUT,
            max_retries=0,
            retry_on_timeout=False,
            retry_on_status=(),
            **options,
        )

    def info(self) -> object:
        from elasticsearch import UnsupportedProductError

        try:
            return self._answer(self._client.info)
        except UnsupportedProductError:
            raise Fatal("the server is not Elasticsearch; the scheme for OpenSearch is opensearch://") from None

    def component(self, name: str) -> Mapping[str, Any] | None:
        found = _found(lambda: self._answer(self._client.cluster.get_component_template, name=name))
        return found and found["component_templates"][0]["component_template"]

    def put_component(self, name: str, body: Mapping[str, Any]) -> object:
        return self._answer(self._client.cluster.put_component_template, name=name, body=body)

    def template(self, name: str) -> Mapping[str, Any] | None:
        found = _found(lambda: self._answer(self._client.indices.get_index_template, name=name))
        return found and found["index_templates"][0]["index_template"]

    def put_template(self, name: str, body: Mapping[str, Any]) -> object:
        return self._answer(self._client.indices.put_index_template, name=name, body=body)

    def indices(self, names: str) -> Mapping[str, Any]:
        answer = self._answer(
            self._client.indices.get,
            index=names,
            ignore_unavailable=True,
            expand_wildcards="all",
            filter_path=_OF_INDEX,
        )
        return _metas(answer.body)

    def bulk(self, body: bytes) -> Mapping[str, Any]:
        answer = self._answer(self._client.bulk, operations=body, filter_path=_ANSWER, timeout=_SHARD_TIMEOUT)
        return answer.body  # type: ignore[no-any-return]

    def close(self) -> None:
        self._client.close()

    def _answer(self, method: Callable[..., Any], **arguments: Any) -> Any:
        from elastic_transport import TransportError

        try:
            answer = method(**arguments)
        except TransportError as error:  # "Connection error" is all that it says
            raise Unreachable(f"{error}: {error.__cause__}") from error
        _whole(answer.body)
        return answer


class OpensearchClient:
    """opensearch-py."""

    def __init__(self, address: Address, login: Login) -> None:
        from opensearchpy import OpenSearch  # type: ignore[import-not-found, unused-ignore]  # the extra

        options: dict[str, Any] = {}
        if address.https:
            options = {"use_ssl": True, "verify_certs": not login.insecure, "ssl_show_warn": False}
            if login.ca is not None:
                options["ca_certs"] = login.ca
        self._client = OpenSearch(
            [{"host": host, "port": port} for host, port in address.hosts],
            headers=_headers(address, login),
            timeout=TIMEOUT,
            max_retries=0,
            retry_on_timeout=False,
            **options,
        )

    def info(self) -> object:
        return _whole(self._client.info())

    def component(self, name: str) -> Mapping[str, Any] | None:
        found = _found(lambda: _whole(self._client.cluster.get_component_template(name=name)))
        return found and found["component_templates"][0]["component_template"]

    def put_component(self, name: str, body: Mapping[str, Any]) -> object:
        return self._client.cluster.put_component_template(name=name, body=body)

    def template(self, name: str) -> Mapping[str, Any] | None:
        found = _found(lambda: _whole(self._client.indices.get_index_template(name=name)))
        return found and found["index_templates"][0]["index_template"]

    def put_template(self, name: str, body: Mapping[str, Any]) -> object:
        return self._client.indices.put_index_template(name=name, body=body)

    def indices(self, names: str) -> Mapping[str, Any]:
        params = {"ignore_unavailable": "true", "expand_wildcards": "all", "filter_path": _OF_INDEX}
        return _metas(_whole(self._client.indices.get(index=names, params=params)))

    def bulk(self, body: bytes) -> Mapping[str, Any]:
        # The driver takes `timeout` for its own unless that is given, too.
        params = {"filter_path": _ANSWER, "timeout": _SHARD_TIMEOUT, "request_timeout": TIMEOUT}
        return _whole(self._client.bulk(body=body, params=params))

    def close(self) -> None:
        self._client.close()


def _metas(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: found.get("mappings", {}).get("_meta") for name, found in answer.items()}


def _headers(address: Address, login: Login) -> dict[str, str]:
    """Made here, because one driver encodes a password in ASCII and the other in Latin-1: RFC 7617 with UTF-8."""
    if login.api_key is not None:
        return {"authorization": f"ApiKey {login.api_key}"}
    if address.user is not None:
        return {"authorization": "Basic " + b64encode(f"{address.user}:{address.password}".encode()).decode()}
    return {}

# SPDX-License-Identifier: Apache-2.0
"""One document a flow, `_id` its flow_id, in the index of the time when it began.

Every write is an `index` (or `delete`) of the whole record with `version_type=external_gte`: the store keeps the
highest version of a flow whatever arrives, how often and in which order, so a write may be repeated at any time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from aicore import AdaptorURL, DatabaseAdaptor, Option, record_fields
from aicore.errors import Fatal, RowError, UsageError
from aicore_elastic.clients import (
    PORT,
    Address,
    Client,
    ElasticsearchClient,
    Login,
    OpensearchClient,
    Unreachable,
    status_of,
)
from aicore_elastic.documents import META, Documents

if TYPE_CHECKING:
    from aicore import FlowBatch

logger = logging.getLogger("aicore")

# Rows of a request: from 500 to 5,000 the server takes them at about the same rate. Two requests at a time keep it busy
# while the next documents are made.
_ROWS = 1000
_IN_FLIGHT = 2

_DAY_NS = 86_400_000_000_000
_EPOCH = date(1970, 1, 1)
_PERIODS: Mapping[str, str] = {"day": "-%Y.%m.%d", "month": "-%Y.%m", "none": ""}

# Beside 429 and 5xx: an index that somebody made read-only or closed, and may open again.
_RETRY = {"cluster_block_exception", "index_closed_exception"}
_BUSY = "429 "
# A 400 that is not about the document: the cluster takes no more shards.
_FATAL = {"validation_exception"}


class ElasticsearchAdaptor(DatabaseAdaptor):
    """Elasticsearch 8 and 9 through elasticsearch-py 8."""

    options: ClassVar[Mapping[str, Option]] = {
        "period": Option(str, default="day", choices=tuple(_PERIODS), help="an index for each day or month, or one"),
        "indices": Option(int, default=366, minimum=1, help="dated indices that a run may write to"),
        "ended": Option(str, default="keep", choices=("keep", "delete"), help="what becomes of ended flows"),
        "template": Option(
            bool, default=True, help="write the mapping, and an index template if there is none", tuning=True
        ),
        "adopt": Option(
            bool,
            default=False,
            help="replace a mapping, and write into indices, that are not aicore's",
            tuning=True,
        ),
        "api_key": Option(str, secret=True, help="API key, base64 as the server gives it"),
        "ca": Option(str, help="PEM file of the authority that signed the server's certificate", tuning=True),
        "insecure": Option(bool, default=False, help="do not verify the certificate", tuning=True),
        "allow_plaintext": Option(
            bool, default=False, help="send credentials without TLS to another machine", tuning=True
        ),
    }
    events = "net"
    aicore_api: ClassVar[int] = 1
    default_port = PORT

    _prefix: ClassVar[str] = "elasticsearch://"
    _client: Client | None = None
    _pool: ThreadPoolExecutor | None = None
    #: The server has let us in: credentials that it refuses later are being changed.
    _let_in = False

    @property
    def versions(self) -> bool:  # type: ignore[override]  # depends on the option
        """A document that was deleted is known for a minute only (index.gc_deletes)."""
        kept: bool = self.config["ended"] == "keep"
        return kept

    def check(self, url: AdaptorURL) -> None:
        """UsageError also for a CA file that is not there, and for credentials in clear text."""
        _, login = self._where(url)
        if login.ca is not None and not os.path.isfile(login.ca):
            raise UsageError(f"{url.scheme}: ca: there is no file {login.ca}")

    def connect(self, connection_str: str) -> None:
        """Logs in and writes the template. Fatal where the server refuses us, unless it let us in before; no answer is
        worth another attempt."""
        self.close()
        address, login = self._where(AdaptorURL.of(connection_str, self._prefix))
        if address.https and login.insecure:
            logger.warning("elastic: insecure=yes: the certificate of %s is not verified", address.hosts[0][0])
        self._index = address.index
        self._suffix = _PERIODS[self.config["period"]]
        self._most_indices = self.config["indices"]
        self._delete_ended = self.config["ended"] == "delete"
        self._documents = self.documents()
        self._names: dict[int, str] = {}  # day since the epoch -> index
        self._homes: dict[str, str] = {}  # flow_id -> index, of live flows
        self._rows = _ROWS
        try:
            client = self._open(address, login)
        except (ImportError, OSError, ValueError) as error:  # no driver, an unreadable CA file
            raise Fatal(f"{type(error).__name__}: {error}") from error
        self._client = client
        self._pool = ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="aicore-elastic")
        self._prepare(client)

    def write(self, batch: FlowBatch) -> list[RowError] | None:
        """Every row gets its answer. Where a request as a whole got none, its exception is raised."""
        client, pool = self._client, self._pool
        if client is None or pool is None:
            raise Fatal("not connected")
        indices = [self._names.get(ns // _DAY_NS) or self._name(ns // _DAY_NS) for ns in batch.column("first_seen")]
        errors = [
            RowError(
                row, "poison", f"it would be in one more than {self._most_indices} indices; see the option indices"
            )
            for row, index in enumerate(indices)
            if index is None
        ]
        actions = self._actions(batch, indices)
        sent: list[Future[list[RowError]]] = []
        while part := list(islice(actions, self._rows)):  # made here while earlier ones are on their way
            sent.append(pool.submit(self._send, client, part))
        wait(sent, return_when=FIRST_EXCEPTION)
        waiting = [future for future in sent if not future.cancel()]
        wait(waiting)  # so that a repeated write does not meet this one
        for future in waiting:
            errors += future.result()
        busy = next((error.reason for error in errors if error.reason.startswith(_BUSY)), None)
        if busy is not None:
            # Which rows an overloaded server lets through is chance, and no reason to give up the others: none counts
            # as delivered, and all are sent again.
            failed = {error.row for error in errors}
            return errors + [RowError(row, "retry", busy) for row in range(len(batch)) if row not in failed]
        if self._suffix:
            errors += self._move(client, batch, indices, {error.row for error in errors})
        return errors

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        if self._client is not None:
            self._client.close()
            self._client = None

    def _where(self, url: AdaptorURL) -> tuple[Address, Login]:
        address = Address.of(url)
        # A key may stand in a file, which the URL has read once more.
        login = Login(url.options.get("api_key", self.config["api_key"]), self.config["ca"], self.config["insecure"])
        secret = address.user is not None or login.api_key is not None
        if secret and not (address.https or address.loopback or self.config["allow_plaintext"]):
            raise UsageError(
                f"{url.scheme}: credentials go over TLS only: use the scheme with +https, or allow_plaintext=yes"
            )
        return address, login

    def documents(self) -> Documents:
        """How the records of the run become documents."""
        return Documents(self.context.fields if self.context else record_fields())

    def _open(self, address: Address, login: Login) -> Client:
        return ElasticsearchClient(address, login)

    def _prepare(self, client: Client) -> None:
        """Sees whether we are let in. The mapping is ours and written every time; the index template, with shards and
        lifecycle, is the user's from its first day on."""
        name = self._index
        try:
            try:
                client.info()
            except Exception as error:
                if status_of(error) != 403:  # known, but without the right to look at the cluster
                    raise
            if self.config["template"]:
                template = client.template(name)
                if not self.config["adopt"]:
                    self._see_owners(client, template)
                mappings = {"mappings": self._documents.mappings()}
                client.put_component(f"{name}-mappings", {"template": mappings, "_meta": META})
                if template is None:
                    # By century, because NAME-* would claim another's indices, too.
                    body = {
                        "index_patterns": [name, f"{name}-1*", f"{name}-2*"],
                        "composed_of": [f"{name}-mappings"],
                        "priority": 200,
                        "_meta": META,
                    }
                    client.put_template(name, body)
        except Exception as error:
            self.close()
            status = status_of(error)
            self.answered = self.answered or status is not None
            if status is None or status >= 500 or status in (408, 429):
                raise
            raise self._refused(error) from error
        self.answered = self._let_in = True

    def _see_owners(self, client: Client, template: Mapping[str, Any] | None) -> None:
        """Fatal for what somebody else has made under the names that we use."""
        name, component = self._index, f"{self._index}-mappings"
        found = client.component(component)
        if found is not None and found.get("_meta") != META:
            raise Fatal(f"the component template {component} is not aicore's; adopt=yes replaces it")
        if template is not None and component not in template.get("composed_of", ()):
            raise Fatal(
                f"the index template {name} is not aicore's: it has not got the mapping {component}; adopt=yes leaves"
                " it as it is"
            )
        for index, meta in client.indices(f"{name}-1*,{name}-2*" if self._suffix else name).items():
            if not self._suffix and index != name:
                raise Fatal(f"{name} is an alias or a data stream of {index}; adopt=yes writes to it")
            if meta != META:
                raise Fatal(f"the index {index} is not aicore's; adopt=yes writes into it")

    def _refused(self, error: Exception) -> Exception:
        """Where the answer is that we may not."""
        if self._let_in and status_of(error) == 401:
            return ConnectionError(f"the server refuses the log-in that it took before: {error}")
        return Fatal(f"the server refuses us: {error}")

    def _name(self, day: int) -> str | None:
        """The index of a day since the epoch. None if the run has used as many as it may: a capture with wild times
        must not fill the cluster with indices."""
        name = self._index + (_EPOCH + timedelta(days=day)).strftime(self._suffix)
        if len({*self._names.values(), name}) > self._most_indices:
            return None
        self._names[day] = name
        return name

    def _actions(self, batch: FlowBatch, indices: Sequence[str | None]) -> Iterator[tuple[int, bytes]]:
        """Row and lines of each action of a bulk request."""
        rows = zip(
            indices,
            batch.column("event"),
            batch.column("flow_id"),
            batch.column("version"),
            self._documents.of(batch),
            strict=True,
        )
        for row, (index, event, flow_id, version, document) in enumerate(rows):
            if index is None:
                continue
            if event == "remove" and self._delete_ended:
                yield row, _delete(index, flow_id, version)
            else:
                line = (
                    f'{{"index":{{"_index":"{index}","_id":"{flow_id}","version":{version},'
                    '"version_type":"external_gte"}}\n'
                )
                yield row, b"%b%b\n" % (line.encode(), document)

    def _move(
        self, client: Client, batch: FlowBatch, indices: Sequence[str | None], failed: set[int]
    ) -> list[RowError]:
        """A packet out of order can bring a flow's first_seen, and so its document, to an earlier index: then the
        document that was written before goes. `_homes` remembers where live flows are, so it is as large as the
        core's flow tables at most."""
        homes = self._homes
        rows = [
            (row, index, event, flow_id, version)
            for row, (index, event, flow_id, version) in enumerate(
                zip(indices, batch.column("event"), batch.column("flow_id"), batch.column("version"), strict=True)
            )
            if row not in failed and index is not None
        ]
        moved = [
            (row, _delete(home, flow_id, version))
            for row, index, _, flow_id, version in rows
            if (home := homes.get(flow_id, index)) != index
        ]
        errors = self._send(client, moved) if moved else []
        failed = {error.row for error in errors}
        for row, index, event, flow_id, _ in rows:
            if event == "remove" and row not in failed:
                homes.pop(flow_id, None)
            elif row not in failed:
                homes[flow_id] = index
        return errors

    def _send(self, client: Client, actions: Sequence[tuple[int, bytes]]) -> list[RowError]:
        """One request, or several where the server, or a proxy, finds it too large."""
        try:
            answer = client.bulk(b"".join(lines for _, lines in actions))
        except Exception as error:
            status = status_of(error)
            if status == 413 and len(actions) > 1:
                half = len(actions) // 2
                self._rows = min(self._rows, half)
                return self._send(client, actions[:half]) + self._send(client, actions[half:])
            if status == 413:
                return [RowError(actions[0][0], "poison", "the document alone is too large for the server")]
            if status in (401, 403, 404):
                raise self._refused(error) from error
            if not isinstance(error, OSError) and (status is None or status >= 500 or status in (408, 429)):
                raise Unreachable(f"{type(error).__name__}: {error}") from error
            raise
        items = answer.get("items", ())
        if len(items) != len(actions):
            raise Unreachable(f"the server answered {len(items)} of {len(actions)} actions")
        if not answer["errors"]:
            return []
        judged = (_judged(row, item) for (row, _), item in zip(actions, items, strict=True))
        return [error for error in judged if error is not None]


class OpensearchAdaptor(ElasticsearchAdaptor):
    """OpenSearch through opensearch-py, which the extra `opensearch` installs."""

    _prefix = "opensearch://"

    def _open(self, address: Address, login: Login) -> Client:
        return OpensearchClient(address, login)


def _delete(index: str, flow_id: str, version: int) -> bytes:
    return (
        f'{{"delete":{{"_index":"{index}","_id":"{flow_id}","version":{version},"version_type":"external_gte"}}}}\n'
    ).encode()


def _judged(row: int, item: Mapping[str, Mapping[str, Any]]) -> RowError | None:
    """What one item of a bulk answer means; None: done, also where the store has a later version already."""
    ((action, result),) = item.items()
    status: int = result["status"]
    if status < 300 or status == 409 or (status == 404 and action == "delete" and "error" not in result):
        return None
    error = result.get("error", {})
    kind = error.get("type", "")
    cause = error.get("caused_by", {}).get("reason")
    reason = f"{status} {kind}: {error.get('reason')}" + (f" ({cause})" if cause else "")
    if status == 429 or status >= 500 or kind in _RETRY:
        return RowError(row, "retry", reason)
    if status == 400 and kind not in _FATAL:
        return RowError(row, "poison", reason)
    return RowError(row, "fatal", reason)

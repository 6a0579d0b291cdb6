# SPDX-License-Identifier: Apache-2.0
"""The adaptor: options and life cycle. The driver is imported in `connect`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aicore import AdaptorURL, DatabaseAdaptor, Option
from aicore.errors import Fatal, RowError, UsageError
from aicore_cassandra.tables import flows_layout, seed_layout
from aicore_cassandra.target import PORT, parse_target, plain_name

if TYPE_CHECKING:
    from aicore import FlowBatch
    from aicore_cassandra.store import Store

_CONSISTENCY = ("one", "two", "three", "quorum", "all", "local_quorum", "each_quorum", "local_one")
_TTL_MAX = 630_720_000  # 20 years, Cassandra's own bound


class CassandraAdaptor(DatabaseAdaptor):
    """See README.md for the tables and their queries."""

    options = {
        "create": Option(bool, default=False, help="make keyspace, tables and columns that are missing", tuning=True),
        "adopt": Option(bool, default=False, help="add columns also to a table that is not aicore's", tuning=True),
        "table": Option(plain_name, default="flows", help="table of the flows; that of the hosts is TABLE_by_host"),
        "by_host": Option(bool, default=True, help="also write the table by host, for both ends of each flow"),
        "ended": Option(str, default="keep", choices=("keep", "delete"), help="what becomes of ended flows"),
        "ttl": Option(
            int, default=0, minimum=0, maximum=_TTL_MAX, help="seconds from a flow's last record; 0: for good"
        ),
        "preset": Option(
            str,
            default="flows",
            choices=("flows", "seed"),
            help="flows: a row for each flow with its whole record; seed: a row for each key with bytes, layer7,"
            " layer7info",
        ),
        "consistency": Option(
            str, default="local_quorum", choices=_CONSISTENCY, help="replicas that must have a row", tuning=True
        ),
        "replication": Option(
            int, default=1, minimum=1, help="copies in each data centre, of a keyspace that is made", tuning=True
        ),
    }
    events = "net"
    aicore_api = 1
    default_port = PORT

    _store: Store | None = None
    #: The server has let us in: credentials that it refuses later are being changed.
    _let_in = False

    @property
    def versions(self) -> bool:  # type: ignore[override]  # depends on the option
        """A row that was deleted is known until its deletion is purged, after some hours."""
        kept: bool = self.config["ended"] == "keep"
        return kept

    def check(self, url: AdaptorURL) -> None:
        parse_target(url)
        if self.config["preset"] == "seed" and "by_host" in url.options:
            raise UsageError("cassandra: option by_host means nothing with preset=seed")

    def connect(self, connection_str: str) -> None:
        """Fatal for wrong rights or tables, and for credentials unless the server has let us in before; UsageError for
        a URL that cannot be; what the driver raises, and ConnectionError, where another attempt makes sense."""
        from aicore_cassandra.link import NotLetIn, answered
        from aicore_cassandra.store import Store

        parse_target(connection_str)
        seed = self.config["preset"] == "seed"
        table = self.config["table"]
        self.close()
        try:
            self._store = Store(
                lambda: parse_target(connection_str),
                seed_layout(table) if seed else flows_layout(table, self.config["by_host"]),
                create=self.config["create"],
                adopt=self.config["adopt"],
                delete=self.config["ended"] == "delete",
                ttl=self.config["ttl"],
                consistency=self.config["consistency"],
                replication=self.config["replication"],
            )
        except NotLetIn as error:
            self.answered = True
            if self._let_in:
                raise
            raise Fatal(str(error)) from error
        except Exception as error:
            self.answered = self.answered or answered(error)
            raise
        self.answered = self._let_in = True

    def write(self, batch: FlowBatch) -> Sequence[RowError]:
        """A few batches of statements, several in flight; the answer names rows of which any statement failed."""
        if self._store is None:
            raise Fatal("cassandra: not connected")
        return self._store.write(batch)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

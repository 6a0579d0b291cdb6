# SPDX-License-Identifier: Apache-2.0
"""The adaptor: options and life cycle. The driver is imported in `connect`."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aicore import AdaptorURL, DatabaseAdaptor, Option, record_fields
from aicore.errors import Fatal, RowError, UsageError
from aicore_postgres.target import PORT, parse_target, table_name

if TYPE_CHECKING:
    from aicore import FlowBatch
    from aicore_postgres.store import Store

logger = logging.getLogger("aicore")


class PostgresAdaptor(DatabaseAdaptor):
    """See README.md for the table, its queries and the rights that a role needs."""

    options = {
        "table": Option(table_name, default="flows", help="table of the flows, also as schema.table"),
        "create": Option(
            bool, default=False, help="make the table, columns and partitions that are missing", tuning=True
        ),
        "adopt": Option(
            bool, default=False, help="with create=yes: add columns also to a table that is not aicore's", tuning=True
        ),
        "mode": Option(
            str,
            default="upsert",
            choices=("upsert", "append"),
            help="upsert: one row per flow, its latest record; append: a row for each record, without a key",
        ),
        "ended": Option(str, default="keep", choices=("keep", "delete"), help="what becomes of ended flows"),
        "partition": Option(
            str,
            default="none",
            choices=("none", "day", "hypertable"),
            help="day: a partition for each day (UTC) of `opened`; hypertable: TimescaleDB's",
        ),
        "partitions": Option(int, default=366, minimum=1, help="partition=day: partitions that a run may write to"),
        "ttl": Option(
            int, default=0, minimum=0, help="seconds after a flow's last packet until its row goes; 0: for good"
        ),
        "ca": Option(str, help="PEM file of the authority that signed the server's certificate", tuning=True),
        "insecure": Option(bool, default=False, help="do not verify the certificate", tuning=True),
        "allow_plaintext": Option(
            bool, default=False, help="do without TLS also to another machine, if the server does", tuning=True
        ),
    }
    events = "net"
    aicore_api = 1
    default_port = PORT

    _store: Store | None = None
    _where: str = ""
    #: The server has let us in: credentials that it refuses later are being changed.
    _let_in = False

    @property
    def versions(self) -> bool:  # type: ignore[override]  # depends on the option
        """Nothing is known of a row that was deleted."""
        kept: bool = self.config["ended"] == "keep"
        return kept

    def check(self, url: AdaptorURL) -> None:
        parse_target(url)
        if self.config["mode"] == "append" and self.config["ended"] == "delete":
            raise UsageError("postgres: mode=append deletes nothing: leave out ended=delete")
        if "partitions" in url.options and self.config["partition"] != "day":
            raise UsageError("postgres: option partitions means nothing without partition=day")
        ca = self.config["ca"]
        if ca is not None and self.config["insecure"]:
            raise UsageError("postgres: ca and insecure exclude each other")
        if ca is not None and not os.path.isfile(ca):
            raise UsageError(f"postgres: ca: there is no file {ca}")

    def connect(self, connection_str: str) -> None:
        """Fatal for wrong rights or tables, and for credentials unless the server has let us in before; UsageError for
        a URL that cannot be; OSError where another attempt makes sense."""
        from aicore_postgres.link import NotLetIn, Unreachable
        from aicore_postgres.store import Store

        config = self.config
        self.close()
        target = parse_target(connection_str)
        if config["insecure"]:
            logger.warning("postgres: insecure=yes: the certificate of %s is not verified", target.hosts[0][0])
        parameters = target.parameters(
            ca=config["ca"], insecure=config["insecure"], allow_plaintext=config["allow_plaintext"]
        )
        try:
            self._store = Store(
                parameters,
                config["table"],
                self.context.fields if self.context else record_fields(),
                create=config["create"],
                adopt=config["adopt"],
                append=config["mode"] == "append",
                delete=config["ended"] == "delete",
                partition=config["partition"],
                partitions=config["partitions"],
                ttl=config["ttl"],
            )
        except Unreachable as error:
            self.answered = self.answered or error.answered
            if isinstance(error, NotLetIn) and not self._let_in:
                raise Fatal(str(error)) from error
            raise
        self.answered = self._let_in = True
        self._where = connection_str

    def write(self, batch: FlowBatch) -> Sequence[RowError]:
        """One transaction. The answer names rows that the server refuses."""
        if self._store is None:
            raise Fatal("postgres: not connected")
        if self._store.closed:
            # By an error before; what was opened by URL is connected again by the delivery, a program's object here.
            self.connect(self._where)
        return self._store.write(batch)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

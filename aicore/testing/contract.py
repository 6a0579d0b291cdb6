# SPDX-License-Identifier: Apache-2.0
"""What every adaptor must keep: abstract tests, which an adaptor's author runs against the real store.

    class TestMine(AdaptorContract):
        lacks = {"versions"}                      # what the store cannot do: those tests are skipped, with this word

        @pytest.fixture
        def store(self, tmp_path):
            return Store(f"mine:{tmp_path}/flows", records=lambda: read_back(tmp_path))

`records` reads the store through its own client and gives the records that it holds, in any order: dicts with the
names of the schema, absent values left out or None, times as integers (ns) or as in the JSON record; a value that the
store has in another form is declared in `forms`. It is also called while the adaptor is open, as what was written must
be there then; where a process can open the store only once, let it read in a process of its own.

A store behind a server is cut off for a moment, and must get what comes then: by a proxy of the kit, where the URL
names one host and its port, else by `restart`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from aicore.delivery import Delivery
from aicore.errors import AicoreError, RowError
from aicore.plugins.adaptor import DatabaseAdaptor
from aicore.plugins.discovery import open_adaptor
from aicore.plugins.url import AdaptorURL
from aicore.record.batch import FlowBatch
from aicore.record.schema import Field
from aicore.run.standalone import record_fields, standalone_context
from aicore.testing.batches import event, flow_id, lives, make_batch
from aicore.testing.proxy import CutProxy

#: What `lacks` may name, and what it means.
CAPABILITIES = {
    "update": "the store only gets flows that have ended",
    "versions": "the store appends: of rows with one flow_id the reader takes the last",
    "ended": "there is no record of a flow's end: it is deleted, or its last update stands for it",
    "fields": "the store keeps some fields of the record, not all",
    "strings": "long strings are cut",
    "nonsense": "there is no URL that cannot be opened",
    "restart": "the server cannot be restarted, nor reached through a proxy",
}

#: How long a store may take to get what came while its server was away.
RETURN_SECONDS = 60.0

#: Text as packets bring it, after the core has made valid UTF-8 of it.
HOSTILE = [
    "plain.example",
    "",
    "nul \0 and bell \a",
    "\x1b]52;c;aGVsbG8=\a\x1b[2J",
    "quote \" and ' and \\ and `",
    "a\r\nSET x y\r\n",
    "'; DROP TABLE flows; --",
    "${jndi:ldap://x}",
    "\u202egpj.exe",
    "\u2028 \u2029 \x85",
    "😀 ä \ufeff \uffff",
    "caf\\xe9.example",
    "x" * 65_536,
]


#: Fields of a plugin, one of each type. Adaptors under test find them in their `context`, as in a run with that plugin;
#: a store that keeps some fields alone is given their names in its URL, or declares that it lacks `fields`.
TYPED = (
    Field("kittext", "str", "a text", protocol="kit"),
    Field("kitcount", "int", "an integer of 64 bits", protocol="kit"),
    Field("kitratio", "float", "a double", protocol="kit"),
    Field("kitflag", "bool", "true or false", protocol="kit"),
    Field("kittime", "time", "a time in nanoseconds", protocol="kit"),
    Field("kitwords", "list[str]", "texts", protocol="kit"),
    Field("kitsizes", "list[int]", "integers", protocol="kit"),
    Field("kitgaps", "list[float]", "doubles", protocol="kit"),
)


@dataclass
class Store:
    """A store under test."""

    url: str
    #: The records that it holds; also called while the adaptor is open.
    records: Callable[[], Iterable[Mapping[str, Any]]]
    #: Fields that the store's records have in another form: name -> function from the record's value to the store's.
    forms: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    #: Stops the server and starts it again, with what it holds. Without it the kit cuts connections by a proxy.
    restart: Callable[[], None] | None = None


class AdaptorContract:
    """Subclass it in a test module, and give the fixture `store`."""

    lacks: ClassVar[Collection[str]] = ()
    #: A URL of the adaptor that nobody answers, with the password `canary-4711` where its URLs have one.
    nonsense: ClassVar[str | None] = None

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("give a fixture `store` that returns an aicore.testing.Store")

    @pytest.fixture
    def adaptor(self, store: Store) -> Iterable[DatabaseAdaptor]:
        adaptor = connected(store)
        yield adaptor
        adaptor.close()

    @property
    def last(self) -> str:
        """The kind of event whose record stays in the store."""
        return "update" if "ended" in self.lacks else "remove"

    # -- helpers --------------------------------------------------------------------------------------------------

    def need(self, *capabilities: str) -> None:
        for name in capabilities:
            assert name in CAPABILITIES, f"unknown capability {name!r}"
            if name in self.lacks:
                pytest.skip(f"declared: {CAPABILITIES[name]}")

    def held(self, store: Store) -> dict[str, Mapping[str, Any]]:
        """The store's records by flow_id; of several, as an appending store has them, the last."""
        records = list(store.records())
        found = {record["flow_id"]: record for record in records}
        if "versions" not in self.lacks:
            assert len(found) == len(records), "one flow stands twice in the store"
        return found

    def check(self, store: Store, expected: FlowBatch) -> None:
        """The store holds these records, whole."""
        held = self.held(store)
        assert held.keys() == {flow.flow_id for flow in expected}
        for flow, text in zip(expected, expected.json(), strict=True):
            record, found = json.loads(text), held[flow.flow_id]
            numbers = flow.to_dict()
            for name, value in record.items():
                if "fields" in self.lacks and name not in found:
                    continue
                wanted = store.forms[name](value) if name in store.forms else value
                got = found.get(name)
                same = got == wanted or got == numbers.get(name)
                assert same, f"{name} of {flow.key}: the store has {got!r:.200}, the record {wanted!r:.200}"

    # -- tests ----------------------------------------------------------------------------------------------------

    def test_a_flows_life_leaves_its_last_record(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        self.need("ended")
        batch = lives(range(10), updates=3)
        write(adaptor, batch)
        adaptor.close()
        self.check(store, batch.kind("remove") or pytest.fail("no remove"))

    def test_a_live_flow_can_be_seen(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        self.need("update")
        write(adaptor, make_batch(3, kind="insert"))
        later = make_batch(3, kind="update", version=10)
        write(adaptor, later)
        adaptor.close()
        self.check(store, later)

    def test_an_ended_flow_of_a_key_and_a_new_one_of_it(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        self.need("ended")
        same = {"ipsrc": "10.0.0.9", "portsrc": 9}
        rows = [
            event("insert", 1, 1, **same),
            event("remove", 1, 2, **same),
            event("insert", 2, 3, **same),
            event("remove", 2, 4, **same),
        ]
        write(adaptor, FlowBatch.from_rows(rows))
        adaptor.close()
        held = self.held(store)
        assert flow_id(2) in held
        assert {record["key"] for record in held.values()} == {"10.0.0.9:9:6:192.0.2.1:443"}

    def test_writing_a_batch_again_changes_nothing(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        self.need("ended", "versions")
        batch = lives(range(10))
        write(adaptor, batch)
        before = self.held(store)
        write(adaptor, batch)
        adaptor.close()
        assert self.held(store) == before

    def test_an_older_version_never_replaces_a_newer(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        self.need("update", "versions")
        new, old = make_batch(5, version=1000), make_batch(5, version=1)
        write(adaptor, new)
        write(adaptor, old)
        adaptor.close()
        self.check(store, new)

    @pytest.mark.parametrize("size", [1, 1024, 5000])
    def test_batches_of_any_size(self, store: Store, adaptor: DatabaseAdaptor, size: int) -> None:
        batch = make_batch(size, kind=self.last)
        write(adaptor, batch)
        adaptor.close()
        self.check(store, batch)

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_any_text_is_only_text(self, store: Store, adaptor: DatabaseAdaptor, text: str) -> None:
        if len(text) > 1024:
            self.need("strings")  # the core cuts at 1 KiB; plugins may bring more
        batch = make_batch(2, kind=self.last, sslhost=text, httpuri=text, useragent=text, layer7="tls")
        errors: Sequence[RowError] = adaptor.write(batch) or ()
        adaptor.close()
        assert {error.kind for error in errors} <= {"poison"}
        refused = {error.row for error in errors}
        rows = [row for row in range(2) if row not in refused]
        self.check(store, batch.take(rows))

    def test_the_largest_and_the_absent(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        most = (1 << 63) - 1
        full = event(self.last, 1, 1, bytes=most, packets=most, src_bytes=most, dnsips=["192.0.2.1", "2001:db8::1"])
        full |= {"ipsrc": "2001:db8::1", "ipdst": "::1", "vlan": 4094, "tunnel": "vxlan:7", "anomaly": "bad_udp_length"}
        bare = {name: full[name] for name in ("event", "version", "flow_id", "proto", "first_seen", "last_seen")}
        bare |= {"flow_id": flow_id(2), "ipsrc": "192.0.2.1", "ipdst": "192.0.2.2", "portsrc": 1, "portdst": 2}
        batch = FlowBatch.from_rows([full, bare])
        write(adaptor, batch)
        adaptor.close()
        self.check(store, batch)
        absent = self.held(store)[flow_id(2)]
        assert absent.get("sslhost") in (None, "")
        assert absent.get("dnsips") in (None, [], ())

    def test_fields_of_every_type(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        """What a plugin may declare, in its own type: a false or a zero is a value, and is not what is absent."""
        full: dict[str, Any] = {
            "kittext": "text",
            "kitcount": -(1 << 63),
            "kitratio": 0.1,
            "kitflag": True,
            "kittime": 1_700_000_000_123_456_789,
            "kitwords": ['a "b"', ""],
            "kitsizes": [1, -2, (1 << 63) - 1],
            "kitgaps": [0.1, -2.5],
        }
        zero: dict[str, Any] = {"kitcount": 0, "kitratio": 0.0, "kitflag": False, "kittime": 0, "kitgaps": [0.0]}
        records = [event(self.last, n, n + 1, **fields) for n, fields in enumerate((full, zero, {}))]
        batch = FlowBatch.from_rows(records, TYPED)
        write(adaptor, batch)
        adaptor.close()
        self.check(store, batch)
        held = self.held(store)
        for row, present in ((1, zero.keys()), (2, ())):
            for typed in TYPED:
                if typed.name not in present:
                    assert held[flow_id(row)].get(typed.name) in (None, "", [], ()), f"{typed.name} is absent"

    def test_fields_that_came_later(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        """A plugin is added, or a protocol: the store grows, or goes on without the new field, but takes the rows."""
        write(adaptor, make_batch(2, kind=self.last))
        grown = make_batch(2, kind=self.last, first=2, version=9, newfield="x", newnumber=7)
        write(adaptor, grown)
        adaptor.close()
        assert self.held(store).keys() == {flow_id(n) for n in range(4)}

    def test_a_record_replaces_what_was_there(self, store: Store, adaptor: DatabaseAdaptor) -> None:
        """Another run has fewer plugins: what its records lack must not stay of the earlier ones."""
        write(adaptor, make_batch(2, kind=self.last, dnsdomain="a.example", dnsips=["192.0.2.1"], newfield="x"))
        later = make_batch(2, kind=self.last, version=10)
        write(adaptor, later)
        adaptor.close()
        self.check(store, later)
        for record in self.held(store).values():
            for name in ("dnsdomain", "dnsips", "newfield"):
                assert record.get(name) in (None, "", [], (), "[]"), f"{name} is of the earlier record"

    def test_closing_twice_and_opening_again(self, store: Store) -> None:
        for first in (0, 2):
            adaptor = connected(store)
            write(adaptor, make_batch(2, kind=self.last, first=first, version=first + 1))
            adaptor.close()
            adaptor.close()
        assert self.held(store).keys() == {flow_id(n) for n in range(4)}

    def test_it_comes_back_after_its_server_did(self, store: Store) -> None:
        """Most drivers do not by themselves: aicore closes and connects again once `write` has raised ConnectionError
        or TimeoutError. A driver's own exceptions must be turned into these."""
        self.need("restart")
        whole = make_batch(20, kind=self.last)
        with _breakable(store) as (url, away):
            adaptor = opened(url)
            delivery = Delivery(
                "contract",
                adaptor,
                live=True,
                events=adaptor.events,
                transports={6, 17},
                url=adaptor.url,
                backoff=(0.05, 0.5),
            )
            delivery.start()
            try:
                delivery.put(whole.take(range(10)))
                _until(lambda: delivery.counters()["delivered"] == 10, 30)
                with away():
                    delivery.put(whole.take(range(10, 20)))
                _until(lambda: delivery.counters()["delivered"] == 20, RETURN_SECONDS)
            finally:
                delivery.finish(5)
        assert delivery.counters()["delivered"] == 20, f"it did not come back: {delivery.error}"
        self.check(store, whole)

    def test_what_cannot_be_opened_is_one_clear_line(self) -> None:
        self.need("nonsense")
        assert self.nonsense is not None, "give `nonsense`, or declare that it is lacking"
        with pytest.raises(Exception) as error:  # noqa: PT011  # AicoreError, or whatever the driver raises
            connected(Store(self.nonsense, records=list))
        assert "canary-4711" not in f"{error.value} {error.value!r}"
        if isinstance(error.value, AicoreError):
            assert "\n" not in str(error.value)


def opened(url: str) -> DatabaseAdaptor:
    """The adaptor of a URL, made as a run does it."""
    adaptor = open_adaptor(url)
    assert isinstance(adaptor, DatabaseAdaptor)
    adaptor.context = standalone_context((*record_fields(), *TYPED))
    return adaptor


def connected(store: Store) -> DatabaseAdaptor:
    """The adaptor of the store's URL, connected as a run does it."""
    adaptor = opened(store.url)
    assert adaptor.url is not None
    adaptor.connect(adaptor.url)
    return adaptor


@contextmanager
def _breakable(store: Store) -> Iterator[tuple[str, Callable[[], AbstractContextManager[None]]]]:
    """A URL of the store, and what takes the server away for the time of a `with`."""
    if store.restart is not None:
        restart = store.restart

        @contextmanager
        def restarted() -> Iterator[None]:
            restart()
            yield

        yield store.url, restarted
        return
    url = AdaptorURL.parse(store.url)
    if not url.hosts:
        pytest.skip("the URL names no server; give Store(restart=...) if there is one")
    host, port = url.hosts[0]
    assert len(url.hosts) == 1, "several hosts: give Store(restart=...), or declare that it is lacking"
    assert port is not None, "the URL names no port: give Store(restart=...), or declare that it is lacking"
    with CutProxy(host, port) as proxy:

        @contextmanager
        def cut() -> Iterator[None]:
            proxy.cut()
            yield
            time.sleep(1.0)  # for as long as a quick restart takes at least
            proxy.mend()

        written = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        yield store.url.replace(written, f"127.0.0.1:{proxy.port}", 1), cut


def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Waits for it, but not longer."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def write(adaptor: DatabaseAdaptor, batch: FlowBatch) -> None:
    """Delivers the batch as the delivery does, in the form that the adaptor asks for; nothing may be refused."""
    assert not adaptor.write(batch.net() if adaptor.events == "net" else batch)

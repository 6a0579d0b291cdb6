# SPDX-License-Identifier: Apache-2.0
"""Databases that the tests write, and a free one where its package is installed."""

from __future__ import annotations

import importlib.util
import json
import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aicore_geoip import Geoip
from captures.build import http
from captures.files import talks
from commandline import invoke
from mmdb_writer import MMDBWriter
from netaddr import IPSet

import aicore
from aicore.plugins.discovery import Plugins

CLIENT, SERVER, SERVER6 = "81.2.69.142", "8.8.8.8", "2001:4860:4860::8888"
CITY = {"country": {"iso_code": "GB"}, "city": {"names": {"en": "London", "de": "London (de)"}}}
PLACES = {
    "81.2.69.0/24": CITY,
    "8.8.8.0/24": {"country": {"iso_code": "US"}},
    "2001:4860::/32": {"country": {"iso_code": "IE"}},
}
FIELDS = {side + name for side in ("src", "dst") for name in ("country", "city", "asn", "asorg")}
SYSTEMS = {"8.8.8.0/24": {"autonomous_system_number": 15169, "autonomous_system_organization": "GOOGLE"}}


def mmdb(path: Path, networks: Mapping[str, Mapping[str, Any]], version: int = 6) -> Path:
    """Written beside and renamed, as a file in use must be replaced."""
    writer = MMDBWriter(version, "Test", ipv4_compatible=version == 6, int_type="u32")
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), dict(record))
    new = path.with_suffix(".new")
    writer.to_db_file(str(new))
    return new.rename(path)


@pytest.fixture
def city(tmp_path: Path) -> Path:
    return mmdb(tmp_path / "city.mmdb", PLACES)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    visits = talks(http(client=CLIENT, server=SERVER), http(40001, client="2001:db8::1", server=SERVER6))
    return visits.write(tmp_path / "visits.pcap")


def opened(db: object) -> Any:
    plugin = Plugins().make("hook", "geoip", {"db": db})
    plugin.check()
    return plugin


def enriched(plugin: Any, src: str, dst: str) -> dict[str, Any]:
    batch = aicore.FlowBatch.from_rows([{"ipsrc": src, "ipdst": dst}])
    plugin.flow_enrich(batch)
    return {name: value for name, value in batch.row(0).items() if name in FIELDS}


def test_flows_of_a_capture_have_both_ends(city: Path, capture: Path) -> None:
    with aicore.flows(capture, plugins=[f"geoip?db={city}"]) as flows:
        found = {flow.ipsrc: (flow.srccountry, flow.srccity, flow.dstcountry, flow.dstcity) for flow in flows}
    assert found == {CLIENT: ("GB", "London", "US", None), "2001:db8::1": (None, None, "IE", None)}


def test_only_what_the_database_has(tmp_path: Path, capture: Path) -> None:
    systems = mmdb(tmp_path / "asn.mmdb", SYSTEMS)
    with aicore.flows(capture, plugins=[f"geoip?db={systems}"]) as flows:
        batch = aicore.FlowBatch.concat(list(flows.batches()))
    # A run's schema does not depend on the files, so that a reload may bring others: what they lack is null.
    assert {name for name in FIELDS if any(batch.valid(name))} == {"dstasn", "dstasorg"}
    assert [batch.row(n).get("dstasn") for n in range(len(batch))].count(15169) == 1


def test_several_files_are_joined_and_the_first_that_knows_wins(tmp_path: Path, city: Path) -> None:
    more = {"8.8.8.0/24": {**SYSTEMS["8.8.8.0/24"], "country": {"iso_code": "XX"}, "city": {"names": {"en": "Lima"}}}}
    plugin = opened(f"{city}, {mmdb(tmp_path / 'more.mmdb', more)}")
    assert enriched(plugin, "192.0.2.1", SERVER) == {
        "dstcountry": "US", "dstcity": "Lima", "dstasn": 15169, "dstasorg": "GOOGLE",
    }  # fmt: skip


def test_flat_records_and_values_of_a_wrong_type(tmp_path: Path) -> None:
    flat: dict[str, dict[str, Any]] = {
        "8.8.8.0/24": {"country_code": "US", "city": "Lima"},
        "9.9.9.0/24": {"country": {"iso_code": 7}, "city": {"names": "x"}},
    }
    plugin = opened([str(mmdb(tmp_path / "flat.mmdb", flat))])
    assert enriched(plugin, "9.9.9.9", SERVER) == {"dstcountry": "US", "dstcity": "Lima"}


def test_an_ipv6_address_is_unknown_to_an_ipv4_database(tmp_path: Path) -> None:
    plugin = opened(str(mmdb(tmp_path / "v4.mmdb", {"8.8.8.0/24": PLACES["8.8.8.0/24"]}, version=4)))
    assert enriched(plugin, CLIENT, SERVER) == {"dstcountry": "US"}
    assert enriched(plugin, SERVER6, SERVER6) == {}


def test_fields_are_declared_in_ecs_names() -> None:
    assert {field.name: field.ecs for field in Geoip.fields} == {
        f"{short}{name}": f"{side}.{path}"
        for short, side in (("src", "source"), ("dst", "destination"))
        for name, path in (
            ("country", "geo.country_iso_code"),
            ("city", "geo.city_name"),
            ("asn", "as.number"),
            ("asorg", "as.organization.name"),
        )
    }
    listed = invoke("fields", "--json")
    assert listed.exit_code == 0, listed.output
    assert "srcasorg" in {field["name"] for field in json.loads(listed.output)}


def test_command_line_into_sqlite(city: Path, capture: Path, tmp_path: Path) -> None:
    result = invoke("run", capture, "--plugin", f"geoip?db={city}", "--to", f"sqlite:{tmp_path / 'f.db'}")
    assert result.exit_code == 0, result.output
    with sqlite3.connect(tmp_path / "f.db") as store:
        rows = store.execute("select srccountry, srccity, dstcountry from flows order by ipsrc desc").fetchall()
    store.close()
    assert rows == [("GB", "London", "US"), (None, None, "IE")]


@pytest.mark.parametrize("content", [None, b"", b"no database", b"\0" * 200000])
def test_a_missing_or_broken_file_is_one_clear_error(content: bytes | None, capture: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mmdb"
    if content is not None:
        path.write_bytes(content)
    result = invoke("run", capture, "--plugin", f"geoip?db={path}", "--to", f"sqlite:{tmp_path / 'f.db'}")
    assert result.exit_code == 2
    assert f"{path}: " in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "f.db").exists()


def test_a_cut_file_is_refused(city: Path, tmp_path: Path) -> None:
    whole = city.read_bytes()
    tail = whole.rindex(b"\xab\xcd\xefMaxMind.com")
    (tmp_path / "cut.mmdb").write_bytes(whole[:200] + whole[tail:])
    with pytest.raises(aicore.UsageError, match=r"cut\.mmdb: "):
        opened(str(tmp_path / "cut.mmdb"))


def test_without_db(tmp_path: Path) -> None:
    with pytest.raises(aicore.UsageError, match="needs the option db"):
        Plugins().make("hook", "geoip", {})
    with pytest.raises(aicore.UsageError, match="needs the option db"):
        aicore.flows(talks(http()).write(tmp_path / "visit.pcap"), plugins=[Geoip()])


def test_reload_takes_the_new_file_and_keeps_the_old_one_if_it_is_broken(city: Path) -> None:
    plugin = opened(str(city))
    assert enriched(plugin, CLIENT, SERVER)["dstcountry"] == "US"
    mmdb(city, {"8.8.8.0/24": {"country": {"iso_code": "CL"}, **SYSTEMS["8.8.8.0/24"]}})
    plugin.reload()
    found = {"dstcountry": "CL", "dstasn": 15169, "dstasorg": "GOOGLE"}
    assert enriched(plugin, CLIENT, SERVER) == found
    city.with_suffix(".bad").write_bytes(b"junk")
    city.with_suffix(".bad").rename(city)
    with pytest.raises(ValueError, match="city"):
        plugin.reload()
    assert enriched(plugin, CLIENT, SERVER) == found


def test_reload_of_a_run(city: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Replace:
        """Replaces the file after the first batch and asks for a reload."""

        def __init__(self) -> None:
            self.seen: list[str] = []

        @aicore.hookimpl
        def flow_remove(self, flows: aicore.FlowBatch) -> None:
            first = not self.seen
            self.seen += flows.column("dstcountry")
            if first:
                mmdb(city, {"8.8.8.0/24": {"country": {"iso_code": "CL"}}})
                assert pd._run is not None
                pd._run.reload()

    visits = talks(*(http(40000 + i, client=CLIENT, server=SERVER) for i in range(40)), gap=60)
    stack, replace = aicore.StackLan(batch_rows=2), Replace()
    stack.use("geoip", db=str(city))
    stack.use(replace)
    with caplog.at_level(logging.ERROR, "aicore"), aicore.PacketDispatcher(visits.write(tmp_path / "v.pcap")) as pd:
        pd.stack = stack
        pd.run()
    assert set(replace.seen[:1] + replace.seen[-30:]) == {"US", "CL"}
    assert replace.seen == sorted(replace.seen, reverse=True), "a reload is between two batches"
    assert not caplog.records


def test_a_free_database_from_a_package() -> None:
    spec = importlib.util.find_spec("_maxminddb_geolite2")
    if spec is None or spec.origin is None:
        pytest.skip("maxminddb-geolite2 is not installed (GeoLite2 City of 2018, 26 MB)")
    plugin = opened(str(Path(spec.origin).parent / "GeoLite2-City.mmdb"))
    assert enriched(plugin, "81.2.69.142", "8.8.8.8")["dstcountry"] == "US"
    assert enriched(plugin, SERVER6, "2001:db8::1") == {"srccountry": "US", "srccity": "Mountain View"}

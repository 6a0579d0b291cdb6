# SPDX-License-Identifier: Apache-2.0
"""Lists in files: what matches, what is left out, what a run shows."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from aicore_reputation import Reputation
from captures.build import dns, dns_many, http, tls
from captures.files import talks
from commandline import invoke

import aicore
from aicore.plugins.discovery import Plugins

BAD = """\
# entry,score
192.0.2.7
192.0.2.0/24, 60     # a network
192.0.0.0/16,10
2001:db8::/32,70
Example.COM.,80
*.deep.example.org,20
b\u00fccher.example,33
com,5
"""


@pytest.fixture
def capture_file(tmp_path: Path) -> Path:
    return talks(http()).write(tmp_path / "visit.pcap")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.txt"
    path.write_text(BAD, "utf-8")
    return path


def opened(*paths: Path) -> Any:
    plugin = Plugins().make("hook", "reputation", {"lists": ",".join(map(str, paths))})
    plugin.check()
    return plugin


def found(plugin: Any, **record: object) -> tuple[Any, ...]:
    batch = aicore.FlowBatch.from_rows([{"ipsrc": "10.0.0.1", "ipdst": "10.0.0.2", **record}])
    plugin.flow_enrich(batch)
    row = batch.row(0)
    return row.get("reputation"), row.get("reputationlist"), row.get("reputationmatch")


@pytest.mark.parametrize(
    ("record", "score", "entry"),
    [
        ({"ipdst": "192.0.2.7"}, 100, "192.0.2.7"),
        ({"ipsrc": "192.0.2.8"}, 60, "192.0.2.0/24"),
        ({"ipdst": "192.0.9.9"}, 10, "192.0.0.0/16"),
        ({"ipdst": "192.1.0.1"}, None, None),
        ({"ipsrc": "2001:dead::1", "ipdst": "2001:db8::5"}, 70, "2001:db8::/32"),
        ({"httphost": "example.com"}, 80, "example.com"),
        ({"sslhost": "A.B.EXAMPLE.com"}, 80, "example.com"),
        ({"dnsdomain": "example.com."}, 80, "example.com"),
        ({"httphost": "notexample.com"}, 5, "com"),
        ({"httphost": "example.com:8080"}, 80, "example.com"),
        ({"httphost": "192.0.2.7:81"}, 100, "192.0.2.7"),
        ({"httphost": "[2001:db8::1]:81"}, 70, "2001:db8::/32"),
        ({"sslhost": "xn--bcher-kva.example"}, 33, "xn--bcher-kva.example"),
        ({"sslhost": "www.b\u00fccher.example"}, 33, "xn--bcher-kva.example"),
        ({"sslhost": "deep.example.org"}, 20, "deep.example.org"),
        ({"httphost": "example.org"}, None, None),
        ({"ipdst": "192.0.2.8", "sslhost": "example.com"}, 80, "example.com"),
        ({"httphost": "fe80::1%lo"}, None, None),
        ({"httphost": "a.net", "httphosts": ["a.net", "b.net", "example.com:81"]}, 80, "example.com"),
        ({"dnsdomain": "notexample.com", "dnsdomains": ["notexample.com", "192.0.2.7"]}, 100, "192.0.2.7"),
        ({"dnsdomain": "a.net", "dnsdomains": ["a.net", "", "b.com", "c.example.com"]}, 80, "example.com"),
        ({"sslhost": "example.com", "httphosts": ["b.com"]}, 80, "example.com"),
        ({"httphosts": ["a.net"], "dnsdomains": []}, None, None),
        ({"httphost": "\u00fc" * 60000}, None, None),
        ({"httphost": "...\x00\ufffd;drop"}, None, None),
        ({"httphost": ""}, None, None),
    ],
)
def test_what_matches(bad: Path, record: dict[str, object], score: int | None, entry: str | None) -> None:
    assert found(opened(bad), **record) == (score, score and "bad.txt", entry)


def test_each_name_that_a_client_sends(tmp_path: Path) -> None:
    """One resolver's flow with three questions; the third is listed."""
    (tmp_path / "l").write_text("c.example.org,42")
    path = dns_many().write(tmp_path / "many.pcap")
    (flow,) = aicore.flows(path, plugins=[f"reputation?lists={tmp_path}/l"])
    assert (flow.dnsdomain, flow.dnsdomains[2]) == ("a.example.org", "c.example.org")
    assert (flow.reputation, flow.reputationlist, flow.reputationmatch) == (42, "l", "c.example.org")


def test_the_highest_score_of_all_lists(bad: Path, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("192.0.2.8,90\nexample.com,80\n")
    plugin = opened(bad, tmp_path / "more")
    assert found(plugin, ipdst="192.0.2.8") == (90, "more", "192.0.2.8")
    assert found(plugin, sslhost="example.com") == (80, "bad.txt", "example.com"), "of equals the first list"


def test_a_wide_network_with_a_higher_score_wins_over_a_narrow_one(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("192.0.2.0/24,1\n192.0.0.0/16,50\n192.0.2.0/24,7\n192.0.2.0/24,3\n")
    assert found(opened(tmp_path / "l"), ipdst="192.0.2.1") == (50, "l", "192.0.0.0/16")
    (tmp_path / "l").write_text("192.0.2.0/24,1\n192.0.2.0/24,7\n192.0.2.0/24,3\n")
    assert found(opened(tmp_path / "l"), ipdst="192.0.2.1") == (7, "l", "192.0.2.0/24")


def test_broken_lines_are_counted_and_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = ["10.0.0.1/8", "10.0.0.0/40", "300.1.1.1", "a..b", "-", "x y", "fe80::1%lo", "\x1b[2J"]
    broken += ["a,b", "a,101", "a,-1", "a,1,2"]
    (tmp_path / "l").write_text("\n".join(("192.0.2.7", *broken)))
    plugin = opened(tmp_path / "l")
    assert plugin._lists[0].broken == len(broken)
    assert [record.getMessage() for record in caplog.records] == [
        f"reputation: {tmp_path / 'l'}: {len(broken)} broken lines left out, the first is line 2"
    ]
    assert found(plugin, ipsrc="192.0.2.7")[0] == 100


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe\x00", b"<html>no list</html>"])
def test_a_missing_or_broken_file_is_one_clear_error(content: bytes | None, capture_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "l"
    if content is not None:
        path.write_bytes(content)
    result = invoke("run", capture_file, "--plugin", f"reputation?lists={path}", "--to", f"sqlite:{tmp_path / 'f.db'}")
    assert result.exit_code == 2
    assert f"{path}: " in result.output
    assert "Traceback" not in result.output


def test_without_lists(capture_file: Path) -> None:
    for plugin in ("reputation", Reputation, Reputation()):
        with pytest.raises(aicore.UsageError, match="needs the option lists"):
            aicore.flows(capture_file, plugins=[plugin])


def test_reload_rereads_and_a_broken_file_keeps_the_old(
    bad: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    other.write_text("10.9.0.0/16,40\n")
    plugin = opened(bad, other)
    assert found(plugin, ipdst="192.0.2.7")[0] == 100
    bad.write_text("192.0.2.7,12\n")
    other.unlink()
    plugin.reload()
    assert found(plugin, ipdst="192.0.2.7") == (12, "bad.txt", "192.0.2.7")
    assert found(plugin, ipdst="10.9.1.1") == (40, "other", "10.9.0.0/16")
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert str(other) in errors[0]


def test_command_line_into_sqlite(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("bad.example,50\n")
    (tmp_path / "nets").write_text("198.51.100.0/24,70\n")
    capture = talks(
        http(host="www.bad.example"), tls(name="good.example", server="198.51.100.9"), dns(name="good.example")
    ).write(tmp_path / "c.pcap")
    lists = f"reputation?lists={tmp_path / 'hosts'},{tmp_path / 'nets'}"
    result = invoke("run", capture, "--plugin", lists, "--to", f"sqlite:{tmp_path / 'f.db'}")
    assert result.exit_code == 0, result.output
    with sqlite3.connect(tmp_path / "f.db") as store:
        rows = store.execute("select layer7, reputation, reputationlist, reputationmatch from flows").fetchall()
    store.close()
    assert sorted(rows) == [
        ("dns", None, None, None),
        ("http", 50, "hosts", "bad.example"),
        ("tls", 70, "nets", "198.51.100.0/24"),
    ]

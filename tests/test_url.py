# SPDX-License-Identifier: Apache-2.0
"""URLs of adaptors, and the secrets in them."""

from __future__ import annotations

import logging

import pytest

from aicore import UsageError
from aicore.plugins.url import AdaptorURL, Server, redact, scrub

ENVIRON = {"PW": "p@ss/w?rd#1", "HOST": "db.example", "URL": "redis://u:fromenv@h/0?ended=keep", "KEY": "k&y=1"}


@pytest.mark.parametrize(
    ("url", "text", "shown"),
    [
        ("sqlite:flows.db", "sqlite:flows.db", "sqlite:flows.db"),
        ("sqlite:///abs/flows.db", "sqlite:///abs/flows.db", "sqlite:///abs/flows.db"),
        ("jsonl:-", "jsonl:-", "jsonl:-"),
        ("memory:", "memory:", "memory:"),
        ("REDIS://h/0", "redis://h/0", "redis://h/0"),
        ("redis+unix:///run/r.sock?db=1", "redis+unix:///run/r.sock?db=1", "redis+unix:///run/r.sock?db=1"),
        ("redis://u:secret@h:6379/0", "redis://u:secret@h:6379/0", "redis://u:***@h:6379/0"),
        ("redis://:${PW}@${HOST}/0", "redis://:p%40ss%2Fw%3Frd%231@db.example/0", "redis://:***@${HOST}/0"),
        ("${URL}", ENVIRON["URL"], "redis://u:***@h/0?ended=keep"),
        ("es://h?api_key=${KEY}&x=1", "es://h?api_key=k%26y%3D1&x=1", "es://h?api_key=***&x=1"),
        ("cassandra://h1,h2/ks?a=1", "cassandra://h1,h2/ks?a=1", "cassandra://h1,h2/ks?a=1"),
        ("redis://h:6379/0?mail=a@b", "redis://h:6379/0?mail=a@b", "redis://h:6379/0?mail=a@b"),
    ],
)
def test_parse(url: str, text: str, shown: str) -> None:
    parsed = AdaptorURL.parse(url, ENVIRON)
    assert (parsed.text, parsed.redacted) == (text, shown)
    assert text.split("?")[0] not in repr(parsed) or text.split("?")[0] == shown.split("?")[0]


def test_query_is_decoded() -> None:
    assert AdaptorURL.parse("es://h?api_key=${KEY}&index=a%20b", ENVIRON).query == {"api_key": "k&y=1", "index": "a b"}


def test_password_from_the_environment() -> None:
    environ = {"AICORE_ELASTICSEARCH_PASSWORD": "a:b@c"}
    parse = AdaptorURL.parse
    assert parse("elasticsearch+https://u@h/", environ).text == "elasticsearch+https://u:a%3Ab%40c@h/"
    assert parse("elasticsearch://h", environ).text == "elasticsearch://:a%3Ab%40c@h"
    assert parse("elasticsearch://u:own@h", environ).text == "elasticsearch://u:own@h"
    assert parse("redis://u@h", environ).text == "redis://u@h"


@pytest.mark.parametrize(
    ("url", "literal"),
    [
        ("redis://u:secret@h", True),
        ("es://h?token=abc", True),
        ("redis://u:${PW}@h", False),
        ("es://h?token=${KEY}", False),
        ("${URL}", False),
        ("redis://u@h", False),
        ("sqlite:flows.db", False),
    ],
)
def test_a_literal_secret_is_known(url: str, literal: bool) -> None:
    assert AdaptorURL.parse(url, ENVIRON).literal_secret is literal


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("flows.db", "'flows.db' is not a URL; files are written as sqlite:PATH"),
        ("", "is not a URL"),
        ("redis://u:${NOPE}@h", "environment variable NOPE of the URL is not set"),
        ("redis://h?a=1&a=2", "given twice"),
        ("redis://h?a", "name=value"),
    ],
)
def test_errors(url: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        AdaptorURL.parse(url, ENVIRON)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach redis://u:hunter22@h/0",
        "redis://:hunter22@h",
        "redis://u:hunter22/x?y@h/0",
        "[Errno 111] ('redis://u:hunter22@h', 1)",
        "es://h?password=hunter22&x=1",
        "api_key=hunter22",
    ],
)
def test_redact_needs_no_knowledge(text: str) -> None:
    assert "hunter22" not in redact(text)
    assert "***" in redact(text)


def test_scrub_knows_what_urls_held(caplog: pytest.LogCaptureFixture) -> None:
    AdaptorURL.parse("redis://u:s3cr3t%2Fvalue@h")
    for form in ("s3cr3t/value", "s3cr3t%2Fvalue"):
        assert scrub(f"AUTH {form} refused") == "AUTH *** refused"
    logger = logging.getLogger("aicore")
    try:
        raise ValueError("bad s3cr3t/value")
    except ValueError:
        logger.exception("no luck with %s", "s3cr3t/value")
    assert "s3cr3t" not in caplog.text
    assert "ValueError: bad ***" in caplog.text


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("redis://", Server("redis", None, None, (), "")),
        ("redis://h", Server("redis", None, None, (("h", None),), "")),
        ("redis://:p%2Fw@h:1/0?x=a@b/c", Server("redis", None, "p/w", (("h", 1),), "/0")),
        ("es+https://u%40:@h/i", Server("es+https", "u@", "", (("h", None),), "/i")),
        ("c://u@a:1,b,[2001:db8::1]:3,[::1]/k", Server(
            "c", "u", None, (("a", 1), ("b", None), ("2001:db8::1", 3), ("::1", None)), "/k"
        )),
        ("redis+unix:///run/a%20b.sock", Server("redis+unix", None, None, (), "/run/a b.sock")),
    ],
)  # fmt: skip
def test_a_server_taken_apart(url: str, server: Server) -> None:
    assert Server.parse(url) == server
    assert "p/w" not in repr(server)


@pytest.mark.parametrize(
    "places", ["a:", "a:0", "a:65536", "a:1x", "a,,b", "::1", "[::1", "[x]:1", "a b", "u:canary/x@h"]
)
def test_hosts_that_are_none(places: str) -> None:
    with pytest.raises(UsageError, match="hosts are written as") as error:
        Server.parse(f"redis://{places}/0")
    assert "canary" not in str(error.value)

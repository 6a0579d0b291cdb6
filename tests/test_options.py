# SPDX-License-Identifier: Apache-2.0
"""Options of plugins: checked once, with a message that helps."""

from __future__ import annotations

import json
import logging
import re
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from aicore import Option, PluginError, UsageError
from aicore.plugins.options import DELIVERY_OPTIONS, check_options, config_of, parse_plugin, parse_query
from aicore.plugins.secrets import remember_secret, scrub

DECLARED = {
    "table": Option(str, default="flows"),
    "size": Option(int, default=10, minimum=1, maximum=100),
    "rate": Option(float, default=0.5),
    "create": Option(bool, default=False),
    "hosts": Option(list),
    "ended": Option(str, default="keep", choices=("keep", "delete")),
    "token": Option(str, secret=True, choices=("right",)),
}


def check(**given: Any) -> dict[str, Any]:
    return check_options("adaptor:x", DECLARED, given)


def test_defaults_and_types() -> None:
    assert check()["table"] == "flows"
    text = check(size="20", rate="2", create="yes", hosts="a, b,", ended="delete")
    typed = check(size=20, rate=2.0, create=True, hosts=["a", "b"], ended="delete")
    assert text == typed
    assert (text["size"], text["rate"], text["create"], text["hosts"]) == (20, 2.0, True, ["a", "b"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tabel": "x"}, "adaptor:x has no option 'tabel'; did you mean table?"),
        ({"zzz": "x"}, "adaptor:x has no option 'zzz'; known: create, ended, hosts, rate, size, table, token"),
        ({"size": "many"}, "adaptor:x: option size must be a whole number, not 'many'"),
        ({"size": 1.5}, "must be a whole number"),
        ({"size": True}, "must be a whole number"),
        ({"size": "0"}, "must be at least 1"),
        ({"size": 101}, "must be at most 100"),
        ({"rate": "nan"}, "must be a number"),
        ({"size": "1_0"}, "must be a whole number, not '1_0'"),
        ({"size": "\u0663"}, "must be a whole number"),
        ({"rate": "1_0.5"}, "must be a number"),
        ({"rate": "\u0663"}, "must be a number"),
        ({"hosts": ""}, "must be a comma-separated list, not ''"),
        ({"hosts": ","}, "must be a comma-separated list, not ','"),
        ({"create": "maybe"}, "must be yes or no"),
        ({"create": 1}, "must be yes or no"),
        ({"table": 5}, "must be text"),
        ({"hosts": [1]}, "comma-separated list"),
        ({"ended": "drop"}, "must be one of keep, delete, not 'drop'"),
    ],
)
def test_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        check(**given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "value", ["abc", "-1", "nan", "inf", "", "1_0", "5,", ",stop", "5,drop", "forever,stop", "\u0663"]
)
def test_the_time_to_wait_is_named_in_words(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        DELIVERY_OPTIONS["wait"].check("wait", value)
    assert (
        str(caught.value)
        == f"wait must be a number of seconds, or forever, or seconds with ,stop behind them, not {value!r}"
    )


def test_a_secret_is_not_quoted() -> None:
    with pytest.raises(UsageError) as error:
        check(token="hunter2")
    assert "hunter2" not in str(error.value)


def test_secrets_are_known_from_then_on() -> None:
    declared = {"key": Option(str, secret=True), "token": Option(str), "text": Option(str)}
    check_options("hook:x", declared, {"key": "canary-101", "token": "canary-102", "text": "plain-103"})
    assert scrub("canary-101 and canary-102, plain-103") == "*** and ***, plain-103"


@pytest.mark.parametrize(
    "secret", ["can\\ary'201", 'can"ary/202 +', "canäry\t\"'203", "canary\n204", "can\U0001f424ry205"]
)
def test_secrets_are_known_however_others_write_them(secret: str) -> None:
    """Drivers and servers put them into reprs, JSON and URLs."""
    remember_secret(secret)
    quoted = quote(secret, safe="")
    for text in (
        secret,
        f"{secret!r}",
        f"{secret!a}",
        f"""{f"'{secret}"!r}""",
        f"""{f"{secret}' and a quote {chr(34)}"!r}""",
        repr(secret.encode()),
        repr(f"'\"{secret}".encode()),
        json.dumps([secret]),
        json.dumps({"key": secret}, ensure_ascii=False),
        quoted,
        quoted.lower(),
        quote(secret),
        quote_plus(secret),
    ):
        assert re.search("ary|ry|20[1-5]", scrub(text)) is None, text


def test_a_secret_that_is_no_text_is_remembered() -> None:
    remember_secret("canary\udcff301")
    assert scrub("canary\udcff301") == "***"


def test_what_parts_of_aicore_log_is_scrubbed(caplog: pytest.LogCaptureFixture) -> None:
    """Also in programs, whose handlers know nothing of secrets."""
    remember_secret("canary-302")
    for name in ("aicore", "aicore.delivery"):
        logging.getLogger(name).error("%s is refused", "canary-302")
    assert [record.getMessage() for record in caplog.records] == ["*** is refused"] * 2


@pytest.mark.parametrize("declared", [("table",), {"table": "flows"}, None])
def test_what_is_no_declaration(declared: Any) -> None:
    plugin = type("Wrong", (), {"options": declared})()
    with pytest.raises(PluginError, match=r"hook:wrong: options must be a dict of names and aicore\.Option, not"):
        config_of("hook:wrong", plugin, {})


def test_required_and_own_types() -> None:
    declared = {"db": Option(str, required=True, help="path of the database"), "n": Option(lambda text: int(text, 16))}
    with pytest.raises(UsageError, match="hook:geoip needs the option db \\(path of the database\\)"):
        check_options("hook:geoip", declared, {})
    with pytest.raises(UsageError, match="needs the option db"):
        check_options("hook:geoip", declared, {"db": ""})
    with pytest.raises(UsageError, match="option names must be a comma-separated list, not ' , '"):
        check_options("hook:watch", {"names": Option(list, required=True)}, {"names": " , "})
    assert check_options("hook:geoip", declared, {"db": "x", "n": "ff"}) == {"db": "x", "n": 255}
    with pytest.raises(UsageError, match=r"^n cannot be 'x': invalid literal"):
        declared["n"].check("n", "x")
    with pytest.raises(UsageError, match=r"^n cannot be None \(hexadecimal\)$"):
        Option(lambda text: int(text, 16), help="hexadecimal").check("n", None)


def test_plugin_text() -> None:
    assert parse_plugin("geoip?db=/x%26y.mmdb&fields=country") == ("geoip", {"db": "/x&y.mmdb", "fields": "country"})
    assert parse_plugin("geoip") == ("geoip", {})
    for wrong, message in (("a=1&a=2", "twice"), ("a", "name=value"), ("a=1&", "name=value")):
        with pytest.raises(UsageError, match=message):
            parse_query("x", wrong)

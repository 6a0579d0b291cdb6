# SPDX-License-Identifier: Apache-2.0
"""URLs of adaptors, and the secrets in them."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest

import aicore
from aicore import AdaptorURL, Option, UsageError
from aicore.plugins.secrets import redact, scrub
from aicore.plugins.url import password_variable

ENVIRON = {"PW": "p@ss/w?rd#1", "HOST": "db.example", "URL": "redis://u:fromenv@h/0?ended=keep", "KEY": "k&y=1"}
ENVIRON |= {"SCHEME": "redis", "START": "redis://u:"}


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
        ("${URL}", ENVIRON["URL"], "${URL}"),
        ("${SCHEME}://u:pw@h/0?token=t&x=1", "redis://u:pw@h/0?token=t&x=1", "${SCHEME}://***@h/0?token=***&x=1"),
        ("${START}pw@h/0", "redis://u:pw@h/0", "${START}***@h/0"),
        ("es://h?api_key=${KEY}&x=1", "es://h?api_key=k%26y%3D1&x=1", "es://h?api_key=***&x=1"),
        ("cassandra://h1,h2/ks?a=1", "cassandra://h1,h2/ks?a=1", "cassandra://h1,h2/ks?a=1"),
        ("redis://h:6379/0?mail=a@b", "redis://h:6379/0?mail=a@b", "redis://h:6379/0?mail=a@b"),
    ],
)
def test_parse(url: str, text: str, shown: str) -> None:
    parsed = AdaptorURL.parse(url, ENVIRON)
    assert (parsed, parsed.redacted) == (text, shown)
    assert repr(parsed) == f"AdaptorURL({shown!r})"


def test_it_is_parsed_once() -> None:
    """A value that looks like a URL's syntax, or like a variable, stays a value however often the URL is handed on."""
    environ = {"PW": "a${HOME}b@c?d=e#f/g%40"}
    url = AdaptorURL.parse("redis://u:${PW}@h/0?x=${PW}", environ)
    assert AdaptorURL.parse(url) is url
    assert AdaptorURL.of(url, "redis://") is url
    assert (url.password, url.options) == (environ["PW"], {"x": environ["PW"]})
    for other in (copy.copy(url), copy.deepcopy(url), pickle.loads(pickle.dumps(url))):
        assert other == url
        assert (other.password, other.options, other.redacted) == (url.password, url.options, url.redacted)
    assert AdaptorURL.parse("${URL}", {"URL": "redis://u:a${NOPE}@h"}).password == "a${NOPE}"


def test_further_options() -> None:
    parse = AdaptorURL.parse
    assert parse("a:x", options={"b": "1&c=2 %41"}).options == {"b": "1&c=2 %41"}
    assert parse("${URL}", ENVIRON, options={"key": "${KEY}"}).options == {"ended": "keep", "key": "k&y=1"}
    with pytest.raises(UsageError, match="'b' is given twice"):
        parse("a:x?b=1", options={"b": "2"})


def test_query_is_decoded() -> None:
    options = AdaptorURL.parse("es://h?api_key=${KEY}&index=a%20b", ENVIRON).options
    assert options == {"api_key": "k&y=1", "index": "a b"}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:flows.db", "flows.db"),
        ("sqlite:a/b c.db?table=x", "a/b c.db"),
        ("sqlite:///var/flows.db", "/var/flows.db"),
        ("sqlite:/var/flows.db", "/var/flows.db"),
        ("sqlite:what%3F.db", "what?.db"),
        ("sqlite:100%25.db", "100%.db"),
        ("sqlite:a%20b.db", "a%20b.db"),
        ("sqlite:${ODD}", "a?b%3F%25~${HOME}"),
        ("sqlite:~/x.db", "/home/me/x.db"),
        ("sqlite:~nobody-of-that-name/x.db", "~nobody-of-that-name/x.db"),
        ("sqlite:${TILDE}/x.db", "~/x.db"),
        ("${FILE}?table=x", "/home/me/x.db"),
        ("sqlite:./~/x.db", "./~/x.db"),
        ("jsonl:-", "-"),
        ("memory:", ""),
        ("redis://h/a%20b", "/a b"),
        ("redis://h/${ODD}", "/a?b%3F%25~${HOME}"),
    ],
)
def test_paths(url: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    environ = {"ODD": "a?b%3F%25~${HOME}", "TILDE": "~", "FILE": "sqlite:~/x.db"}
    parsed = AdaptorURL.parse(url, environ)
    assert parsed.path == path
    again = AdaptorURL.parse(parsed.replace("${HOME}", "${H}"), {"H": "${HOME}"})
    assert again.path == path.replace("~/", f"{os.path.expanduser('~/')}" if parsed.startswith("sqlite:~/") else "~/")


def test_what_a_program_passes() -> None:
    of = AdaptorURL.of
    assert of("/tmp/a?b%25${X}.db", "sqlite:").path == "/tmp/a?b%25${X}.db"
    assert of("~/a.db", "sqlite:").path == "~/a.db"
    assert of("//a.db", "sqlite:").path == "//a.db"
    assert of("sqlite:a%3Fb.db?table=x", "sqlite:").path == "a?b.db"
    assert of("localhost", "redis://").hosts == (("localhost", None),)
    assert of("h1,h2:1/keys", "cassandra://").hosts == (("h1", None), ("h2", 1))
    assert of("redis+unix:///run/r.sock", "redis://").scheme == "redis+unix"


def test_variables_of_a_command_stay_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    environ = {"KEY": "hunter2 'and\" more; %3F?", "DIR": "/", "EMPTY": ""}
    url = AdaptorURL.parse(
        "exec:~/ok.sh --token ${KEY} --x='a ${KEY}' ${EMPTY} ${DIR}tmp what%3F ~/y?timeout=2", environ
    )
    key = environ["KEY"]
    assert url.command() == ["/home/me/ok.sh", "--token", key, f"--x=a {key}", "", "/tmp", "what?", "~/y"]
    assert url.redacted == "exec:~/ok.sh --token ${KEY} --x='a ${KEY}' ${EMPTY} ${DIR}tmp what%3F ~/y?timeout=2"
    assert "hunter2" not in repr(url)
    assert "hunter2" not in url.identity
    assert scrub(f"{key} of / refused") == "${KEY} of / refused"
    with pytest.raises(UsageError, match="exec: the command cannot be read: No closing quotation"):
        AdaptorURL.parse("exec:echo 'x").command()


def test_options_that_are_declared_secret_are_hidden() -> None:
    url = AdaptorURL.parse("es://h?key=canary-81&x=1")
    assert not url.literal_secret
    url.declare({"key": Option(str, secret=True), "other": Option(str, secret=True)})
    assert url.redacted == "es://h?key=***&x=1"
    assert url.literal_secret
    assert scrub("canary-81 refused") == "*** refused"


def test_identity_says_what_is_written_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(url: str) -> str:
        return AdaptorURL.parse(url).identity

    one = of("redis://user:canary-1@host:1/0?layout=flow&ttl=5")
    assert one == of("redis://other:canary-2@host:1/0?ttl=5&layout=flow&queue=8&every=3&only=tcp")
    assert "canary" not in one
    assert of("es://h?api_key=canary-1") == of("es://h?api_key=canary-2") == of("es://h")
    for other in ("redis://host:2/0", "redis://host:1/1", "rediss://host:1/0", "redis://host:1/0?layout=flow"):
        assert of(other) != of("redis://host:1/0")
    assert of("es://a:1,B:2/x") == of("es://b:2,A:1/x")
    assert of("es://a:1,b:2/x") != of("es://a:1/x")
    monkeypatch.chdir(tmp_path)
    Path("link.db").symlink_to("flows.db")
    assert of("sqlite:link.db") == of("sqlite:flows.db")
    assert of("sqlite:flows.db") == of(f"sqlite:{tmp_path}/flows.db") == of(f"sqlite://{tmp_path}/./flows.db")
    assert of("sqlite:flows.db") != of("sqlite:flows.db?table=x")
    before = of("sqlite:flows.db")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert of("sqlite:flows.db") != before


def test_a_store_is_the_same_with_its_default_port_written_out() -> None:
    def of(url: str, port: int | None = 6379) -> str:
        parsed = AdaptorURL.parse(url)
        parsed.declare({}, port)
        return parsed.identity

    assert of("redis://h") == of("redis://h:6379") == of("redis://H")
    assert of("redis://h") != of("redis://h:6380") != of("redis://h:6379")
    assert of("es://a,b:9200", 9200) == of("es://b,a:9200", 9200)
    assert of("x://h", None) != of("x://h:1", None)


def test_identity_does_not_depend_on_how_an_option_is_spelt() -> None:
    def of(query: str) -> str:
        url = AdaptorURL.parse(f"x:y{query}")
        url.declare({"keep": Option(bool, default=False), "table": Option(str, default="flows"), "n": Option(int)})
        return url.identity

    assert of("") == of("?table=flows") == of("?keep=no&table=flows") == of("?keep=off")
    assert of("?keep=yes") == of("?keep=true") != of("")
    assert of("?n=07") == of("?n=7") != of("?n=8")
    assert of("?n=x") != of("")  # wrong: refused elsewhere


def test_password_from_the_environment() -> None:
    environ = {"AICORE_ELASTICSEARCH_PASSWORD": "a:b@c"}
    parse = AdaptorURL.parse
    assert parse("elasticsearch+https://u@h/", environ) == "elasticsearch+https://u:a%3Ab%40c@h/"
    assert parse("elasticsearch://h", environ) == "elasticsearch://:a%3Ab%40c@h"
    assert parse("elasticsearch://u:own@h", environ) == "elasticsearch://u:own@h"
    assert parse("redis://u@h", environ) == "redis://u@h"


def test_a_file_holds_a_password(tmp_path: Path) -> None:
    secret = "canary-47:/?#@%&=p${HOME}"
    (tmp_path / "pw @?").write_text(secret + "\nnot this\n")
    written = f"redis://u:${{file:{tmp_path}/pw @?}}@h:1/0?key=${{file:{tmp_path}/pw @?}}&x=1"
    url = AdaptorURL.parse(written, {})
    assert (url.user, url.password, url.options) == ("u", secret, {"key": secret, "x": "1"})
    assert (url.hosts, url.path) == ((("h", 1),), "/0")
    assert url.redacted == f"redis://u:***@h:1/0?key=${{file:{tmp_path}/pw @?}}&x=1"
    assert not url.literal_secret
    assert scrub(f"{secret} refused") == "*** refused"
    url.declare({"key": Option(str, secret=True)})
    assert "canary-47" not in f"{url!r} {url.identity}"
    more = AdaptorURL.parse("a:x", {}, options={"key": f"${{file:{tmp_path}/pw @?}}"})
    assert more.options == {"key": secret}
    whole = tmp_path / "url"
    whole.write_text("redis://u:canary-48@h/0\r\n")
    assert AdaptorURL.parse(f"${{file:{whole}}}", {}).password == "canary-48"


def test_a_file_is_read_again_at_each_connect(tmp_path: Path) -> None:
    file = tmp_path / "pw"
    file.write_text("canary-one\n")
    url = AdaptorURL.parse(f"es://u:${{file:{file}}}@h?k=${{file:{file}}}&a=${{A}}", {"A": "1"})
    url.declare({"k": Option(str, secret=True)})
    assert AdaptorURL.of(url, "es://") is url
    file.write_text("canary-two")
    again = AdaptorURL.of(url, "es://")
    assert (again.password, again.options) == ("canary-two", {"k": "canary-two", "a": "1"})
    assert (again.redacted, again.identity) == (url.redacted, url.identity)
    assert "two" not in repr(again)
    assert scrub("canary-two refused") == "*** refused"
    for broken in (file.unlink, lambda: file.write_text(""), lambda: file.write_bytes(b"\xff")):
        broken()
        assert AdaptorURL.of(url, "es://").password == "canary-one"
    file.write_text("canary-three")
    for other in (copy.deepcopy(url), pickle.loads(pickle.dumps(url))):
        assert AdaptorURL.of(other, "es://").password == "canary-three"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "pw of the URL cannot be read: No such file"),
        (b"", "is empty"),
        (b"\nx", "is empty"),
        (b"\xff", "no text"),
        (b"x" * 65_536, "too long"),
        (b"a\0b", "binary"),
    ],
)
def test_files_that_hold_no_password(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "pw").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        AdaptorURL.parse(f"redis://:${{file:{tmp_path}/pw}}@h")
    (tmp_path / "pw").write_bytes(b"x" * 65_535)
    assert len(AdaptorURL.parse(f"redis://:${{file:{tmp_path}/pw}}@h").password or "") == 65_535


@pytest.mark.parametrize("scheme", ["my-store", "my.store+tls", "my_store"])
def test_the_variable_of_a_password_is_a_name_that_a_shell_can_set(scheme: str) -> None:
    assert password_variable(scheme) == "AICORE_MY_STORE_PASSWORD"


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
        ("redis://u:${PASS-WORD}@h", "the URL holds a ${ that is no reference: write ${VAR} or ${file:PATH}"),
        ("redis://u:${file:}@h", "the URL holds a ${ that is no reference"),
        ("redis://h${/0", "the URL holds a ${ that is no reference"),
        ("redis://h?token=${}", "the URL holds a ${ that is no reference"),
        ("redis://h?a=1&a=2", "given twice"),
        ("redis://h?a", "name=value"),
        ("redis://h\0", "NUL"),
        ("sqlite:hunter\udcff22.db", "the URL holds bytes that are no UTF-8"),
        ("redis://u:${RAW}@h", "environment variable RAW of the URL holds bytes that are no UTF-8"),
        ("sqlite:${RAW}", "environment variable RAW of the URL holds bytes that are no UTF-8"),
        ("sqlite:x?key=${RAW}", "environment variable RAW of the URL holds bytes that are no UTF-8"),
        ("${RAW}", "environment variable RAW of the URL holds bytes that are no UTF-8"),
        ("raw://u@h", "environment variable AICORE_RAW_PASSWORD of the URL holds bytes that are no UTF-8"),
    ],
)
def test_errors(url: str, message: str) -> None:
    raw = "hunter\udcff22"  # as Python has a byte of the environment that is no UTF-8
    with pytest.raises(UsageError) as error:
        AdaptorURL.parse(url, {**ENVIRON, "RAW": raw, "AICORE_RAW_PASSWORD": raw})
    assert message in str(error.value)
    assert "hunter" not in str(error.value)


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


@pytest.mark.parametrize(
    "url",
    [
        "${SECRET}://h/0",
        "sqlite:/nowhere/${SECRET}/flows.db",
        "sqlite:///nowhere/${SECRET}/flows.db",
        "${WHOLE}",
        "${WHOLE}?every=x",
        "jsonl:/tmp/x?every=${SECRET}",
        "jsonl:/tmp/x?every=${SHORT}",
        "jsonl:/tmp/x?${SECRET}=1",
        "jsonl:/tmp/x?${SECRET}=1&${SECRET}=2",
        "redis://${SECRET}:0/0",
        "memory:?only=${SECRET}",
        "sqlite:/tmp/x?table=${SECRET}-x",
        "sqlite:${FOLDER}/flows.db",
        "${WHOLE}&table=x",
    ],
)
def test_what_a_variable_held_is_in_no_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "Hunter-22")
    monkeypatch.setenv("SHORT", "h2")
    monkeypatch.setenv("FOLDER", "/nowhere/Hunter-22")
    monkeypatch.setenv("WHOLE", "sqlite:/nowhere/Hunter-22/flows.db?table=hunter_22")
    with pytest.raises(aicore.AicoreError) as caught:
        aicore.open_adaptor(url)
    said = "".join(traceback.format_exception(caught.value, limit=0))
    assert not any(value in said.lower() for value in ("hunter", "'h2'")), said
    assert "${" in said or "hosts are written as" in said


def test_what_a_variable_held_is_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHOLE", "redis://hunter-1:hunter-2@hunter-3/hunter-4?x=hunter-5")
    for url in ("${WHOLE}", "redis://h/${WHOLE}", "sqlite:${WHOLE}", "redis://h/0?x=${WHOLE}"):
        assert "hunter" not in repr(AdaptorURL.parse(url))
    with pytest.raises(UsageError) as caught:
        AdaptorURL.parse("redis://${WHOLE}/0")
    assert "hunter" not in str(caught.value)
    assert scrub("hunter-2 and hunter-3 at /hunter-4, hunter-4") == "*** and ${WHOLE} at ${WHOLE}, ${WHOLE}"


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
    ("url", "user", "password", "hosts", "path"),
    [
        ("redis://", None, None, (), ""),
        ("redis://h", None, None, (("h", None),), ""),
        ("redis://:p%2Fw@h:1/0?x=a@b/c", None, "p/w", (("h", 1),), "/0"),
        ("es+https://u%40:@h/i", "u@", "", (("h", None),), "/i"),
        (
            "c://u@a:1,b,[2001:db8::1]:3,[::1]/k",
            "u",
            None,
            (("a", 1), ("b", None), ("2001:db8::1", 3), ("::1", None)),
            "/k",
        ),
        ("c://${HOSTS}/k", None, None, (("a", 1), ("b", None)), "/k"),
        ("redis+unix:///run/a b.sock", None, None, (), "/run/a b.sock"),
    ],
)
def test_parts(url: str, user: object, password: object, hosts: object, path: str) -> None:
    parsed = AdaptorURL.parse(url, {"HOSTS": "a:1,b"})
    assert (parsed.user, parsed.password, parsed.hosts, parsed.path) == (user, password, hosts, path)
    assert "p/w" not in repr(parsed)
    assert "p%2Fw" not in repr(parsed)


@pytest.mark.parametrize(
    "places",
    ["a:", "a:0", "a:65536", "a:1x", "a,,b", "::1", "[::1", "[x]:1", "a b", "u:canary/x@h", "${LOGIN}h", "a#b"],
)
def test_hosts_that_are_none(places: str) -> None:
    with pytest.raises(UsageError, match="hosts are written as") as error:
        AdaptorURL.parse(f"redis://{places}/0", {"LOGIN": "u:canary@"})
    assert "canary" not in str(error.value)

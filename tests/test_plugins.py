# SPDX-License-Identifier: Apache-2.0
"""Finding and loading plugins: what is installed, what is imported when, and what becomes of those that are wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

import aicore
from aicore.plugins.discovery import PACKAGES, Plugins
from aicore.plugins.options import DeliveryOptions

Install = Callable[..., None]

GOOD = """
import aicore

class Hook:
    options = {"size": aicore.Option(int, default=3)}

    @aicore.hookimpl
    def flow_remove(self, flows):
        pass

class Store(aicore.DatabaseAdaptor):
    options = {"table": aicore.Option(str, default="flows"), "size": aicore.Option(int, default=1)}
    connected = None

    def connect(self, connection_str):
        self.connected = connection_str

    def write(self, batch): pass
"""

BROKEN = {
    "import": ("import no_such_driver", "error", "ModuleNotFoundError: No module named 'no_such_driver'"),
    "syntax": ("class Plugin(:", "error", "SyntaxError"),
    "exit": ("import sys; sys.exit(3)", "error", "SystemExit: 3"),
    "missing": ("x = 1", "error", "has no attribute 'Plugin'"),
    "object": ("Plugin = 5", "error", "must give a class, not int"),
    "newer": ("class Plugin: aicore_api = 99", "incompatible", "written for plugin API 99, this aicore supports 1"),
    "nothing": ("class Plugin: pass", "error", "implements no hook"),
    "unknown_hook": (
        "import aicore\nclass Plugin:\n @aicore.hookimpl\n def flow_inset(self, flows): pass",
        "error",
        "there is no hook 'flow_inset'; did you mean flow_insert",
    ),
    "argument": (
        "import aicore\nclass Plugin:\n @aicore.hookimpl\n def flow_insert(self, flow): pass",
        "error",
        "flow_insert takes flows and context, not 'flow'",
    ),
    "wrapper": (
        "import aicore\nclass Plugin:\n @aicore.hookimpl(wrapper=True)\n def flow_insert(self, flows): yield",
        "error",
        "cannot be wrapped",
    ),
}


def rows(*blocked: str, load: bool = True) -> dict[str, aicore.plugins.PluginRow]:  # type: ignore[name-defined]
    return {row.name: row for row in aicore.list_plugins(blocked, load=load)}


def test_embedded_ones_are_plugins_like_all_others() -> None:
    found = rows()
    for name in ("adaptor:file", "adaptor:jsonl", "adaptor:memory", "adaptor:sqlite"):
        assert (found[name].status, found[name].distribution, found[name].api) == ("ok", "aicore", 1)
    for name in ("protocol:dns", "protocol:http", "protocol:tls"):
        assert (found[name].status, found[name].version) == ("ok", aicore.__version__)


def test_third_party_plugins_are_found_at_once(install: Install) -> None:
    assert "hook:good" not in rows()
    install("aicore-good", "2.1", hooks={"good": "good:Hook"}, adaptors={"good": "good:Store"}, good=GOOD)
    found = rows()
    assert (found["hook:good"].version, found["hook:good"].distribution) == ("2.1", "aicore-good")
    assert found["hook:good"].hooks == ["flow_remove"]
    assert found["adaptor:good"].hooks == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_a_row_with_its_reason(name: str, install: Install) -> None:
    source, status, reason = BROKEN[name]
    install("aicore-broken", hooks={name: f"broken_{name}:Plugin"}, **{f"broken_{name}": source})
    install("aicore-good", hooks={"good": "good:Hook"}, good=GOOD)
    found = rows()
    assert found[f"hook:{name}"].status == status
    assert reason in str(found[f"hook:{name}"].error)
    assert "\n" not in str(found[f"hook:{name}"].error)
    assert found["hook:good"].status == "ok"
    with pytest.raises(aicore.PluginError, match=name):
        Plugins().load("hook", name)


def test_adaptors_and_protocols_are_checked_too(install: Install) -> None:
    source = """
import aicore
class Half:
    def connect(self, connection_str): pass
    def insert(self, key): pass
class Misspelt(aicore.DatabaseAdaptor):
    def write_rows(self, batch): pass
class Alien: pass
class Nameless(aicore.Protocol):
    def inspect(self, payload, flow): return self.NO
class Blind(aicore.Protocol):
    name = "blind"
"""
    protocols = {"alien": "wrong:Alien", "nameless": "wrong:Nameless", "blind": "wrong:Blind", "number": "wrong:x"}
    install(
        "aicore-wrong",
        adaptors={"half": "wrong:Half", "misspelt": "wrong:Misspelt"},
        protocols=protocols,
        wrong=source + "x = 5\n",
    )
    found = rows()
    for name, reason in {
        "adaptor:half": "has no update, remove",
        "adaptor:misspelt": "defines neither write nor insert, update or remove",
        "protocol:alien": "no aicore.Protocol",
        "protocol:nameless": "name must match",
        "protocol:blind": "no inspect()",
        "protocol:number": "a class or a protocol capsule, not int",
    }.items():
        assert found[name].status == "error"
        assert reason in str(found[name].error)


def test_a_name_that_two_distributions_give(install: Install) -> None:
    install("aicore-one", "1.0", hooks={"twice": "good:Hook"}, good=GOOD)
    install("aicore-two", "2.0", hooks={"twice": "other:Hook"}, other="raise SystemExit")
    for found in (rows(), rows(load=False)):
        assert found["hook:twice"].status == "duplicate"
        assert "aicore-one 1.0" in str(found["hook:twice"].error)
        assert "aicore-two 2.0" in str(found["hook:twice"].error)
    with pytest.raises(aicore.PluginError, match="uninstall one"):
        Plugins().load("hook", "twice")


def test_nothing_is_imported_unless_it_is_named(install: Install) -> None:
    install("aicore-good", hooks={"good": "good:Hook"}, adaptors={"good": "good:Store"}, good=GOOD)
    install("aicore-loud", adaptors={"loud": "loud:Store"}, hooks={"loud": "loud:Hook"}, loud="raise SystemExit")
    assert rows(load=False)["hook:loud"].status == "ok"
    Plugins().load("hook", "good")
    assert "good" in sys.modules
    assert "loud" not in sys.modules


def test_import_of_aicore_loads_nothing_heavy() -> None:
    code = "import sys, aicore; print(*{'pluggy', 'stevedore', 'click', 'rich', 'aicore._core'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code] if sys.version_info >= (3, 11) else
                          [sys.executable, "-c", code], capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout.split() == []


def test_public_names() -> None:
    for name in aicore.__all__:
        assert getattr(aicore, name) is not None
    assert set(aicore._HOMES) | set(aicore._MODULES) | {"__version__", "get_include"} == set(aicore.__all__)
    assert set(dir(aicore)) >= set(aicore.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        aicore.nothing  # noqa: B018


class TestBlocking:
    def test_by_full_and_bare_name(self, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
        install("aicore-good", hooks={"good": "good:Hook"}, good=GOOD)
        for name in ("hook:good", "good"):
            assert rows(name)["hook:good"].status == "blocked"
        monkeypatch.setenv("AICORE_DISABLE_PLUGINS", "good, adaptor:sqlite")
        found = rows()
        assert found["hook:good"].status == found["adaptor:sqlite"].status == "blocked"
        assert "good" not in sys.modules
        with pytest.raises(aicore.PluginError, match="hook:good is blocked"):
            Plugins().load("hook", "good")

    @pytest.mark.parametrize("how", ["argument", "environment"])
    def test_all_but_those_named_and_the_core_s_own(
        self, install: Install, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        """By the name of a plugin or of its distribution; no code of the others is imported."""
        install("aicore-good", hooks={"good": "good:Hook", "better": "good:Hook"}, good=GOOD)
        install("aicore-bad", hooks={"bad": "bad:Hook"}, adaptors={"other": "bad:Store"}, bad=GOOD)

        def statuses(*only: str) -> dict[str, str]:
            if how == "environment":
                monkeypatch.setenv("AICORE_ONLY_PLUGINS", ", ".join(only))
                return {row.name: row.status for row in aicore.list_plugins()}
            return {row.name: row.status for row in aicore.list_plugins(only=only)}

        found = statuses("hook:good")
        ours = ("hook:good", "hook:better", "hook:bad", "adaptor:other")
        assert [found[name] for name in ours] == ["ok", "blocked", "blocked", "blocked"]
        assert found["adaptor:sqlite"] == found["protocol:http"] == "ok"
        assert "bad" not in sys.modules
        found = statuses("aicore-good")
        assert [found[name] for name in ours] == ["ok", "ok", "blocked", "blocked"]
        with pytest.raises(aicore.UsageError, match="no plugin is named 'aicore-god'"):
            statuses("aicore-god")

    def test_an_unknown_name_is_an_error_with_close_matches(self) -> None:
        with pytest.raises(aicore.UsageError, match="no plugin is named 'adaptor:sqlit'; did you mean adaptor:sqlite"):
            Plugins(["adaptor:sqlit"])
        with pytest.raises(aicore.UsageError, match="did you mean sqlite"):
            Plugins(["sqlit"])

    def test_a_bare_name_of_two_kinds_is_an_error(self, install: Install) -> None:
        install("aicore-good", hooks={"good": "good:Hook"}, adaptors={"good": "good:Store"}, good=GOOD)
        with pytest.raises(aicore.UsageError, match="'good' is ambiguous: adaptor:good or hook:good"):
            Plugins(["good"])
        assert rows("adaptor:good")["hook:good"].status == "ok"


class TestOpenAdaptor:
    def test_options_and_url_are_set_and_nothing_is_opened(self, install: Install) -> None:
        install("aicore-good", adaptors={"good": "good:Store"}, good=GOOD)
        adaptor = aicore.open_adaptor("good+tls://u:verysecret@h/x?table=t&size=5")
        assert adaptor.config == {"table": "t", "size": 5}
        assert adaptor.delivery == DeliveryOptions()
        assert adaptor.connected is None
        assert adaptor.url == "good+tls://u:verysecret@h/x?table=t&size=5"
        assert "verysecret" not in repr(adaptor.url)
        assert adaptor.options["table"].default == "flows"

    def test_options_of_the_delivery_are_taken_by_every_url(self, install: Install) -> None:
        install("aicore-good", adaptors={"good": "good:Store"}, good=GOOD)
        adaptor = aicore.open_adaptor("good:x?only=ended,tcp&every=0&size=2&queue=8")
        assert adaptor.config == {"table": "flows", "size": 2}
        assert adaptor.delivery == DeliveryOptions(frozenset({"ended", "tcp"}), 0, 8)
        for query, message in (
            ("only=ended,icmp", "option only must be one of all, ended, detected, tcp, udp, other, not 'ended,icmp'"),
            ("every=-1", "at least 0"),
            ("queue=0", "at least 1"),
            ("qeue=1", "did you mean queue"),
        ):
            with pytest.raises(aicore.UsageError, match=message):
                aicore.open_adaptor(f"good:x?{query}")

    def test_an_adaptor_cannot_take_a_name_of_the_delivery(self, install: Install) -> None:
        taken = GOOD.replace('"size"', '"queue"')
        install("aicore-good", adaptors={"good": "good:Store"}, good=taken)
        with pytest.raises(aicore.PluginError, match="declares queue, which every adaptor's URL takes"):
            aicore.open_adaptor("good:x")

    def test_declared_secrets_are_hidden_and_no_part_of_the_store(self, install: Install) -> None:
        source = GOOD.replace("default=1", "default=1, tuning=True").replace('default="flows"', "secret=True")
        install("aicore-good", adaptors={"good": "good:Store"}, good=source)
        one, two = (aicore.open_adaptor(f"good:x?table=canary-{n}&size={n}").url for n in (1, 2))
        assert one.redacted == "good:x?table=***&size=1"
        assert one.identity == two.identity
        wrong = aicore.AdaptorURL.parse("good:x?table=canary-3&siez=1")
        with pytest.raises(aicore.UsageError, match="did you mean size"):
            aicore.open_adaptor(wrong)
        assert wrong.redacted == "good:x?table=***&siez=1"

    @pytest.mark.parametrize(
        ("error", "raised", "message"),
        [
            ("aicore.UsageError('no such place')", aicore.UsageError, "^no such place"),
            ("aicore.Fatal('no such place')", aicore.UsageError, "^no such place"),
            ("KeyError('x')", aicore.PluginError, "adaptor:good: check raised KeyError: 'x'"),
        ],
    )
    def test_what_cannot_work_is_refused(
        self, install: Install, error: str, raised: type[Exception], message: str
    ) -> None:
        source = (
            "import aicore\nclass Store(aicore.DatabaseAdaptor):\n    def write(self, batch): ...\n"
            f"    def check(self, url):\n        assert (url.path, self.url, self.config) == ('x', url, {{}})\n"
            f"        raise {error}\n"
        )
        install("aicore-good", adaptors={"good": "good:Store"}, good=source)
        with pytest.raises(raised, match=message):
            aicore.open_adaptor("good:x")

    @pytest.mark.parametrize("scheme", sorted(PACKAGES))
    def test_an_unknown_scheme_names_the_package(self, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
        plugins = Plugins()
        monkeypatch.delitem(plugins._found["adaptor"], scheme, raising=False)
        with pytest.raises(aicore.UsageError) as error:
            aicore.open_adaptor(f"{scheme}://u:verysecret@h", plugins)
        assert f"no adaptor for '{scheme}'; it comes with the package {PACKAGES[scheme]}; installed: " in str(
            error.value
        )
        assert "sqlite" in str(error.value)
        assert "verysecret" not in str(error.value)

    def test_a_near_scheme_is_named(self) -> None:
        with pytest.raises(aicore.UsageError, match="no adaptor for 'sqlit'; did you mean sqlite"):
            aicore.open_adaptor("sqlit:flows.db")

    def test_a_wrong_option(self, install: Install) -> None:
        install("aicore-good", adaptors={"good": "good:Store"}, good=GOOD)
        with pytest.raises(aicore.UsageError, match="adaptor:good has no option 'tabel'; did you mean table"):
            aicore.open_adaptor("good://h?tabel=x")

    def test_a_constructor_that_raises(self, install: Install) -> None:
        install("aicore-bad", adaptors={"bad": "bad:Store"}, bad=GOOD + "    def __init__(self): raise OSError('no')\n")
        with pytest.raises(aicore.PluginError, match="adaptor:bad cannot be made: OSError: no"):
            aicore.open_adaptor("bad:")


def test_a_second_one_of_a_name_gets_a_number() -> None:
    class Hook:
        @aicore.hookimpl
        def flow_remove(self) -> None: ...

    plugins = Plugins()
    assert [plugins.register("adaptor:redis", Hook()) for _ in range(3)] == [
        "adaptor:redis",
        "adaptor:redis#2",
        "adaptor:redis#3",
    ]
    assert plugins.manager.has_plugin("adaptor:redis#3")


def test_what_cannot_be_registered_leaves_nothing_behind() -> None:
    class Wrong:
        @aicore.hookimpl
        def flow_insert(self, flows: object) -> None: ...
        @aicore.hookimpl
        def flow_inset(self, flows: object) -> None: ...

    plugins = Plugins()
    with pytest.raises(aicore.PluginError, match="flow_inset"):
        plugins.register("hook:wrong", Wrong())
    assert plugins.manager.get_plugins() == set()
    assert plugins.manager.hook.flow_insert.get_hookimpls() == []
    plugins.manager.check_pending()

# SPDX-License-Identifier: Apache-2.0
"""What every adaptor of `aicore.FileStore` must keep while its file is moved, deleted or replaced: abstract tests.

class TestMineOnDisk(FileStoreContract):
    url = "mine:{path}"

    def held(self, path):
        return [record["flow_id"] for record in read_back(path)]
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from aicore.delivery import Delivery
from aicore.errors import RowError, UsageError
from aicore.plugins.discovery import open_adaptor
from aicore.plugins.file_store import FileStore
from aicore.record.batch import FlowBatch
from aicore.run.standalone import standalone_context
from aicore.testing.batches import flow_id, make_batch
from aicore.testing.contract import _until as _wait

OLD, NEW = range(10), range(10, 20)


def batch(flows: range) -> FlowBatch:
    return make_batch(len(flows), kind="remove", first=flows.start, version=flows.start + 1)


def ids(*parts: range) -> list[str]:
    return [flow_id(n) for part in parts for n in part]


class FileStoreContract:
    """Subclass it in a test module, and give `url` and `held`."""

    #: With `{path}` in it.
    url: ClassVar[str]

    def held(self, path: Path) -> Iterable[str]:
        """The flow_ids that a file has; it may have been moved since it was written."""
        raise NotImplementedError

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        (tmp_path / "folder").mkdir()
        return tmp_path / "folder" / "flows.out"

    @pytest.fixture
    def store(self, path: Path) -> Iterator[FileStore]:
        """With ten flows in it."""
        store = self.opened(path)
        store.write(batch(OLD))
        yield store
        store.close()

    def opened(self, path: Path) -> FileStore:
        store = open_adaptor(self.url.format(path=path))
        assert isinstance(store, FileStore)
        assert store.url is not None
        store.context = standalone_context(batch(OLD).schema)
        store.connect(store.url)
        return store

    def check(self, path: Path, *flows: range) -> None:
        assert sorted(self.held(path)) == ids(*flows)

    def test_a_file_that_was_moved_away(self, store: FileStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        away = path.with_name("away")
        path.rename(away)
        store.write(batch(NEW))
        store.write(batch(range(20, 30)))
        store.close()
        self.check(away, OLD)
        self.check(path, NEW, range(20, 30))
        assert _said(caplog) == [f"{store.scheme}: {path} was moved away; it is opened anew"]

    def test_a_file_that_was_moved_away_and_made_again(self, store: FileStore, path: Path) -> None:
        """As logrotate does with `create`."""
        away = path.with_name("away")
        path.rename(away)
        path.touch()
        store.write(batch(NEW))
        store.close()
        self.check(away, OLD)
        self.check(path, NEW)

    def test_again_and_again(self, store: FileStore, path: Path) -> None:
        for n in range(1, 6):
            path.rename(path.with_name(f"away-{n}"))
            store.write(batch(range(10 * n, 10 * n + 10)))
        store.close()
        for n in range(1, 6):
            self.check(path.with_name(f"away-{n}"), range(10 * n - 10, 10 * n))
        self.check(path, range(50, 60))

    def test_a_file_that_is_moved_away_as_soon_as_it_is_open(
        self, store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        away, later = path.with_name("away"), path.with_name("later")
        path.rename(away)
        watch = store.watch_file

        def too_late() -> None:
            if not later.exists():
                path.rename(later)
            watch()

        monkeypatch.setattr(store, "watch_file", too_late)
        with pytest.raises(ConnectionError):
            store.write(batch(NEW))
        store.write(batch(NEW))
        store.close()
        self.check(away, OLD)
        self.check(path, NEW)
        assert len(_said(caplog)) == 1

    def test_a_reload_does_not_wait_for_a_batch(self, store: FileStore, path: Path) -> None:
        """As after logrotate's `postrotate`: what was moved away is whole, and compressed next."""
        away = path.with_name("away")
        path.rename(away)
        store.reload()
        assert path.exists()
        self.check(away, OLD)
        store.reload()
        store.write(batch(NEW))
        store.close()
        self.check(path, NEW)

    def test_a_reload_of_a_file_that_is_there_changes_nothing(self, store: FileStore, path: Path) -> None:
        store.reload()
        store.write(batch(NEW))
        store.close()
        self.check(path, OLD, NEW)

    def test_a_file_that_was_moved_away_before_the_end(self, store: FileStore, path: Path) -> None:
        away = path.with_name("away")
        path.rename(away)
        store.close()
        self.check(away, OLD)
        assert not path.exists()

    def test_a_file_that_was_deleted(self, store: FileStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path.unlink()
        store.write(batch(NEW))
        store.close()
        self.check(path, NEW)
        assert _said(caplog) == [f"{store.scheme}: {path} was deleted; it is opened anew"]

    def test_what_goes_into_a_file_that_is_deleted_meanwhile_is_written_again(
        self, store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = store.write_file
        left = [1]

        def deleted_meanwhile(flows: FlowBatch) -> Sequence[RowError] | None:
            answer = write(flows)
            if left:
                left.pop()
                path.unlink()
            return answer

        monkeypatch.setattr(store, "write_file", deleted_meanwhile)
        store.write(batch(NEW))
        store.close()
        self.check(path, NEW)

    def test_a_file_that_was_replaced(self, store: FileStore, path: Path) -> None:
        other = path.with_name("other")
        second = self.opened(other)
        second.write(batch(range(30, 40)))
        second.close()
        other.replace(path)
        store.write(batch(NEW))
        store.close()
        self.check(path, NEW, range(30, 40))

    @pytest.mark.parametrize("what", ["folder", "foreign"])
    def test_something_else_is_in_its_place_for_a_while(self, store: FileStore, path: Path, what: str) -> None:
        path.rename(path.with_name("away"))
        if what == "folder":
            path.mkdir()
        else:
            path.write_text("something else\n" * 1000)
        for _ in range(3):
            with pytest.raises(ConnectionError):
                store.write(batch(NEW))
        with pytest.raises(ConnectionError):  # as the delivery does it
            store.connect(store.url or "")
        if what == "folder":
            path.rmdir()
        else:
            assert path.read_text() == "something else\n" * 1000
            path.unlink()
        store.write(batch(NEW))
        store.close()
        self.check(path.with_name("away"), OLD)
        self.check(path, NEW)

    @pytest.mark.parametrize("moved", [True, False])
    def test_its_folder_goes_for_a_while(self, store: FileStore, path: Path, moved: bool) -> None:
        away = path.parent.with_name("away")
        if moved:
            path.parent.rename(away)
        else:
            shutil.rmtree(path.parent)
        with pytest.raises(ConnectionError):
            store.write(batch(NEW))
        path.parent.mkdir()
        store.write(batch(NEW))
        store.close()
        self.check(path, NEW)
        if moved:
            self.check(away / path.name, OLD)

    def test_a_delivery_waits_for_its_folder(self, path: Path) -> None:
        """Nothing is lost, and nothing refused."""
        store = open_adaptor(self.url.format(path=path))
        assert isinstance(store, FileStore)
        store.context = standalone_context(batch(OLD).schema)
        delivery = Delivery("files", store, live=True, events=store.events, url=store.url, backoff=(0.01, 0.05))
        delivery.start()
        try:
            delivery.put(batch(OLD))
            _until(lambda: delivery.counters()["delivered"] == 10)
            away = path.parent.with_name("away")
            path.parent.rename(away)
            delivery.put(batch(NEW))
            _until(lambda: delivery.state == "retrying" and delivery.counters()["writes"] > 12)
            path.parent.mkdir()
            _until(lambda: delivery.counters()["delivered"] == 20)
            path.rename(path.with_name("moved"))
            delivery.reload()
            _until(path.exists)
        finally:
            delivery.finish(5)
        assert delivery.counters()["dead_lettered"] == delivery.counters()["lost"] == 0
        self.check(away / path.name, OLD)
        self.check(path.with_name("moved"), NEW)

    def test_what_is_not_aicores_is_refused_before_anything_is_read(self, path: Path) -> None:
        path.write_text("something else\n" * 1000)
        with pytest.raises(UsageError):
            open_adaptor(self.url.format(path=path))
        assert path.read_text() == "something else\n" * 1000


def _until(condition: Callable[[], bool]) -> None:
    _wait(condition, 30)
    assert condition()


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

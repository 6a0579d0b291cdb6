# SPDX-License-Identifier: Apache-2.0
"""The tables, whole runs, rotation, and what is made of errors."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import tables
from aicore_hdf5 import Hdf5Adaptor, latest
from aicore_hdf5.columns import layout
from beside_jsonl import DEMO, real_captures, run
from captures.build import CAPTURES
from full_disk import fill_and_complete, mounted
from support import opened, write

from aicore import Fatal, FlowBatch, UsageError, open_adaptor, record_fields
from aicore.testing import FileStoreContract, event, flow_id, make_batch


def store(tmp_path: Path, options: str = "") -> str:
    return f"hdf5:{tmp_path}/flows.h5{options}"


def rows_of(path: Path, table: str = "table_tcp") -> Any:
    with tables.open_file(str(path)) as file:
        return file.root.flows[table].read()


def level(path: Path) -> int:
    with tables.open_file(str(path)) as file:
        return int(file.root.flows.table_tcp.filters.complevel)


def aside(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("flows-*.h5"))


# -- tables -----------------------------------------------------------------------------------------------------------


def test_the_tables_of_the_seed(tmp_path: Path) -> None:
    udp = event("update", 2, 2, proto=17, layer7="dns", sslhost=None, dnsdomain="a.example")
    write(store(tmp_path), FlowBatch.from_rows([event("update", 1, 1, httphost="b.example"), udp]))
    (tcp,), (other,) = rows_of(tmp_path / "flows.h5"), rows_of(tmp_path / "flows.h5", "table_udp")
    assert tcp.dtype.names[:4] == ("name", "bytes", "l7", "layer7info")
    assert tcp[["name", "bytes", "l7", "layer7info"]].tolist() == (
        b"10.0.0.1:1025:6:192.0.2.1:443",
        100,
        b"tls",
        b"b.example",
    )
    assert (other["l7"], other["layer7info"]) == (b"dns", b"a.example")
    with tables.open_file(str(tmp_path / "flows.h5")) as file:  # as the seed looks for a flow
        found = file.root.flows.table_tcp.read_where("name == b'10.0.0.1:1025:6:192.0.2.1:443'")
    assert len(found) == 1


def test_columns_have_the_widths_of_the_schema() -> None:
    dtype = layout(["sipfrom", "quicversion"], record_fields())[0].dtype
    widths = {name: dtype[name].itemsize for name in ("name", "l7", "httphost", "httpuri", "useragent", "flow_id")}
    assert widths == {"name": 104, "l7": 64, "httphost": 255, "httpuri": 512, "useragent": 255, "flow_id": 64}


@pytest.mark.parametrize("text", ["x" * 600, "é" * 300, "x" + "é" * 300, "x" * 256])
def test_longer_strings_are_cut_at_a_character_and_counted(tmp_path: Path, text: str) -> None:
    adaptor = opened(store(tmp_path))
    adaptor.write(make_batch(2, sslhost=text))
    adaptor.close()
    assert adaptor.cut == 2
    for record in latest(tmp_path / "flows.h5"):
        assert record["cut"] == 1
        kept = record["sslhost"]
        assert text.startswith(kept)
        assert 254 <= len(kept.encode()) <= 255


def test_longer_lists_lose_items_and_are_counted(tmp_path: Path) -> None:
    ips = [f"192.0.2.{n}" for n in range(100)]
    write(store(tmp_path), make_batch(1, dnsips=ips), make_batch(1, first=1, version=2, dnsips=ips[:2]))
    cut, whole = sorted(latest(tmp_path / "flows.h5"), key=lambda record: record["version"])
    assert (cut["cut"], cut["dnsips"]) == (1, ips[: len(cut["dnsips"])])
    assert (whole["cut"], whole["dnsips"]) == (0, ips[:2])


def test_absent_is_not_zero_or_empty(tmp_path: Path) -> None:
    there = event("update", 1, 1, score=0, sslhost="")
    absent = event("update", 2, 2, score=None, sslhost=None)
    write(store(tmp_path, "?fields=score"), FlowBatch.from_rows([there, absent]))
    first, second = sorted(latest(tmp_path / "flows.h5"), key=lambda record: record["version"])
    assert (first["score"], first["sslhost"]) == (0, "")
    assert not {"score", "sslhost"} & second.keys()


def test_the_latest_record_of_a_flow_whatever_came_last(tmp_path: Path) -> None:
    new, old = make_batch(5, version=1000), make_batch(5, version=1)
    write(store(tmp_path), new, old)
    assert len(rows_of(tmp_path / "flows.h5")) == 10
    assert sorted(record["version"] for record in latest(tmp_path / "flows.h5")) == [*range(1000, 1005)]


# -- whole runs -------------------------------------------------------------------------------------------------------


def as_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """As it stands in the JSON: times are RFC 3339 there."""
    found = {name: value for name, value in record.items() if name not in ("version", "cut")}
    for name in ("opened", "first_seen", "last_seen"):
        seconds, rest = divmod(found[name], 1_000_000_000)
        found[name] = f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"
    return found


def check(path: Path, records: Sequence[dict[str, Any]], fields: set[str]) -> int:
    """The store has these flows, every field of them; gives how many strings are cut."""
    wanted = {record["flow_id"]: {name: record[name] for name in record.keys() & fields} for record in records}
    found = {record["flow_id"]: record for record in latest(path)}
    assert found.keys() == wanted.keys()
    assert len(wanted) == len(records)
    for flow, record in found.items():
        held, whole = as_json(record), wanted[flow]
        assert held.keys() == whole.keys()
        differ = [name for name in whole if held[name] != whole[name]]
        assert len(differ) == record["cut"]
        for name in differ:
            assert whole[name][: len(held[name])] == held[name]
    return sum(record["cut"] for record in found.values())


FIELDS = {field.name for field in layout([], record_fields())[0].fields}


@pytest.mark.parametrize("name", ["demo", "vlan_twins", "port_reuse", "dns_many", "out_of_order", "jumbo", "half_open"])
def test_the_projects_captures_field_by_field(tmp_path: Path, name: str) -> None:
    path = DEMO if name == "demo" else CAPTURES[name]().write(tmp_path / f"{name}.pcap")
    check(tmp_path / "flows.h5", run(tmp_path, store(tmp_path), path, wait=()), FIELDS)


def test_reading_again_changes_seq_and_version_alone(tmp_path: Path) -> None:
    path = tmp_path / "flows.h5"
    run(tmp_path, store(tmp_path), DEMO, wait=())
    before = {record["flow_id"]: record for record in latest(path)}
    run(tmp_path, store(tmp_path), DEMO, wait=())
    after = {record["flow_id"]: record for record in latest(path)}
    assert before.keys() == after.keys()
    for flow, old in before.items():
        assert after[flow]["version"] > old["version"]
        assert after[flow] | {"seq": 0, "version": 0} == old | {"seq": 0, "version": 0}
    assert aside(tmp_path) == []


def test_real_captures_field_by_field(tmp_path: Path) -> None:
    captures = real_captures()
    assert len(captures) == 30
    records = run(tmp_path, store(tmp_path), *captures, wait=())
    assert len(records) > 300
    cut = check(tmp_path / "flows.h5", records, FIELDS)
    assert cut < len(records) / 10


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_closed_file_is_compressed_and_appended_to_later(tmp_path: Path) -> None:
    path = tmp_path / "flows.h5"
    write(store(tmp_path), make_batch(1000))
    assert level(path) == 1
    assert path.stat().st_size < 1_000_000 < rows_of(path).nbytes
    write(store(tmp_path), make_batch(1000, first=1000, version=1001))
    assert level(path) == 1
    assert len(rows_of(path)) == len(list(latest(path))) == 2000
    assert [*tmp_path.iterdir()] == [path]


def test_without_compression(tmp_path: Path) -> None:
    write(store(tmp_path, "?compress=0"), make_batch(3))
    assert level(tmp_path / "flows.h5") == 0


def test_rotation_by_size(tmp_path: Path) -> None:
    batches = [make_batch(500, first=500 * n, version=500 * n + 1) for n in range(7)]
    write(store(tmp_path, "?rotate_size=3"), *batches)
    assert len(aside(tmp_path)) == 3  # 500 rows are 1.6 MiB, and a file is full at the first batch beyond 3
    assert {level(path) for path in aside(tmp_path)} == {1}
    assert {record["flow_id"] for record in latest(tmp_path / "flows.h5")} == {flow_id(n) for n in range(3500)}


def test_rotation_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adaptor = opened(store(tmp_path, "?rotate_every=3600"))
    adaptor.write(make_batch(1))
    adaptor.write(make_batch(1, first=1, version=2))
    assert aside(tmp_path) == []
    now = time.time()
    monkeypatch.setattr("aicore_hdf5.adaptor.time.time", lambda: now + 3601)
    adaptor.write(make_batch(1, first=2, version=3))
    adaptor.close()
    assert len(aside(tmp_path)) == 1
    assert len(rows_of(tmp_path / "flows.h5")) == 1
    assert len(list(latest(tmp_path / "flows.h5"))) == 3


def test_more_fields_begin_a_new_file(tmp_path: Path) -> None:
    write(store(tmp_path), make_batch(2))
    write(store(tmp_path, "?fields=sipfrom"), make_batch(1, first=2, version=3, sipfrom="sip:a@example"))
    assert len(aside(tmp_path)) == 1
    records = {record["flow_id"]: record for record in latest(tmp_path / "flows.h5")}
    assert len(records) == 3
    assert records[flow_id(2)]["sipfrom"] == "sip:a@example"


def test_fields_that_no_plugin_declares_have_the_type_they_come_with(tmp_path: Path) -> None:
    later = make_batch(1, first=1, version=2, color="red", score=-7, ratio=0.5, tags=["a", "b"])
    write(store(tmp_path, "?fields=color,score,ratio,tags"), make_batch(1), later)
    records = {record["flow_id"]: record for record in latest(tmp_path / "flows.h5")}
    held = records[flow_id(1)]
    assert (held["color"], held["score"], held["ratio"], held["tags"]) == ("red", -7, 0.5, ["a", "b"])
    assert "color" not in records[flow_id(0)]


def test_a_field_cannot_have_the_name_of_a_column(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="version"):
        opened(store(tmp_path, "?fields=version"))


class TestFile(FileStoreContract):
    url = "hdf5:{path}"

    def held(self, path: Path) -> list[str]:
        with tables.open_file(str(path)) as file:
            return [flow.decode() for flow in file.root.flows.table_tcp.col("flow_id")]


def test_rotation_is_no_surprise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The adaptor moves its own file away."""
    test_rotation_by_size(tmp_path)
    assert "moved away" not in caplog.text


# -- what is somebody else's ------------------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    with tables.open_file(str(path), "w") as file:
        file.create_array("/", "notes", [1, 2, 3])


def notes(path: Path) -> list[int]:
    with tables.open_file(str(path)) as file:
        return list(file.root.notes.read())


def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "flows.h5"
    foreign(path)
    before = path.read_bytes()
    with pytest.raises(Fatal, match=f"{path}: an HDF5 file, but not of flows; adopt=yes"):
        opened(store(tmp_path))
    assert path.read_bytes() == before
    for n in range(3):
        write(store(tmp_path, "?adopt=yes"), make_batch(2, first=2 * n, version=2 * n + 1))
    assert len(list(latest(path))) == 6
    assert notes(path) == [1, 2, 3]
    assert list(tmp_path.iterdir()) == [path]


def test_a_group_of_somebody_else_is_never_taken(tmp_path: Path) -> None:
    path = tmp_path / "flows.h5"
    with tables.open_file(str(path), "w") as file:
        file.create_array("/", "flows", [1])
    for options in ("", "?adopt=yes"):
        with pytest.raises(Fatal, match="its /flows is not aicore's"):
            opened(store(tmp_path, options))


@pytest.mark.parametrize("level", [0, 1])
def test_what_somebody_adds_to_our_file_stays(tmp_path: Path, level: int) -> None:
    """A compressed copy has our tables alone, so that such a file is not copied."""
    path = tmp_path / "flows.h5"
    write(store(tmp_path, f"?compress={level}"), make_batch(2))
    with tables.open_file(str(path), "a") as file:
        file.create_array("/", "notes", [1, 2, 3])
        file.create_table("/flows", "extra", {"x": tables.Int32Col()})
    write(store(tmp_path), make_batch(2, first=2, version=3))
    write(store(tmp_path), make_batch(2, first=4, version=5))
    assert len(list(latest(path))) == 6
    (kept,) = aside(tmp_path) or [path]
    assert notes(kept) == [1, 2, 3]


def test_attributes_of_somebody_else_stay(tmp_path: Path) -> None:
    path = tmp_path / "flows.h5"
    write(store(tmp_path), make_batch(2))
    with tables.open_file(str(path), "a") as file:
        for node in (file.root, file.root.flows, file.root.flows.table_tcp):
            node._v_attrs.mine = "mine"
    write(store(tmp_path), make_batch(2, first=2, version=3))
    with tables.open_file(str(path)) as file:
        for node in (file.root, file.root.flows, file.root.flows.table_tcp):
            assert node._v_attrs.mine == "mine"
        assert file.root.flows.table_tcp.nrows == 4


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/null", path), os.mkdir])
def test_what_is_no_file_is_refused(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(UsageError, match=r"it is a (pipe|device|directory)"):
        open_adaptor(f"hdf5:{tmp_path}/x")


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nothing", "folder", "other", "below", "strange.h5", "short.h5"])
def test_what_no_retry_cures_is_fatal(kind: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("no HDF5 file of anybody's\n" * 100)
    (tmp_path / "folder").mkdir()
    tables.open_file(str(tmp_path / "strange.h5"), "w").close()
    write(store(tmp_path), make_batch(3))
    (tmp_path / "short.h5").write_bytes((tmp_path / "flows.h5").read_bytes()[:-100])
    path = {"nothing": "nothing/flows.h5", "below": "other/flows.h5"}.get(kind, kind)
    if kind not in ("strange.h5", "short.h5"):  # those are known once they are opened
        with pytest.raises(UsageError, match=r"^hdf5: /.*"):
            open_adaptor(f"hdf5:{tmp_path}/{path}")
    with pytest.raises(Fatal, match=r"^hdf5: /.*") as error:
        Hdf5Adaptor().connect(f"{tmp_path}/{path}")
    assert "\n" not in str(error.value)


def test_a_file_that_another_process_writes_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "flows.h5"
    hold = "import sys, support; support.opened(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", hold, f"hdf5:{path}"],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(BlockingIOError, match="another process writes it"):
            opened(f"hdf5:{path}")
        holder.communicate("")
    write(f"hdf5:{path}", make_batch(3))
    assert len(list(latest(path))) == 3


FULL = """
import resource, sys
import tables
from aicore.testing import make_batch
from support import opened

adaptor = opened(sys.argv[1])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, hard))
rows = failed = 0
while rows < 10_000:
    try:
        adaptor.write(make_batch(1000, first=rows, version=rows + 1))
    except (OSError, tables.HDF5ExtError):
        failed += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    else:
        rows += 1000
adaptor.close()
print(failed)
"""


def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", FULL, store(tmp_path)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"
    assert {record["flow_id"] for record in latest(tmp_path / "flows.h5")} == {flow_id(n) for n in range(10_000)}


def test_a_full_disk_is_given_up_and_completed_by_the_next_run(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 48) as disk:
        path = disk / "flows.h5"
        fill_and_complete(tmp_path, disk, f"hdf5:{path}", lambda: len({row["flow_id"] for row in latest(path)}))


def test_adaptors_of_several_threads(tmp_path: Path) -> None:
    def deliver(name: str) -> None:
        write(f"hdf5:{tmp_path}/{name}.h5", *(make_batch(200, first=n * 200, version=n * 200 + 1) for n in range(20)))

    threads = [threading.Thread(target=deliver, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("one", "two", "three"):
        assert len(list(latest(tmp_path / f"{name}.h5"))) == 4000


def test_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no store of flows"):
        list(latest(tmp_path / "flows.h5"))

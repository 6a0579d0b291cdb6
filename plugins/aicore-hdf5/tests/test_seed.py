# SPDX-License-Identifier: Apache-2.0
"""The HDF5 program of AIEngine's page, run as a user would run it.

Only the interface is replaced by a capture, in the text of the copy that is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import tables
from captures.build import dns, http, tls
from captures.files import talks

SEED = Path(__file__).resolve().parents[3] / "examples" / "seed"


def test_the_seeds_program(tmp_path: Path) -> None:
    capture = talks(*(talk for n in range(10) for talk in (dns(42000 + n), http(40000 + n), tls(41000 + n))))
    path = capture.write(tmp_path / "visits.pcap")
    shutil.copy(SEED / "hadoop_adaptor.py", tmp_path)
    text = (SEED / "hadoop_main.py").read_text()
    udp = "st.set_udp_database_adaptor(db, 16)"
    for old, new in {'"eth0"': repr(str(path)), udp: f"{udp}\nst.set_tcp_database_adaptor(db, 16)"}.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / "hadoop_main.py").write_text(text)
    done = subprocess.run([sys.executable, "hadoop_main.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    flows = {flow.key.encode(): flow for flow in capture.flows}
    with tables.open_file(str(tmp_path / "flows.h5")) as file:
        for name, proto in (("table_tcp", 6), ("table_udp", 17)):
            rows = {row["name"]: row for row in file.root.flows[name].read()}
            wanted = {key: flow for key, flow in flows.items() if f":{proto}:".encode() in key}
            assert rows.keys() == wanted.keys()
            for key, flow in wanted.items():
                info = next((flow.fields[n] for n in ("httphost", "sslhost", "dnsdomain") if n in flow.fields), "")
                assert rows[key]["bytes"] == flow.bytes
                assert rows[key]["layer7info"].decode() == info
                assert rows[key]["l7"]

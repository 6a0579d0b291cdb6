# SPDX-License-Identifier: Apache-2.0
"""The Cassandra program of AIEngine's page, run as a user would run it.

Only the interface is replaced by a capture, and the server by the tests' own, in the text of the copy that is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from captures.build import dns, http, tls
from captures.files import talks
from conftest import PASSWORD, Keyspace
from support import connected

SEED = Path(__file__).resolve().parents[3] / "examples" / "seed"


def replaced(text: str, **words: str) -> str:
    for old, new in words.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_the_seeds_program(keyspace: Keyspace, tmp_path: Path) -> None:
    capture = talks(*(talk for n in range(10) for talk in (dns(42000 + n), http(40000 + n), tls(41000 + n))))
    path = capture.write(tmp_path / "visits.pcap")
    connected(f"{keyspace.url}&preset=seed").close()  # the table as its docstring has it
    login = f"PlainTextAuthProvider('cassandra', '{PASSWORD}')"
    adaptor = (SEED / "cassandra_adaptor.py").read_text()
    port = f"port={keyspace.server.port}, auth_provider={login}"
    adaptor = replaced(adaptor, **{"port=9042": port, "connect('demo')": f"connect({keyspace.name!r})"})
    imports = "from cassandra.auth import PlainTextAuthProvider\nimport json"
    (tmp_path / "cassandra_adaptor.py").write_text(replaced(adaptor, **{"import json": imports}))
    main = (SEED / "cassandra_main.py").read_text()
    tcp = "st.set_udp_database_adaptor(db, 16)\nst.set_tcp_database_adaptor(db, 16)"
    main = replaced(main, **{'"eth0"': repr(str(path)), "st.set_udp_database_adaptor(db, 16)": tcp})
    (tmp_path / "cassandra_main.py").write_text(main)
    done = subprocess.run([sys.executable, "cassandra_main.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["key"]: row for row in keyspace.ask("SELECT * FROM {}.flows")}
    flows = {flow.key: flow for flow in capture.flows}
    assert rows.keys() == flows.keys()
    for key, flow in flows.items():
        assert rows[key]["bytes"] == flow.bytes
        assert rows[key]["layer7info"] == flow.fields.get("httphost", flow.fields.get("sslhost"))

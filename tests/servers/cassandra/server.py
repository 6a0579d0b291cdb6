# SPDX-License-Identifier: Apache-2.0
"""A real Cassandra node on loopback, for tests: started, killed, frozen and started again on the same data.

The jars come from Maven Central, once a machine, into $XDG_CACHE_HOME/aicore. Needs `mvn` and Java 17.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from servers.starting import Unavailable, free_port

HERE = Path(__file__).resolve().parent
START_SECONDS = 180  # a cold start took 12 s alone, several times that with both cores taken

#: Packages that Cassandra reaches into, as its own conf/jvm17-server.options lists them.
_EXPORTS = """
java.base/jdk.internal.misc java.base/java.lang.ref java.management.rmi/com.sun.jmx.remote.internal.rmi
java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql jdk.unsupported/sun.misc
jdk.attach/sun.tools.attach jdk.compiler/com.sun.tools.javac.file
"""
_OPENS = """
java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.nio
java.base/java.util java.base/jdk.internal.loader java.base/jdk.internal.math java.base/jdk.internal.module
java.base/jdk.internal.ref java.base/jdk.internal.reflect java.base/jdk.internal.util.jar java.base/sun.nio.ch
java.rmi/sun.rmi.transport.tcp jdk.compiler/com.sun.tools.javac jdk.management/com.sun.management.internal
"""
_LOGBACK = """<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender">
<encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="out"/></root></configuration>"""


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise Unavailable("Cassandra needs Java 17, and there is no `java`")
    version = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stderr
    if '"17.' not in version and '"11.' not in version:
        raise Unavailable(f"Cassandra 5.0 runs on Java 11 or 17, not on {version.splitlines()[0]}")
    return found


def jars() -> Path:
    """The folder of the server's jars, filled once for each pom.xml."""
    pom = HERE / "pom.xml"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aicore" / "servers"
    folder = cache / f"cassandra-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "cassandra.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        if shutil.which("mvn") is None:
            raise Unavailable("Cassandra's jars come by Maven, and there is no `mvn`")
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
        command = ["mvn", "-q", "-B", "-f", str(pom), goal, "-DincludeScope=runtime", f"-DoutputDirectory={part}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Unavailable(f"Maven cannot get Cassandra's jars: {done.stdout[-2000:]}")
        part.rename(folder)
    return folder


class CassandraServer:
    """One node; the same ports and data over all its starts. User and password are `cassandra` with `auth`."""

    host = "127.0.0.1"

    def __init__(self, folder: Path, *, auth: bool = False, heap: str = "1g", jvm: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.storage_port = free_port()
        self._auth = auth
        self._heap = heap
        self._jvm = jvm
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "system.log"

    def start(self) -> None:
        """Returns once the node answers CQL. Unavailable without Java or Maven, RuntimeError if it does not start."""
        command = self._command(java(), jars())
        self._write_config()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Cassandra did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it in order; kills it where that takes more than 60 s."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """CPU time of the server so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        """An OPTIONS frame of the native protocol, version 4, is answered by SUPPORTED."""
        try:
            with socket.create_connection((self.host, self.port), timeout=5) as probe:
                probe.sendall(bytes([4, 0, 0, 0, 5, 0, 0, 0, 0]))
                return probe.recv(5) == bytes([0x84, 0, 0, 0, 6])
        except OSError:
            return False

    def _write_config(self) -> None:
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tmp").mkdir(exist_ok=True)
        config = {
            "cluster_name": "tests",
            "num_tokens": 1,
            "initial_token": "0",
            "auto_bootstrap": False,
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "endpoint_snitch": "SimpleSnitch",
            "seed_provider": [
                {
                    "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                    "parameters": [{"seeds": f"{self.host}:{self.storage_port}"}],
                }
            ],
            "listen_address": self.host,
            "storage_port": self.storage_port,
            "rpc_address": self.host,
            "native_transport_port": self.port,
            "authenticator": "PasswordAuthenticator" if self._auth else "AllowAllAuthenticator",
            "authorizer": "CassandraAuthorizer" if self._auth else "AllowAllAuthorizer",
            # A right that was taken away is felt soon. With 0 each statement of a batch looks it up.
            "permissions_validity": "500ms",
            "roles_validity": "500ms",
            "credentials_validity": "500ms",
            "data_file_directories": [str(folder / "data")],
            "commitlog_directory": str(folder / "commitlog"),
            "saved_caches_directory": str(folder / "saved_caches"),
            "hints_directory": str(folder / "hints"),
            "cdc_raw_directory": str(folder / "cdc_raw"),
            # What was acknowledged survives kill -9. With `periodic`, as shipped, up to 89 ms of acknowledged rows were
            # gone after it (5 of 5 kills; 0 of 5 with batch): replay ends at the last marker of the log.
            "commitlog_sync": "batch",
            "commitlog_segment_size": "16MiB",
            "commitlog_total_space": "128MiB",
            "memtable_heap_space": "128MiB",
            "memtable_offheap_space": "64MiB",
            "file_cache_size": "32MiB",
            "networking_cache_size": "16MiB",
            "key_cache_size": "8MiB",
            "counter_cache_size": "0MiB",
            "concurrent_reads": 8,
            "concurrent_writes": 8,
            "concurrent_counter_writes": 2,
            "concurrent_materialized_view_writes": 2,
            "concurrent_compactors": 1,
            "memtable_flush_writers": 1,
            "native_transport_max_threads": 16,
            "auto_snapshot": False,
            "hinted_handoff_enabled": False,
            "dynamic_snitch": False,
        }
        (folder / "cassandra.yaml").write_text(json.dumps(config, indent=1))  # JSON is YAML
        (folder / "logback.xml").write_text(_LOGBACK)

    def _command(self, java: str, lib: Path) -> list[str]:
        folder = self.folder
        (jamm,) = lib.glob("jamm-*.jar")
        return [
            java,
            "-Xms256m",
            f"-Xmx{self._heap}",
            "-Xss512k",
            "-XX:+UseSerialGC",
            "-XX:MaxDirectMemorySize=256m",
            "-XX:+ExitOnOutOfMemoryError",
            *self._jvm,
            f"-javaagent:{jamm}",
            "-Djdk.attach.allowAttachSelf=true",
            "-Djava.net.preferIPv4Stack=true",
            f"-Djava.io.tmpdir={folder / 'tmp'}",
            f"-Djna.tmpdir={folder / 'tmp'}",
            "-Dio.netty.tryReflectionSetAccessible=true",
            "-Dio.netty.eventLoopThreads=2",
            f"-Dcassandra.config=file://{folder / 'cassandra.yaml'}",
            f"-Dlogback.configurationFile={folder / 'logback.xml'}",
            f"-Dcassandra.storagedir={folder}",
            f"-Dcassandra.logdir={folder}",
            "-Dcassandra-foreground=yes",
            # One node need not wait for others.
            "-Dcassandra.skip_wait_for_gossip_to_settle=0",
            "-Dcassandra.ring_delay_ms=100",
            "-Dcassandra.superuser_setup_delay_ms=0",
            "-Dcassandra.load_ring_state=false",
            "-Dcassandra.consistent.rangemovement=false",
            "-Dcassandra.shutdown_announce_in_ms=0",
            *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS.split()),
            *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS.split()),
            "-cp",
            f"{folder}:{lib}/*",
            "org.apache.cassandra.service.CassandraDaemon",
        ]

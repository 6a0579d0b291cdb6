# SPDX-License-Identifier: Apache-2.0
"""Real Elasticsearch and OpenSearch nodes on loopback, for tests: started, killed, frozen, started again on their data.

The jars come from Maven Central, once a machine, into $XDG_CACHE_HOME/aicore. Needs `mvn` and a JDK, 17 or newer. The
distributions cannot be had there, so a launcher of our own starts each server's node class; what it leaves out are the
security modules: nobody has to log in.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZipFile

from servers.starting import Unavailable, free_port

HERE = Path(__file__).resolve().parent
START_SECONDS = 240  # a cold start took 8 s alone, several times that with both cores taken

_LOG4J = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""
# Of Java, the first compiler only: in runs of a minute the second one takes more than it gives.
SHORT_RUN = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def jdk() -> tuple[Path, int]:
    """The folder with `java` and `javac`, and the version."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("javac", path=f"{home}/bin" if home else None)
    if found is None:
        raise Unavailable("Elasticsearch needs a JDK, 17 or newer, and there is no `javac`")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=True)
    version = re.search(r"javac (\d+)", said.stdout + said.stderr)
    if version is None or int(version[1]) < 17:
        raise Unavailable(f"Elasticsearch needs a JDK, 17 or newer, and {found} is {said.stdout.strip()}")
    return Path(found).resolve().parent, int(version[1])


class Node:
    """One node; the same port and data over all its starts."""

    kind: ClassVar[str]
    launcher: ClassVar[str]

    def __init__(
        self,
        folder: Path,
        *,
        heap: str = "512m",
        jvm: tuple[str, ...] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._heap = heap
        self._jvm = jvm
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For aicore."""
        return f"{self.kind}://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "console.log"

    def start(self) -> None:
        """Returns once every primary shard is there. Unavailable without JDK or Maven, RuntimeError where it does not
        start."""
        binaries, version = jdk()
        build = self._build(binaries)
        for name in ("config", "data", "logs", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "config" / "log4j2.properties").write_text(_LOG4J)
        vector = ["--add-modules=jdk.incubator.vector"] if version >= 21 else []
        command = [
            str(binaries / "java"),
            f"-Xms{self._heap}",
            f"-Xmx{self._heap}",
            "-Xss1m",
            *self._jvm,
            *vector,
            "--enable-native-access=ALL-UNNAMED",
            f"-Dlog4j2.configurationFile={self.folder}/config/log4j2.properties",
            "-Dlog4j2.disableJmx=true",
            "-Dlog4j.shutdownHookEnabled=false",
            f"-Djava.io.tmpdir={self.folder}/tmp",
            "-Djava.awt.headless=true",
            "-Djava.net.preferIPv4Stack=true",
            "-Dio.netty.noUnsafe=true",
            "-Dio.netty.noKeySetOptimization=true",
            "-Dio.netty.recycler.maxCapacityPerThread=0",
            "-XX:+ExitOnOutOfMemoryError",
            *self._flags(build),
            "-cp",
            f"{build}/launcher:{build}/lib/*",
            self.launcher,
            *self._arguments(build),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.kind} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
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

    def request(self, method: str, path: str, body: object = None) -> Any:
        """The server's answer as Python objects. RuntimeError for a status of 400 or more."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {answer.decode()[:2000]}")
        return json.loads(answer)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        try:
            self.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s")
        except (OSError, http.client.HTTPException, RuntimeError):
            return False
        return True

    def _build(self, binaries: Path) -> Path:
        """The folder of jars and compiled launcher, made once for each pom.xml, sources and JDK."""
        sources = HERE / self.kind
        digest = hashlib.sha256(str(binaries).encode())
        for file in sorted(sources.iterdir()):
            digest.update(file.read_bytes())
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aicore" / "servers"
        folder = cache / f"{self.kind}-{digest.hexdigest()[:12]}"
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{self.kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder
            if shutil.which("mvn") is None:
                raise Unavailable(f"the jars of {self.kind} come by Maven, and there is no `mvn`")
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _run(
                *("mvn", "-q", "-B", "-Dstyle.color=never", "-f", sources / "pom.xml"),
                *(_COPY, "-DincludeScope=runtime", f"-DoutputDirectory={part}/lib"),
            )
            _compile(binaries, part, part / "launcher", sources / f"{self.launcher}.java")
            self._assemble(binaries, part)
            part.rename(folder)
        return folder

    def _assemble(self, binaries: Path, part: Path) -> None:
        """What a server needs beside its jars."""

    def _flags(self, build: Path) -> list[str]:
        raise NotImplementedError

    def _arguments(self, build: Path) -> list[str]:
        raise NotImplementedError


class ElasticsearchNode(Node):
    """Elasticsearch 8.19, the last that runs on Java 17."""

    kind = "elasticsearch"
    launcher = "EsLauncher"

    def _assemble(self, binaries: Path, part: Path) -> None:
        # HTTP is a module with a class loader of its own, and the root page, by which drivers know the product, is in
        # one that Maven Central lacks.
        netty, root = part / "home/modules/transport-netty4", part / "home/modules/root-page"
        netty.mkdir(parents=True)
        root.mkdir(parents=True)
        for jar in [*part.glob("lib/netty-*.jar"), *part.glob("lib/transport-netty4-*.jar")]:
            jar.rename(netty / jar.name)
        (transport,) = netty.glob("transport-netty4-*.jar")
        with ZipFile(transport) as archive:
            text = archive.read("META-INF/es-plugins/transport-netty4/plugin-descriptor.properties").decode()
        # Without `modulename` a module is loaded from its jars, as the server is on the class path.
        lines = [line for line in text.splitlines() if not line.startswith("modulename=")]
        (netty / "plugin-descriptor.properties").write_text("\n".join(lines) + "\n")
        own = {"name": "root-page", "description": "GET and HEAD of the root", "classname": "root.RootPlugin"}
        lines = [line for line in lines if line.partition("=")[0] not in own]
        lines += [f"{name}={value}" for name, value in own.items()]
        (root / "plugin-descriptor.properties").write_text("\n".join(lines) + "\n")
        sources = HERE / self.kind
        _compile(binaries, part, part / "root", sources / "RootHandler.java", sources / "RootPlugin.java")
        _run(binaries / "jar", "-cf", root / "root-page.jar", "-C", part / "root", ".")
        native = part / "home/lib/platform/linux-x64"
        native.mkdir(parents=True)
        for library in ("/usr/lib/x86_64-linux-gnu/libzstd.so.1", "/usr/lib64/libzstd.so.1"):
            if Path(library).exists():
                (native / "libzstd.so").symlink_to(library)
                break

    def _flags(self, build: Path) -> list[str]:
        return [f"-Des.path.home={build}/home", "-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false"]

    def _arguments(self, build: Path) -> list[str]:
        settings = {
            "cluster.name": "tests",
            "node.name": "node-1",
            "path.data": f"{self.folder}/data",
            "path.logs": f"{self.folder}/logs",
            "network.host": "127.0.0.1",
            "http.port": self.port,
            "transport.port": 0,
            "discovery.type": "single-node",
            "cluster.routing.allocation.disk.threshold_enabled": False,
            **self._settings,
        }
        (self.folder / "config" / "elasticsearch.yml").write_text(json.dumps(settings))  # JSON is YAML
        return [f"{build}/home", f"{self.folder}/config"]


class OpensearchNode(Node):
    """OpenSearch 2.19, the last that runs on Java 17."""

    kind = "opensearch"
    launcher = "OsLauncher"

    def _flags(self, build: Path) -> list[str]:  # noqa: ARG002  # as the base has it
        return ["-Dnode.host=127.0.0.1", f"-Dnode.port={self.port}"]

    def _arguments(self, build: Path) -> list[str]:  # noqa: ARG002
        (self.folder / "config" / "opensearch.yml").write_text(json.dumps(self._settings) if self._settings else "")
        return [f"{self.folder}/{name}" for name in ("config", "data", "logs", "base")]


def _compile(binaries: Path, part: Path, target: Path, *sources: Path) -> None:
    _run(binaries / "javac", "-proc:none", "-nowarn", "-d", target, "-cp", f"{part}/lib/*", *sources)


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stdout[-2000:]}")

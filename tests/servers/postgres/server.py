# SPDX-License-Identifier: Apache-2.0
"""A real PostgreSQL cluster on loopback, for tests: started, killed, frozen and started again on the same data.

Of Debian's package `postgresql`, or of what PATH has. Never the system's cluster: it has a folder and a port of its
own, and runs as a user without rights, as PostgreSQL refuses root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from servers.starting import Unavailable, free_port

START_SECONDS = 60


def programs() -> Path:
    """The folder of `initdb` and `postgres`, of the newest release."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = shutil.which("initdb")
    for folder in [*reversed(folders), *([Path(found).resolve().parent] if found else [])]:
        if all((folder / name).exists() for name in ("initdb", "postgres")):
            return folder
    raise Unavailable("there is no PostgreSQL server: install Debian's package postgresql")


class PostgresServer:
    """One cluster; the same port and data over all its starts. Its superuser is `postgres`."""

    host = "127.0.0.1"
    password = "of-the-superuser"

    def __init__(self, settings: Sequence[str] = ()) -> None:
        self.bin = programs()
        self.port = free_port()
        self._settings = settings
        self._as: dict[str, object] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="aicore-postgres-"))  # short: a socket's path has 107 bytes
        if os.getuid() == 0:
            user = _unprivileged()
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """Returns once it takes connections. RuntimeError if it does not."""
        if not self.data.exists():
            self._make()
        command = [
            self.bin / "postgres", "-D", self.data, "-p", str(self.port),
            "-c", f"listen_addresses={self.host}", "-c", f"unix_socket_directories={self.folder}",
            *(part for setting in self._settings for part in ("-c", setting)),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **self._as,
            )  # type: ignore[call-overload]  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it as an administrator does: connections are broken off, the data is whole."""
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """All its processes at once."""
        if self._process is None:
            return
        family = self._family()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        # Those that are not our children hold the shared memory until they are gone.
        deadline = time.monotonic() + 10
        while any(_parent(pid) is not None for pid in family) and time.monotonic() < deadline:
            time.sleep(0.005)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Without the checkpoint of an orderly end, which takes a minute on a slow disk."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _family(self) -> list[int]:
        """The postmaster and its processes, each of which leads a session of its own."""
        assert self._process is not None
        first = self._process.pid
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        return [first, *(pid for pid in pids if _parent(pid) == first)]

    def _ready(self) -> bool:
        """As pg_ctl sees it: the last line of postmaster.pid."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        assert self._process is not None
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _make(self) -> None:
        words = self.folder / "password"
        words.write_text(self.password)
        command = [
            self.bin / "initdb", "-D", self.data, "-U", "postgres", "--auth-local=scram-sha-256",
            "--auth-host=scram-sha-256", f"--pwfile={words}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
        ]  # fmt: skip
        if self._as:
            os.chown(words, int(str(self._as["user"])), -1)
        done = subprocess.run(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, **self._as
        )  # type: ignore[call-overload]
        if done.returncode:
            raise RuntimeError(f"initdb: {done.stderr}")


def _unprivileged() -> pwd.struct_passwd:
    """The user that Debian's package makes, else nobody."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Unavailable("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _parent(pid: int) -> int | None:
    """None once it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    match = re.search(r"\) (\w) (\d+) ", text)
    return int(match[2]) if match and match[1] not in "ZX" else None

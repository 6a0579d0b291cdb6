# SPDX-License-Identifier: Apache-2.0
"""One redis-server process on a free loopback port, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import redis


def find_server() -> str | None:
    return shutil.which("redis-server")


def free_port(host: str = "127.0.0.1") -> int:
    """Below 55,536: that of a cluster's bus is 10,000 more."""
    while True:
        with socket.socket() as probe:
            probe.bind((host, 0))
            if (port := int(probe.getsockname()[1])) < 55_536:
                return port


class Server:
    """Settings are those of redis.conf, `_` for `-`."""

    def __init__(self, program: str, folder: Path, *, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> None:
        self.host = host
        self.port = port or free_port(host)
        self.folder = folder
        self.settings = {"save": "", "appendonly": "no", "loglevel": "warning", **settings}
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    def start(self, *, wait: bool = True, **settings: Any) -> None:
        words = [self._program, "--port", str(self.port), "--bind", self.host, "--dir", str(self.folder)]
        for name, value in (self.settings | settings).items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError), self.client() as client:
                client.ping()
                return
            assert self.process.poll() is None, (self.folder / "redis.log").read_text()
            assert time.monotonic() < end, "redis-server does not answer"
            time.sleep(0.01)

    def client(self, **settings: Any) -> redis.Redis:
        settings = {"socket_timeout": 5, "decode_responses": True, "protocol": 2, **settings}
        settings.setdefault("password", self.settings.get("requirepass"))
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        return redis.Redis(host=self.host, port=self.port, retry=retry, **settings)

    def ask(self, *words: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*words)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.go_on()
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

# SPDX-License-Identifier: Apache-2.0
"""`exec:COMMAND`: an adaptor in any language. It reads JSON lines and answers each batch with one; see docs/exec.md."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

from aicore.errors import Fatal, RowError, UsageError
from aicore.plugins.adaptor import DatabaseAdaptor, Events
from aicore.plugins.options import Option
from aicore.plugins.url import AdaptorURL

if TYPE_CHECKING:
    from aicore.record.batch import FlowBatch

#: Bytes of one answer at most: more than an error a row of the largest batch needs.
MAX_ANSWER = 8 << 20
#: Seconds that a command has to end by itself once its input has ended.
GOODBYE = 5.0


class ExecAdaptor(DatabaseAdaptor):
    """Runs the command, without a shell, as long as the run lasts; a command that ends is started again for the next
    try of the delivery, which backs off. Its standard error is aicore's own."""

    options = {
        "events": Option(
            str,
            default="net",
            choices=("net", "all"),
            help="net: a flow once a batch, with its latest record; all: every event",
        ),
        "timeout": Option(
            float, default=5.0, minimum=0.1, help="seconds that the answer to a batch may take", tuning=True
        ),
    }
    aicore_api = 1

    _command: list[str] | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def events(self) -> Events:  # type: ignore[override]  # depends on the option
        return "all" if self.config["events"] == "all" else "net"

    def check(self, url: AdaptorURL) -> None:
        """UsageError where there is no such command."""
        command = _command(url)
        if shutil.which(command[0]) is None:
            raise UsageError(f"exec: there is no command {command[0]} that can be run")

    def connect(self, connection_str: str) -> None:
        """Fatal where there is no such command."""
        self._command = _command(AdaptorURL.of(connection_str, "exec:"))
        self._start()

    def write(self, batch: FlowBatch) -> Sequence[RowError] | None:
        """Sends the rows and an empty line, waits for the answer. Whatever goes wrong on the way ends the command: what
        it has read of the batch is unknown, and its next life gets the batch whole."""
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._start()
        try:
            answer = self._ask(batch.json_lines(meta=True) + b"\n")
            return _understood(answer, len(batch))
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Ends the command's input and waits for it and the processes that it has started; what stays is killed."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._pipes(self._process)[0].close()
            deadline = time.monotonic() + GOODBYE
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GOODBYE)
                while time.monotonic() < deadline and _signal_group(self._process.pid, 0):
                    time.sleep(0.01)
            self._end()

    def _start(self) -> None:
        if not self._command:
            raise Fatal("exec: not connected")
        try:
            # A session of its own: an interrupt at the terminal must not end it before the last records.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        except OSError as error:
            raise Fatal(f"exec: {self._command[0]}: {error.strerror}") from error
        for pipe in self._pipes(self._process):
            os.set_blocking(pipe.fileno(), False)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # Also if the command itself has ended: a shell leaves what it was waiting for behind.
        _signal_group(process.pid, signal.SIGKILL)
        for pipe in self._pipes(process):
            with contextlib.suppress(OSError):
                pipe.close()
        process.wait()

    def _ask(self, message: bytes) -> bytes:
        """Writes and reads at once: a command may answer, or complain, before it has read everything."""
        process = self._process
        assert process is not None
        stdin, stdout = self._pipes(process)
        deadline = time.monotonic() + self.config["timeout"]
        rest, answer = memoryview(message), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stdin, selectors.EVENT_WRITE)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{self._name} has not answered within {self.config['timeout']:g} s")
                for key, _ in selector.select(left):
                    if key.fileobj is stdin:
                        rest = rest[self._send(stdin, rest) :]
                        if not rest:
                            selector.unregister(stdin)
                        continue
                    data = stdout.read(65536)
                    if not data:
                        code = process.wait(GOODBYE)
                        raise ConnectionError(f"{self._name} ended with exit code {code} instead of an answer")
                    answer += data
                if b"\n" in answer:
                    line, _, more = answer.partition(b"\n")
                    if rest or more:
                        raise ConnectionError(
                            f"{self._name} answered out of turn: one line for each empty line it reads"
                        )
                    return bytes(line)
                if len(answer) > MAX_ANSWER:
                    raise ConnectionError(f"{self._name} answered more than {MAX_ANSWER} bytes without a newline")

    def _send(self, stdin: IO[bytes], data: memoryview) -> int:
        try:
            return stdin.write(data) or 0
        except BrokenPipeError:
            raise ConnectionError(f"{self._name} closed its input") from None

    @property
    def _name(self) -> str:
        return self._command[0] if self._command else "exec"

    @staticmethod
    def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdin, process.stdout


def _signal_group(leader: int, number: int) -> bool:
    """Signals every process of the command's session but those that have left its group. False if there is none."""
    try:
        os.killpg(leader, number)
    except OSError:
        return False
    return True


def _command(url: AdaptorURL) -> list[str]:
    command = url.command()
    if url.hosts or not command:
        raise UsageError("exec: no command: write exec:COMMAND, quoted as in a shell")
    return command


def _understood(line: bytes, rows: int) -> list[RowError] | None:
    """{} for all safe, {"errors": [{"row", "kind", "reason"}]}, or {"error": reason, "kind": "retry" or "fatal"}."""
    try:
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise TypeError("it is no object")
        if "error" in answer:
            reason, kind = str(answer["error"]), answer.get("kind", "retry")
            if kind not in ("retry", "fatal"):
                raise ValueError(f"kind {kind!r} of a whole batch")
            raise Fatal(reason) if kind == "fatal" else ConnectionError(reason)
        errors = [RowError(int(e["row"]), e["kind"], str(e.get("reason", ""))) for e in answer.get("errors", ())]
        for error in errors:
            if not 0 <= error.row < rows or error.kind not in ("retry", "poison", "fatal"):
                raise ValueError(f"row {error.row}, kind {error.kind!r}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConnectionError(f"the command's answer cannot be understood ({error}): {line[:200]!r}") from None
    return errors or None

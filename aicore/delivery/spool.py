# SPDX-License-Identifier: Apache-2.0
"""The spool of one delivery: a queue of batches on disk that survives the process, and never refuses to start.

A directory of append-only segments (see `segment`), a `cursor` (how far the store has the rows) and a `lock`.
Segments, not a database: a full disk must not keep delivered rows from being freed, and unlink() needs no space.
Segments of an earlier process are read but never appended to, so what damaged their end cannot spread.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from aicore.delivery import spoolfiles
from aicore.delivery.cursor import Cursor, write_cursor
from aicore.delivery.recovery import Recovery, Segment, carry_path, keep_bad
from aicore.delivery.segment import HEADER_BYTES, Frame, header, read_frame, scan

log = logging.getLogger("aicore.delivery")

SEGMENT_BYTES = 16 << 20
SYNC_SECONDS = 1.0
SYNC_FRAMES = 10
FINAL_SHARE = 0.9  # the last tenth is for final rows


class Spool:
    """Rows in order. append() on one thread, read() and ack() on another; everything else from any thread.

    max_bytes bounds the directory (without `.bad` files, which have as much again at most), min_free is the share of
    the file system that stays free for others.
    """

    def __init__(
        self, path: Path | str, *, max_bytes: int = 1 << 30, min_free: float = 0.05, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Opens and recovers. SpoolInUse, or OSError if the directory cannot be made; damage is never an error."""
        self.path = Path(path)
        self.max_bytes = max_bytes
        self.min_free = min_free
        self.segment_bytes = min(segment_bytes, max(max_bytes // 8, 1))
        self.vanished = 0  # rows that `rows` once counted and that could not be read any more
        self.error = ""  # why the last append failed
        self._lock = threading.Lock()
        self._write_fd = -1
        self._read_fd = -1
        self._at = 0  # index of the segment that is read
        self._offset = 0
        self._open_rows: list[tuple[Segment, int]] = []  # read, not acknowledged
        self._unsynced = 0
        self._synced = time.monotonic()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = spoolfiles.lock(self.path)
        found = Recovery(self.path, max_bad=max_bytes)
        try:
            found.run()
        except BaseException:
            os.close(self._lock_fd)
            raise
        self._segments = found.segments
        self._next = found.next
        self.damaged_bytes = found.damaged_bytes  # no frames, skipped
        self.lost_rows = found.lost_rows  # that were in damaged or missing places, as far as can be told
        self.told = found.told.done  # to be called once somebody was told of both
        self.set_aside = found.set_aside  # files that cannot be read, or are of another version
        self._cursor = found.cursor  # what is acknowledged
        self._expected = self._cursor.expected  # first_seq of the next frame to read
        self._offset = self._begin()

    # -- writing ------------------------------------------------------------------------------------------------

    def append(self, payload: bytes, rows: int, *, final: bool = False) -> bool:
        """Adds one frame; False if there is no room (`error` says why). `final` may use the last tenth."""
        with self._lock:
            size = HEADER_BYTES + len(payload)
            if self._lock_fd < 0:
                self.error = "it is closed"
                return False
            try:
                self._ensure_there()
                self._check_room(size, 1.0 if final else FINAL_SHARE)
                if self._write_fd < 0 or self._segments[-1].size + size > self.segment_bytes:
                    self._new_segment()
                spoolfiles.write(self._write_fd, header(payload, rows, self._next), payload, self._segments[-1].size)
            except OSError as error:
                self.error = error.strerror or str(error)
                return False
            segment = self._segments[-1]
            segment.size += size
            segment.rows += rows
            self._next += rows
            self._unsynced += 1
            due = self._unsynced >= SYNC_FRAMES or time.monotonic() - self._synced >= SYNC_SECONDS
        if due:
            self.sync()
        return True

    def prepend(self, frames: Iterable[tuple[bytes, int]]) -> int:
        """Puts rows before everything that waits here: those that were still in memory when the process ends.

        Returns how many rows are safe. They have no cursor: a restart amid their replay delivers all of them again. To
        be called when nothing is read any more.
        """
        with self._lock:
            size = safe = 0
            try:
                self._ensure_there()
                path, fd = self._create_head()
            except OSError as error:
                self.error = error.strerror or str(error)
                return 0
            try:
                for payload, rows in frames:
                    self._check_room(size + HEADER_BYTES + len(payload), 1.0)
                    spoolfiles.write(fd, header(payload, rows, safe), payload, size)
                    size += HEADER_BYTES + len(payload)
                    safe += rows
                os.fdatasync(fd)
            except OSError as error:
                self.error = error.strerror or str(error)
            inode = os.fstat(fd).st_ino
            os.close(fd)
            self._segments.insert(0, Segment(path, 0, True, size, safe, time.time(), inode))
            return safe

    def sync(self) -> None:
        """Makes what was appended outlast a power cut."""
        with self._lock:
            if not self._unsynced or self._write_fd < 0:
                return
            fd = os.dup(self._write_fd)
            self._unsynced = 0
            self._synced = time.monotonic()
        spoolfiles.sync(fd, self.path)
        os.close(fd)

    def sync_if_due(self) -> None:
        """sync(), if something has waited for it for a second."""
        if self._unsynced and time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def close(self, *, sync: bool = True) -> None:
        """Ends. Rows that were read but not acknowledged are there at the next start. Idempotent."""
        if self._lock_fd < 0:
            return
        if sync:
            self.sync()
        with self._lock:
            for fd in (self._write_fd, self._read_fd):
                if fd >= 0:
                    os.close(fd)
            self._write_fd = self._read_fd = -1
            self._open_rows.clear()
            self._drop_missing()
            if any(segment.rows for segment in self._segments):
                self._write_cursor()
            else:
                self._forget(len(self._segments))
            os.close(self._lock_fd)
            self._lock_fd = -1

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self) -> Frame | None:
        """The next frame, or None if all were read. Damaged places are skipped and counted."""
        with self._lock:
            while self._lock_fd >= 0 and self._at < len(self._segments):
                segment = self._segments[self._at]
                frame = self._read_in(segment)
                if frame is not None:
                    self._offset = frame.end
                    if not segment.head:
                        if frame.first_seq < self._expected:  # a second copy, which recovery has not counted
                            continue
                        self._expected = frame.first_seq + frame.rows
                    self._open_rows.append((segment, frame.rows))
                    return frame
                if segment is self._segments[-1]:
                    return None
                self._next_segment()
            return None

    def keep_unread(self, frame: Frame) -> None:
        """Copies a frame that was read, and that nobody can make a batch of, to a `.bad` file."""
        with self._lock:
            segment = self._open_rows[-1][0]
        keep_bad(segment.path, frame.start, lambda: frame.payload, len(frame.payload), self.max_bytes)

    def ack(self) -> None:
        """Every frame read so far is safe in the store: moves the cursor, then frees the segments before it."""
        with self._lock:
            if not self._open_rows or self._lock_fd < 0:
                return
            self._leave_read()
            self._close_rows()
            if position := self._position():
                self._cursor = position
            written = position is None or self._write_cursor()
            self._forget(self._at)
            if not written:  # unlinking has made room, and without a cursor what is gone would be taken for lost
                self._write_cursor()

    def carry(self, frames: Sequence[tuple[bytes, int]]) -> bool:
        """ack(), but for these rows, of those that were read: a copy of them comes first at the next start.

        Without it a single row that the store refuses for long would keep everything behind it on disk. A kill at any
        moment leaves what was or what is: the cursor, which is replaced as a whole, names the copy that counts. There
        is no question of room, as it frees what it takes, or more. False if nothing was freed (`error`).
        """
        with self._lock:
            if self._lock_fd < 0 or sum(rows for _, rows in self._open_rows) <= sum(rows for _, rows in frames):
                return False
            self._leave_read()
            position = self._position()
            if position is None or position.expected <= self._cursor.expected:
                return False
            path = carry_path(self.path, position.expected)
            try:
                # There has to be one that does not name the copy: without any, all that is there would be delivered.
                write_cursor(self.path, self._cursor._replace(end=self._next), sync=True)
                copy = self._copy(path, position.expected, frames)
                position = position._replace(end=self._next, carried=copy.first, carried_rows=copy.rows)
                write_cursor(self.path, position, sync=True)
            except OSError as error:
                self.error = error.strerror or str(error)
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                return False
            self._cursor = position
            self._close_rows()
            self._open_rows.append((copy, copy.rows))
            self._segments.insert(self._at, copy)
            self._forget(self._at)
            self._at += 1
            return True

    # -- state --------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Rows not acknowledged."""
        with self._lock:
            return sum(segment.rows for segment in self._segments)

    @property
    def unread(self) -> bool:
        """read() may find more."""
        with self._lock:
            left = self._segments[self._at :]
            return len(left) > 1 or (len(left) == 1 and self._offset < left[0].size)

    @property
    def read_bytes(self) -> int:
        """Of segments that were read to their end, and are there because of rows that are not acknowledged."""
        with self._lock:
            return sum(segment.size for segment in self._segments[: self._at])

    @property
    def used_bytes(self) -> int:
        with self._lock:
            return self._used()

    @property
    def full_share(self) -> float:
        """How much of max_bytes is used, 0 to 1."""
        return self.used_bytes / self.max_bytes

    @property
    def age(self) -> float:
        """Seconds since the oldest segment with waiting rows was begun; 0 if nothing waits."""
        with self._lock:
            return max((time.time() - s.created for s in self._segments if s.rows), default=0.0)

    # -- inside -------------------------------------------------------------------------------------------------

    def _used(self) -> int:
        return sum(segment.size for segment in self._segments)

    def _check_room(self, size: int, share: float) -> None:
        if self._used() + size > self.max_bytes * share:
            raise OSError(errno.EDQUOT, f"the {self.max_bytes} bytes of the spool are used")
        disk = os.statvfs(self.path)
        if disk.f_bavail * disk.f_frsize - size < self.min_free * disk.f_blocks * disk.f_frsize:
            raise OSError(errno.ENOSPC, f"less than {self.min_free:.0%} of the disk is free")

    def _new_segment(self) -> None:
        if self._write_fd >= 0:
            spoolfiles.sync(self._write_fd, self.path)
            os.close(self._write_fd)
            self._write_fd = -1
        while (fd := spoolfiles.create(path := self.path / f"{self._next:020d}.seg")) < 0:
            self._next += 1  # a leftover of that name, which cannot be read: numbers only have to rise
        self._write_fd = fd
        self._segments.append(Segment(path, self._next, False, 0, 0, time.time(), os.fstat(fd).st_ino))

    def _create_head(self) -> tuple[Path, int]:
        number = self._next
        while (fd := spoolfiles.create(path := self.path / f"head-{number:020d}.seg")) < 0:
            number += 1  # of a run whose rows are older
        return path, fd

    def _ensure_there(self) -> None:
        """Begins anew where somebody has deleted the directory, or the segment that is written."""
        written = self._write_fd < 0 or os.fstat(self._write_fd).st_nlink > 0
        if written and self.path.is_dir():
            return
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1
        before = self.vanished
        self._drop_missing()
        log.error("spool %s: it was deleted while in use, with %d events", self.path, self.vanished - before)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if spoolfiles.inode(self.path / "lock") != os.fstat(self._lock_fd).st_ino:
            lock = spoolfiles.lock(self.path)
            os.close(self._lock_fd)
            self._lock_fd = lock

    def _drop_missing(self) -> None:
        """Rows whose files are gone are not there any more, but for those that are read at this moment."""
        before = self.vanished
        for index, segment in enumerate(self._segments):
            if not segment.rows or spoolfiles.inode(segment.path) == segment.inode:
                continue
            if index == self._at and self._read_fd >= 0:  # can be read to its end
                continue
            found = sum(rows for owner, rows in self._open_rows if owner is segment)
            self.vanished += segment.rows - found
            segment.rows = found
            segment.size = 0
        if self.vanished > before:  # what is told now is no damage at the next start
            first = next((segment for segment in self._segments if segment.rows and not segment.head), None)
            if first is None or first.path.name != self._cursor.segment:
                expected = first.first if first else self._next
                self._cursor = self._cursor._replace(segment="-", offset=0, expected=expected)

    def _read_in(self, segment: Segment) -> Frame | None:
        if self._offset >= segment.size:
            return None
        try:
            if self._read_fd < 0:
                self._read_fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
            if frame := read_frame(self._read_fd, self._offset, segment.size):
                return frame
            for found in scan(self._read_fd, self._offset, segment.size):
                if isinstance(found, Frame):
                    return found
        except OSError as error:
            log.warning("spool %s: %s: %s", self.path, segment.path.name, error.strerror)
        self._offset = segment.size
        return None

    def _copy(self, path: Path, number: int, frames: Sequence[tuple[bytes, int]]) -> Segment:
        """A segment with these frames, which outlasts a power cut. OSError."""
        created = min(segment.created for segment, _ in self._open_rows)
        fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            copy = Segment(path, number, True, 0, 0, created, os.fstat(fd).st_ino)
            for payload, rows in frames:
                spoolfiles.write(fd, header(payload, rows, copy.rows), payload, copy.size)
                copy.size += HEADER_BYTES + len(payload)
                copy.rows += rows
            os.utime(fd, (created, created))  # a restart takes its age from there
            os.fsync(fd)  # its directory: with the cursor
        finally:
            os.close(fd)
        return copy

    def _close_rows(self) -> None:
        for segment, rows in self._open_rows:
            segment.rows -= rows
        self._open_rows.clear()

    def _leave_read(self) -> None:
        """Goes on behind a segment that is read to its end, so that it can be freed; but not behind a small last one: a
        new file costs an fsync of the directory."""
        if self._at == len(self._segments) or self._offset < (current := self._segments[self._at]).size:
            return
        last = current is self._segments[-1]
        if not last or current.head or current.size >= self.segment_bytes // 2:
            self._next_segment()
            if last and self._write_fd >= 0:
                os.close(self._write_fd)
                self._write_fd = -1

    def _position(self) -> Cursor | None:
        """Where reading goes on, as a cursor; None in a head, which has none."""
        now = self._segments[self._at] if self._at < len(self._segments) else None
        return None if now and now.head else Cursor(now.path.name if now else "-", self._offset, self._expected)

    def _next_segment(self) -> None:
        """Goes on behind the current segment; rows of it that were never found are lost."""
        segment = self._segments[self._at]
        found = sum(rows for owner, rows in self._open_rows if owner is segment)
        self.vanished += segment.rows - found
        segment.rows = found
        if not segment.head:
            self._expected = self._segments[self._at + 1].first if self._at + 1 < len(self._segments) else self._next
        if self._read_fd >= 0:
            os.close(self._read_fd)
            self._read_fd = -1
        self._at += 1
        self._offset = self._begin()

    def _begin(self) -> int:
        """Where reading begins in the current segment: behind what an earlier process had acknowledged."""
        if self._at < len(self._segments) and self._segments[self._at].path.name == self._cursor.segment:
            return self._cursor.offset
        return 0

    def _write_cursor(self) -> bool:
        """False on a full disk. Going on is right: at worst what is delivered since the last one is delivered again."""
        try:
            write_cursor(self.path, self._cursor._replace(end=self._next))
        except OSError as error:
            self.error = error.strerror or str(error)
            return False
        return True

    def _forget(self, count: int) -> None:
        """Unlinks the first segments."""
        for segment in self._segments[:count]:
            with suppress(OSError):  # the cursor says that it is delivered
                segment.path.unlink(missing_ok=True)
        del self._segments[:count]
        self._at = max(0, self._at - count)

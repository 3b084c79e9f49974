"""A recording of flows on disk: bounded, readable by its owner alone, and not ended by a full disk.

FILE      the latest records; a reader that follows it goes on when another file takes its place
FILE.1    the half before, once FILE has been full
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from siftfunnel.shared.flows import FlowRecord, write_flow

TOO_LARGE, WRITE_FAILED = "too_large", "write_failed"

_RETRY_S = 1.0


def older_file(path: Path) -> Path:
    """Where the older half of a recording lies.

    >>> older_file(Path("flows.jsonl")).name
    'flows.jsonl.1'
    """
    return path.with_name(path.name + ".1")


class FlowFile:
    """Appends records and keeps the latest ones; for one thread.

    A full FILE takes the place of FILE.1. A file that somebody moves away is begun anew. While nothing can be
    written, records are given up and writing is tried again once a second. What is no regular file (a pipe, a
    device) has no limit and is never moved.

    Args:
        path: continued where it is there; links are followed.
        limit_bytes: of both files together, at least 2.
        clock: seconds; monotonic.

    Attributes:
        problem: what went wrong last, or nothing.

    Raises:
        ValueError: a limit without room.
        OSError: the file cannot be opened for appending.
    """

    def __init__(self, path: Path, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        if limit_bytes < 2:
            raise ValueError(f"limit_bytes must be at least 2, not {limit_bytes}")
        self._path = path.resolve()
        self._half_bytes = limit_bytes // 2
        self._clock = clock
        self._again_s = -float("inf")
        self._descriptor: int | None = None
        self.problem = ""
        self._open()

    def write(self, record: FlowRecord) -> str | None:
        """Append a record.

        Returns:
            None, or why it was given up: `TOO_LARGE` for half of the limit, or `WRITE_FAILED`.
        """
        line = write_flow(record).encode("ascii")
        if self._regular and len(line) > self._half_bytes:
            return TOO_LARGE
        now_s = self._clock()
        if now_s < self._again_s:
            return WRITE_FAILED
        try:
            self._append(line)
        except OSError as error:
            self._again_s = now_s + _RETRY_S
            self.problem = f"cannot write {self._path}: {error.strerror}"
            return WRITE_FAILED
        return None

    def close(self) -> None:
        """Finish the file; may be called twice."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> None:
        # What is overheard is private to whoever records it; a pipe that nobody empties is not waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
        self._descriptor = os.open(self._path, flags, 0o600)
        status = os.fstat(self._descriptor)
        self._regular = stat.S_ISREG(status.st_mode)
        self._identity = (status.st_dev, status.st_ino)
        self._file_bytes = status.st_size
        self._torn = self._regular and status.st_size > 0 and _last_byte(self._path) != b"\n"

    def _append(self, line: bytes) -> None:
        if self._descriptor is not None and self._moved():
            self.close()
        if self._descriptor is None:
            self._open()
        if self._regular and self._file_bytes + len(line) + self._torn > self._half_bytes:
            self._rotate()
        rest = b"\n" + line if self._torn else line
        self._torn = True
        while rest:
            assert self._descriptor is not None
            taken = os.write(self._descriptor, rest)
            self._file_bytes += taken
            rest = rest[taken:]
        self._torn = False

    def _moved(self) -> bool:
        if not self._regular:
            return False
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != self._identity

    def _rotate(self) -> None:
        self.close()
        self._path.replace(older_file(self._path))
        self._open()


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1)

"""Keeps what was overheard as flow records (JSON lines), for replay with `--tap cloud:FILE`.

Retention is two files of half the limit each: FILE is written, and when it reaches its half it becomes FILE.1
in place of the one before. So the newest half of the limit, at least, is always there.
"""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from attacker.tap.events import Event, Overheard
from shared.flows import FlowRecord, write_flow

DEFAULT_RETENTION_MB = 64.0


class RecordError(OSError):
    """The file cannot be written; the text names the flag."""


class Recorder:
    """An event sink that writes frames and replies to a file; after a failed write it stops and says so once."""

    def __init__(self, path: Path, retention_mb: float = DEFAULT_RETENTION_MB) -> None:
        """Open the file, which is appended to.

        Raises:
            ValueError: a retention that is not above zero.
            RecordError: the file cannot be opened.
        """
        if not retention_mb > 0:
            raise ValueError(f"--retention-mb must be above 0, not {retention_mb}")
        self._path = path
        self._half_bytes = max(1, int(retention_mb * 1_000_000 / 2))
        self._lock = threading.Lock()
        self.problem: str | None = None
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise RecordError(f"cannot write the record (--record {path}): {error.strerror}") from error
        self._size_bytes = self._file.tell()

    def __call__(self, event: Event) -> None:
        """Write the event down if it is a whole, uncompressed frame or reply."""
        if not isinstance(event, Overheard) or event.kind == "other" or event.compressed:
            return
        record = FlowRecord(
            time_s=event.time_s,
            connection=event.connection,
            direction=event.direction,
            method=event.method,
            digest=event.digest,
            message=event.message,
            wire_bytes=event.wire_bytes,
        )
        line = write_flow(record).encode("ascii")
        with self._lock:
            if self.problem is not None or self._file.closed:
                return
            try:
                self._write(line)
            except OSError as error:
                self.problem = f"recording to {self._path} stopped: {error.strerror}"

    def close(self) -> None:
        """Finish the file; events after this are not written."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, line: bytes) -> None:
        if self._size_bytes and self._size_bytes + len(line) > self._half_bytes:
            self._file.close()
            self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._file = self._path.open("ab")
            self._size_bytes = 0
        self._file.write(line)
        self._file.flush()
        self._size_bytes += len(line)

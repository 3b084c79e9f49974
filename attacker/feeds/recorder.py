"""Writes overheard messages down as flow records, within a limit, for replay through a `cloud:` feed."""

import threading
from pathlib import Path
from typing import BinaryIO

from attacker.tap.events import Event, Overheard
from shared.flows import FlowRecord, write_flow

DEFAULT_LIMIT_BYTES = 256 << 20


def older_file(path: Path) -> Path:
    """Where the older half of a recording lies.

    >>> older_file(Path("flows.jsonl")).name
    'flows.jsonl.1'
    """
    return path.with_name(path.name + ".1")


class Recorder:
    """An observer that keeps the latest messages.

    At most `limit_bytes` on disk: the file and one older one get half each, and a full file takes the older
    one's place. An existing file is continued. A disk that cannot be written ends the recording, not the
    tap: `problem` says so, and `messages_lost` goes on counting.

    Raises:
        OSError: the file cannot be opened at all.
    """

    def __init__(self, path: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        if limit_bytes < 2:
            raise ValueError(f"limit_bytes must be at least 2, not {limit_bytes}")
        self._path = path
        self._half_bytes = limit_bytes // 2
        self._lock = threading.Lock()
        self._file: BinaryIO | None = path.open("ab")
        self._file_bytes = self._file.tell()
        self.problem = ""
        self.messages_written = 0
        self.messages_lost = 0

    def __call__(self, event: Event) -> None:
        """Write an overheard message down; other events leave no trace."""
        if isinstance(event, Overheard):
            self._write(flow_record(event))

    def close(self) -> None:
        """Finish the file; may be called twice."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, record: FlowRecord) -> None:
        line = write_flow(record).encode("ascii")
        with self._lock:
            if self._file is None or len(line) > self._half_bytes:
                self.messages_lost += 1
                return
            try:
                if self._file_bytes + len(line) > self._half_bytes:
                    self._rotate()
                self._file.write(line)
                self._file.flush()
            except OSError as error:
                self._give_up(error)
                return
            self._file_bytes += len(line)
            self.messages_written += 1

    def _rotate(self) -> None:
        assert self._file is not None
        self._file.close()
        self._path.replace(older_file(self._path))
        self._file = self._path.open("ab")
        self._file_bytes = 0

    def _give_up(self, error: OSError) -> None:
        self.messages_lost += 1
        self.problem = f"recording to {self._path} ended: {error.strerror}"
        broken, self._file = self._file, None
        if broken is not None:
            try:
                broken.close()
            except OSError:
                return


def flow_record(event: Overheard) -> FlowRecord:
    """One overheard message as the record of it."""
    return FlowRecord(
        event.time_s,
        event.connection,
        event.direction,
        event.method,
        event.digest,
        event.message,
        event.wire_bytes,
    )

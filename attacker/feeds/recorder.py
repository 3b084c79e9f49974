"""Writes overheard messages down as flow records, within a limit, for replay through a `cloud:` feed."""

import threading
from pathlib import Path
from typing import Any

from siftfunnel.attacker.tap.events import Event, Overheard
from siftfunnel.shared.flow_file import FlowFile
from siftfunnel.shared.flows import FlowRecord

DEFAULT_LIMIT_BYTES = 256 << 20


class Recorder:
    """An observer that keeps the latest messages in a `FlowFile`.

    A disk that cannot be written hinders the recording, not the tap: `problem` says so, and `messages_lost`
    counts.

    Raises:
        OSError: the file cannot be opened at all.
    """

    def __init__(self, path: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._lock = threading.Lock()
        self._file: FlowFile | None = FlowFile(path, limit_bytes)
        self.problem = ""
        self.messages_written = 0
        self.messages_lost = 0

    def __call__(self, event: Event) -> None:
        """Write an overheard message down; other events leave no trace."""
        if isinstance(event, Overheard):
            self._write(flow_record(event))

    def state(self) -> dict[str, Any]:
        """How the recording is doing, for `GET /summary`."""
        return {
            "messages_written": self.messages_written,
            "messages_lost": self.messages_lost,
            "problem": self.problem,
        }

    def close(self) -> None:
        """Finish the file; may be called twice."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, record: FlowRecord) -> None:
        with self._lock:
            if self._file is None or self._file.write(record) is not None:
                self.messages_lost += 1
            else:
                self.messages_written += 1
            if self._file is not None:
                self.problem = self._file.problem


def flow_record(event: Overheard) -> FlowRecord:
    """One overheard message as the record of it; as in the cloud's records, each call is a connection."""
    return FlowRecord(
        event.time_s,
        f"{event.connection}/{event.stream_id}",
        event.direction,
        event.method,
        event.digest,
        event.message,
        event.wire_bytes,
    )

"""The curious cloud: every frame and reply as a flow record, without slowing a stream.

TLS ends at the server, so whoever runs it can keep what it hears. A call to `record` puts the message into a
bounded queue; a thread writes. What does not fit, into the queue or into the file, is dropped and counted.
"""

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.flows import Direction, FlowRecord, write_flow

_log = logging.getLogger(__name__)

_GRPC_PREFIX_BYTES = 5
_HTTP2_HEADER_BYTES = 9
_HTTP2_FRAME_BYTES = 16384

QUEUE_FULL, FILE_FULL, WRITE_FAILED = "queue_full", "file_full", "write_failed"


class RecordError(ValueError):
    """A flow file that cannot be written; the text names it and why."""


@dataclass(frozen=True)
class RecorderConfig:
    """Where flows go and how much is kept.

    Attributes:
        path: JSON lines are appended here.
        limit_mb: size that the file is kept under, megabytes (10^6 bytes).
        queue_limit: messages that may wait for the disk.

    Raises:
        ValueError: a limit that is not above 0.
    """

    path: Path
    limit_mb: float = 256.0
    queue_limit: int = 2048

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit_mb) and self.limit_mb > 0) or self.queue_limit < 1:
            raise ValueError("the record limit must be above 0 megabytes and the queue at least 1 message")


def wire_bytes(message_bytes: int) -> int:
    """TCP payload of one gRPC message: itself, its length prefix and the headers of its DATA frames.

    >>> wire_bytes(100)
    114
    """
    body_bytes = message_bytes + _GRPC_PREFIX_BYTES
    return body_bytes + _HTTP2_HEADER_BYTES * math.ceil(body_bytes / _HTTP2_FRAME_BYTES)


class FlowRecorder:
    """Writes flow records in a thread of its own.

    Args:
        config: where and how much.
        on_written: told how many messages were written.
        on_dropped: told why, and how many were not.

    Raises:
        RecordError: the file cannot be opened for appending.
    """

    def __init__(
        self,
        config: RecorderConfig,
        on_written: Callable[[int], None] = lambda count: None,
        on_dropped: Callable[[str, int], None] = lambda reason, count: None,
    ) -> None:
        self._config = config
        self._on_written = on_written
        self._on_dropped = on_dropped
        try:
            # What is overheard is private to whoever runs the server.
            descriptor = os.open(config.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise RecordError(f"--record-flows {config.path}: cannot be written: {error.strerror}") from None
        self._file: IO[str] = os.fdopen(descriptor, "a", encoding="ascii")
        self._size_bytes = os.fstat(descriptor).st_size
        self._full = False
        self._queue: queue.SimpleQueue[FlowRecord | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="flow-recorder", daemon=True)
        self._thread.start()

    def record(self, connection: str, direction: Direction, method: str, digest: str, message: bytes) -> None:
        """Keep a message if there is room; never waits."""
        if self._queue.qsize() >= self._config.queue_limit:
            self._on_dropped(QUEUE_FULL, 1)
            return
        size = wire_bytes(len(message))
        self._queue.put(FlowRecord(time.time(), connection, direction, method, digest, message, size))

    def close(self) -> None:
        """Write what is queued and close the file."""
        self._queue.put(None)
        self._thread.join()
        self._file.close()

    def _write_all(self) -> None:
        while (record := self._queue.get()) is not None:
            try:
                self._write(record)
            except OSError as error:
                self._on_dropped(WRITE_FAILED, 1)
                if not self._full:
                    _log.error("--record-flows: %s: %s; recording stops", self._config.path, error.strerror)
                self._full = True

    def _write(self, record: FlowRecord) -> None:
        line = write_flow(record)
        if self._full or self._size_bytes + len(line) > self._config.limit_mb * 1e6:
            if not self._full:
                _log.warning("--record-flows: %s is full, recording stops", self._config.path)
            self._full = True
            self._on_dropped(FILE_FULL, 1)
            return
        self._file.write(line)
        self._size_bytes += len(line)
        if self._queue.empty():
            self._file.flush()
        self._on_written(1)

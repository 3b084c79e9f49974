"""The curious cloud: every frame and reply as a flow record, without slowing a stream.

TLS ends at the server, so whoever runs it can keep what it hears. A call to `record` puts the message into a
bounded queue; a thread writes. What finds no room in the queue, or cannot be written, is dropped and counted.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from siftfunnel.shared.flow_file import WRITE_FAILED, FlowFile
from siftfunnel.shared.flows import Direction, FlowRecord
from siftfunnel.shared.settings import check, setting

_log = logging.getLogger(__name__)

_GRPC_PREFIX_BYTES = 5
_HTTP2_HEADER_BYTES = 9
_HTTP2_FRAME_BYTES = 16384

QUEUE_FULL = "queue_full"
_CLOSE_S = 5.0


class RecordError(ValueError):
    """A flow file that cannot be written; the text names it and why."""


@dataclass(frozen=True)
class RecorderConfig:
    """Where flows go and how much is kept.

    Attributes:
        path: JSON lines are appended here; the latest are kept, see `FlowFile`.
        queue_limit: messages that may wait for the disk.
        queue_limit_mb: what they may hold together, megabytes (10^6 bytes).

    Raises:
        ValueError: a limit that is not above 0.
    """

    path: Path
    limit_mb: float = setting(
        256.0,
        "most that FILE and its older half, FILE.1, take; the latest messages are kept",
        flag="--record-limit-mb",
        metavar="MB",
        above=0,
        finite=True,
    )
    queue_limit: int = 2048
    queue_limit_mb: float = 64.0

    def __post_init__(self) -> None:
        check(self)


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
            self._file = FlowFile(config.path, int(config.limit_mb * 1e6))
        except OSError as error:
            raise RecordError(f"--record-flows {config.path}: cannot be written: {error.strerror}") from None
        self._lost = 0
        # each is counted up by one thread only; the difference is what waits
        self._put_bytes = self._taken_bytes = 0
        self._queue: queue.SimpleQueue[FlowRecord | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="flow-recorder", daemon=True)
        self._thread.start()

    def record(self, connection: str, direction: Direction, method: str, digest: str, message: bytes) -> None:
        """Keep a message if there is room; never waits. For one thread."""
        waiting_bytes = self._put_bytes - self._taken_bytes + len(message)
        if (
            self._queue.qsize() >= self._config.queue_limit
            or waiting_bytes > self._config.queue_limit_mb * 1e6
        ):
            self._on_dropped(QUEUE_FULL, 1)
            return
        self._put_bytes += len(message)
        size = wire_bytes(len(message))
        self._queue.put(FlowRecord(time.time(), connection, direction, method, digest, message, size))

    def close(self) -> None:
        """Write what is queued and close the file; a disk that hangs is left behind."""
        self._queue.put(None)
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            _log.error("--record-flows: %s: the disk hangs; it is abandoned", self._config.path)
        else:
            self._file.close()

    def _write_all(self) -> None:
        while (record := self._queue.get()) is not None:
            self._taken_bytes += len(record.message)
            reason = self._file.write(record)
            if reason is None:
                self._on_written(1)
            else:
                self._on_dropped(reason, 1)
            self._tell(reason)

    def _tell(self, reason: str | None) -> None:
        """Say once that a disk takes nothing, and once that it does again."""
        if reason == WRITE_FAILED:
            if not self._lost:
                _log.error("--record-flows: %s; tried again, and messages are lost", self._file.problem)
            self._lost += 1
        elif self._lost:
            _log.warning("--record-flows: recording goes on; %d messages were lost", self._lost)
            self._lost = 0
        # each is counted up by one thread only; the difference is what waits
        self._put_bytes = self._taken_bytes = 0

"""Lines and bytes out of a file descriptor, as they come."""

import os
import select
import threading
from collections.abc import Iterator

MAX_LINE_BYTES = 65_536
_CHUNK_BYTES = 65_536
_LOOK_EVERY_S = 0.2


class Feed:
    """What another program writes, cut into lines and stretches of bytes.

    Args:
        descriptor: an open file descriptor, 0 for standard input.
        stop: ends it soon after being set.
    """

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        self._chunks = _chunks(descriptor, stop)
        self._stop = stop
        self._rest = b""

    def lines(self) -> Iterator[bytes]:
        """Lines without their ends; a last line needs none. One of more than `MAX_LINE_BYTES` may be cut."""
        while (line := self._line()) is not None and not self._stop.is_set():
            yield line

    def exactly(self, count: int) -> bytes:
        """The next bytes; fewer only at the end of the input."""
        parts, missing = [self._rest[:count]], count - len(self._rest)
        self._rest = self._rest[count:]
        while missing > 0 and (chunk := next(self._chunks, b"")):
            parts.append(chunk[:missing])
            self._rest = chunk[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def _line(self) -> bytes | None:
        while b"\n" not in self._rest and len(self._rest) <= MAX_LINE_BYTES:
            chunk = next(self._chunks, b"")
            if not chunk:
                line, self._rest = self._rest, b""
                return line or None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def _chunks(descriptor: int, stop: threading.Event) -> Iterator[bytes]:
    """What can be read until the end, or soon after `stop` is set.

    The descriptor is read without Python's buffered reader: a thread that hangs in that one keeps the
    interpreter from exiting.
    """
    while not stop.is_set():
        if select.select([descriptor], [], [], _LOOK_EVERY_S)[0]:
            chunk = os.read(descriptor, _CHUNK_BYTES)
            if not chunk:
                return
            yield chunk

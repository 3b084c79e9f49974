"""Paths of pictures, one per line, from a file descriptor such as standard input."""

import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.picture import Picture

_CHUNK_BYTES = 65_536
_LOOK_EVERY_S = 0.2
_LONGEST_PATH_BYTES = 65_536


class PathLines:
    """One path per line; empty lines are skipped, a last line needs no end.

    Args:
        descriptor: an open file descriptor, 0 for standard input.
    """

    keeps_latest = False

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`.

        Raises:
            SourceError: a line that is too long for any path.
        """
        for line in self._lines(stop):
            if name := os.fsdecode(line).strip("\r"):
                yield Picture(name, Path(name))

    def _lines(self, stop: threading.Event) -> Iterator[bytes]:
        rest = b""
        for chunk in chunks(self._descriptor, stop):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > _LONGEST_PATH_BYTES:
                raise SourceError(
                    f"a line of more than {_LONGEST_PATH_BYTES} bytes is no path; expected one path per line"
                )
        if not stop.is_set():
            yield rest


def chunks(descriptor: int, stop: threading.Event) -> Iterator[bytes]:
    """What can be read, as it comes, until the end or soon after `stop` is set.

    The descriptor is read without Python's buffered reader: a thread that hangs in that one keeps the
    interpreter from exiting.
    """
    while not stop.is_set():
        if select.select([descriptor], [], [], _LOOK_EVERY_S)[0]:
            chunk = os.read(descriptor, _CHUNK_BYTES)
            if not chunk:
                return
            yield chunk

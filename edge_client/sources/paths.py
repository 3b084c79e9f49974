"""Paths of pictures, one per line, from a file descriptor such as standard input."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.picture import Picture
from siftfunnel.edge_client.sources.feed import MAX_LINE_BYTES, Feed


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
        for line in Feed(self._descriptor, stop).lines():
            if len(line) > MAX_LINE_BYTES:
                raise SourceError(
                    f"a line of more than {MAX_LINE_BYTES} bytes is no path; expected one path per line"
                )
            if name := os.fsdecode(line).strip("\r"):
                yield Picture(name, Path(name))

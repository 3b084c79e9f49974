"""What every source is, and what can be laid over any of them: a limit and a pace."""

import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, runtime_checkable

from siftfunnel.edge_client.picture import Picture, as_picture


@runtime_checkable
class Source(Protocol):
    """A place that pictures come from."""

    @property
    def keeps_latest(self) -> bool:
        """Whether it is live: a picture nobody has room for is overtaken by the next one.

        A source that is not live waits for room, and loses nothing.
        """

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """Pictures until there are no more, or soon after `stop` is set.

        Raises:
            SourceError: the place cannot be used; the text says what to do.
        """


class IterableSource:
    """Any iterable of what `as_picture` takes."""

    keeps_latest = False

    def __init__(self, items: Iterable[object]) -> None:
        self._items = items

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`."""
        for number, item in enumerate(self._items):
            if stop.is_set():
                return
            try:
                picture = as_picture(item)
            except TypeError as error:
                picture = Picture(f"item {number}", b"", problem=str(error))
            yield picture


class Limited:
    """At most so many pictures of a source."""

    def __init__(self, source: Source, frames: int) -> None:
        self._source = source
        self._frames = frames

    @property
    def keeps_latest(self) -> bool:
        """As the source."""
        return self._source.keeps_latest

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`."""
        return islice(self._source.pictures(stop), self._frames)


class Paced:
    """A source at a given rate: files wait for their turn, a live source leaves pictures out.

    Args:
        source: what is paced.
        rate_fps: pictures per second, above 0.
    """

    def __init__(self, source: Source, rate_fps: float) -> None:
        if not 0 < rate_fps < float("inf"):
            raise ValueError(f"the rate must be above 0 pictures a second, not {rate_fps}")
        self._source = source
        self._period_s = 1 / rate_fps

    @property
    def keeps_latest(self) -> bool:
        """As the source."""
        return self._source.keeps_latest

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`."""
        due_s = time.monotonic()
        for picture in self._source.pictures(stop):
            early_s = due_s - time.monotonic()
            if early_s > 0 and self.keeps_latest:
                continue
            if early_s > 0 and stop.wait(early_s):
                return
            # after a long pause the rate goes on from now instead of catching up in a burst
            due_s = max(due_s, time.monotonic() - self._period_s) + self._period_s
            yield picture

"""One source for several streams: every picture goes to all of them, under one number.

    source ── reader ── next ──┬── branch ── stream of bundle A
                               └── branch ── stream of bundle B

A picture is given out when every branch has asked for one. So a source that waits waits for the slowest,
and a live source leaves out the same pictures for all: what one stream sends, the others send too.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from siftfunnel.edge_client.picture import Picture
from siftfunnel.edge_client.sources.source import Source

_LOOK_EVERY_S = 0.2


class FanOut:
    """Reads a source once for several streams.

    Args:
        source: where the pictures come from.
        count: how many streams; each takes one of `branches`.
        first_sequence: number of the first picture.
        on_superseded: told of each picture of a live source that a newer one overtook.
    """

    def __init__(
        self, source: Source, count: int, first_sequence: int, on_superseded: Callable[[Picture], None]
    ) -> None:
        self.branches = tuple(_Branch(self) for _ in range(count))
        self._source = source
        self._numbers = itertools.count(first_sequence)
        self._on_superseded = on_superseded
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._living = set(self.branches)
        self._asking: set[_Branch] = set()
        self._next: Picture | None = None
        self._given: Picture | None = None
        self._over = False
        self._error: Exception | None = None
        self._reader = threading.Thread(target=self._read, name="edge-fan-out", daemon=True)

    def stop(self) -> None:
        """Read no more; what was given out goes through every stream. Does not wait."""
        self._stop.set()
        with self._changed:
            left, self._next = self._next, None
            self._overtaken(left)
            self._over = True
            self._changed.notify_all()

    def take(self, branch: "_Branch", stop: threading.Event) -> Picture | None:
        """The next picture for a branch, when all have asked; None at the end.

        Raises:
            SourceError: the source failed.
        """
        with self._changed:
            if self._reader.ident is None:
                self._reader.start()
            before = self._given
            self._asking.add(branch)
            self._pass_on()
            while self._given is before:
                if stop.is_set():
                    return None
                if self._over and self._next is None:
                    if self._error is not None:
                        raise self._error
                    return None
                self._changed.wait(_LOOK_EVERY_S)
            return self._given

    def leave(self, branch: "_Branch") -> None:
        """A stream takes no more; the others go on without it."""
        with self._changed:
            self._living.discard(branch)
            self._asking.discard(branch)
            self._pass_on()
            deserted = not self._living
        if deserted:
            self.stop()

    def _pass_on(self) -> None:
        """Give out what was read, if everybody wants it; the lock is held."""
        if self._next is not None and self._asking and self._asking >= self._living:
            self._given, self._next = self._next, None
            self._asking.clear()
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            for picture in self._source.pictures(self._stop):
                if not self._offer(replace(picture, sequence=next(self._numbers))):
                    return
        except Exception as error:
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _offer(self, picture: Picture) -> bool:
        """Make it the next picture; False when no more is wanted."""
        with self._changed:
            if self._over:
                return False
            overtaken, self._next = self._next, picture
            self._pass_on()
            if not self._source.keeps_latest:
                self._changed.wait_for(lambda: self._next is None)
        self._overtaken(overtaken)
        return not self._stop.is_set()

    def _overtaken(self, picture: Picture | None) -> None:
        # one that waited for its turn when a source of files was stopped was never handed in
        if picture is not None and self._source.keeps_latest:
            self._on_superseded(picture)


class _Branch:
    """The source as one of the streams sees it; it waits, the fan-out decides what is left out."""

    keeps_latest = False

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`."""
        try:
            while (picture := self._fan_out.take(self, stop)) is not None:
                yield picture
        finally:
            self._fan_out.leave(self)

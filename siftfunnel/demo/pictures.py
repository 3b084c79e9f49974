"""What the edge is handed next: the folder's pictures, shuffled, over and over, or a person's own."""

import contextlib
import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import IO, Literal

OWN_HOLD_S = 10.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class Picture:
    """One picture on its way to the edge: a path, or a person's own picture, which lies in no file."""

    name: str
    label: str | None
    encoded: bytes | None = None

    def pushed(self) -> bytes:
        """As `siftfunnel edge --source jsonl:-` reads it."""
        place = {"path": self.name} if self.encoded is None else {"bytes": len(self.encoded)}
        head = {**place, "name": self.name, "label": self.label}
        return json.dumps(head).encode() + b"\n" + (self.encoded or b"")


class Pictures:
    """The folder's pictures until own ones come; own ones while they come. Safe across threads.

    Args:
        folder: the folder's pictures, and the class each shows, None where unknown.
        seed: of their order.
        shipped: whether the folder came with the package, for the page.
    """

    def __init__(self, folder: Mapping[Path, str | None], seed: int, shipped: bool = False) -> None:
        shuffled = sorted(folder)
        random.Random(seed).shuffle(shuffled)
        self.folder_size = len(shuffled)
        self._folder = cycle([Picture(str(path), folder[path]) for path in shuffled])
        self._shipped = shipped
        self._numbers = count(1)
        self._changed = threading.Condition()
        self._newest: Picture | None = None
        self._own_until_s = 0.0

    @property
    def source(self) -> Literal["demo", "folder", "own"]:
        """What plays."""
        with self._changed:
            if time.monotonic() < self._own_until_s:
                return "own"
            return "demo" if self._shipped else "folder"

    def push(self, encoded: bytes) -> None:
        """Play a person's own picture next, in place of one that still waits."""
        with self._changed:
            self._newest = Picture(f"own picture {next(self._numbers)}", None, encoded)
            self._own_until_s = max(self._own_until_s, time.monotonic() + OWN_HOLD_S)
            self._changed.notify_all()

    def use_own(self, own: bool) -> None:
        """Wait for own pictures from now on, however long; or play the folder's again at once."""
        with self._changed:
            self._own_until_s = float("inf") if own else 0.0
            self._newest = self._newest if own else None
            self._changed.notify_all()

    def next(self, patience_s: float = _LOOK_EVERY_S) -> Picture | None:
        """The next picture; None where an own one is waited for and did not come in time."""
        with self._changed:
            if self._newest is None and time.monotonic() < self._own_until_s:
                self._changed.wait(patience_s)
            if self._newest is not None:
                own, self._newest = self._newest, None
                return own
            return None if time.monotonic() < self._own_until_s else next(self._folder)


class Feeder:
    """Hands pictures to one edge at a rate, through its standard input.

    Args:
        pictures: where they come from.
        pipe: the edge's standard input.
        rate_fps: pictures per second; None: as fast as the edge takes them.
        wanted: how many; None: until it is ended. May be raised while it runs.

    Attributes:
        fed: pictures handed over.
    """

    def __init__(
        self, pictures: Pictures, pipe: IO[bytes], rate_fps: float | None, wanted: int | None
    ) -> None:
        self.wanted = wanted
        self.fed = 0
        self._pictures = pictures
        self._pipe = pipe
        self._period_s = 0.0 if rate_fps is None else 1 / rate_fps
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Hand over no more, which ends the edge when it has answered what it has. Does not wait."""
        self._stop.set()

    def join(self) -> None:
        """Wait until nothing more is written; the edge must have ended or still read."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due_s - time.monotonic())):
                if self.wanted is not None and self.fed >= self.wanted:
                    due_s = time.monotonic() + _LOOK_EVERY_S
                elif (picture := self._pictures.next()) is not None:
                    # before it is written: an edge that dies now may have read it
                    self.fed += 1
                    self._pipe.write(picture.pushed())
                    self._pipe.flush()
                    # after a pause the rate goes on from now instead of catching up in a burst
                    due_s = max(due_s, time.monotonic() - self._period_s) + self._period_s
        except OSError:
            # the edge is gone; the conductor sees that too
            pass
        finally:
            with contextlib.suppress(OSError):
                self._pipe.close()

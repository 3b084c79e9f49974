"""The newest of everything that a page shows, numbered: a page asks for what is newer than what it has.

Nothing is queued for a page: whoever is slow, by its line or by choice, gets the newest the next time it
asks, and what came in between is not sent. So no page slows down the attacker, holds memory, or lags behind.
"""

import asyncio
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from siftfunnel.attacker.side_by_side import Pair, SideBySide

KEPT_PAIRS = 120
KEPT_BYTES = 16 * 2**20
KEEP_EVERY_S = 1.0
KEPT_AGAIN_S = 3.0
SEEN_PAIRS = 3
FIRST_PAIRS = 24
KEPT_POINTS = 240
KEPT_PROBLEMS = 20
MAX_PROBLEM_LETTERS = 500
LOOKED_AT_S = 5.0


@dataclass(frozen=True)
class News:
    """What is newer than a page's number.

    Attributes:
        session: one per process; numbers of another one mean nothing.
        number: what to ask with the next time.
        items: by name, as JSON.
    """

    session: str
    number: int
    items: Mapping[str, bytes]

    def as_json(self) -> bytes:
        """One JSON object: `session`, `number`, and every item under its name."""
        parts = [b'"session":"%s","number":%d' % (self.session.encode(), self.number)]
        parts += [b'"%s":%s' % (name.encode(), value) for name, value in self.items.items()]
        return b"{" + b",".join(parts) + b"}"

    def as_events(self) -> bytes:
        """The same as server-sent events, one per item."""
        events = [b"event: %s\ndata: %s\n\n" % (name.encode(), value) for name, value in self.items.items()]
        return b"".join(events) or b": still here\n\n"


def encode(value: Any) -> bytes:
    r"""A value as one line of JSON in ASCII, whatever it says.

    >>> encode({"text": "two\nlines"})
    b'{"text":"two\\nlines"}'
    """
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


class Hub:
    """Takes views from any thread; `news` is awaited on the server's loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.session = secrets.token_hex(8)
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._number = 0
        self._newest_item = 0
        self._items: dict[str, tuple[int, bytes]] = {}
        self._points: deque[tuple[int, bytes]] = deque(maxlen=KEPT_POINTS)
        self._problems: deque[str] = deque(maxlen=KEPT_PROBLEMS)
        self._pairs: deque[tuple[Pair, int]] = deque(maxlen=KEPT_PAIRS)
        self._kept_s = float("-inf")
        self._pairing = SideBySide()
        self._waiting: set[asyncio.Future[None]] = set()
        self._visitors = 0
        self._asked_s = float("-inf")
        self._closed = False

    @property
    def visitors(self) -> int:
        """Requests that are being told news now."""
        return self._visitors

    @contextmanager
    def visit(self) -> Iterator[None]:
        """Counts a visitor for as long as it lasts."""
        self._visitors += 1
        try:
            yield
        finally:
            self._visitors -= 1

    @property
    def is_looked_at(self) -> bool:
        """Whether a page asked within the last seconds."""
        return self._visitors > 0 or self._clock() - self._asked_s < LOOKED_AT_S

    @property
    def closed(self) -> bool:
        """Whether the server is ending."""
        return self._closed

    def open(self) -> None:
        """Wake waiting pages on the running loop from now on."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Let every page that waits have its answer."""
        self._closed = True
        self._wake()

    def pairs(self) -> list[Pair]:
        """The pairs that were kept, at most one a second and different ones where there are, oldest first."""
        with self._lock:
            return [pair for pair, _ in self._pairs]

    def publish(self, name: str, value: Any) -> None:
        """Take a view; any thread, never blocks. Those named "frame" become points and pairs."""
        with self._lock:
            before = self._newest_item
            if name == "frame":
                self._take_frame(value)
            elif name == "problem":
                text = value["text"][:MAX_PROBLEM_LETTERS]
                if text not in self._problems:
                    self._problems.append(text)
                    self._set("problems", encode(list(self._problems)))
            else:
                self._set(name, encode(value))
            changed = self._newest_item > before
        if changed:  # points alone wake nobody: they are told with what comes next
            self._tell()

    def tick(self) -> None:
        """Show what has waited long enough for its other half."""
        with self._lock:
            self._show(self._pairing.ripe(self._clock()))
        self._tell()

    async def news(self, session: str, after: int, timeout_s: float) -> News:
        """What is newer than `after`; waits for it up to `timeout_s`."""
        if session != self.session:
            after = 0
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)  # before looking: what comes from now on wakes it
        try:
            if after >= self._newest_item and not self._closed:
                await asyncio.wait_for(waiter, timeout_s)
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(waiter)
            self._asked_s = self._clock()
        with self._lock:
            items = {name: value for name, (number, value) in self._items.items() if number > after}
            points = [value for number, value in self._points if number > after]
            if points:
                items["points"] = b"[" + b",".join(points) + b"]"
            return News(self.session, self._number, items)

    def _set(self, name: str, value: bytes) -> None:
        self._number += 1
        self._newest_item = self._number
        self._items[name] = self._number, value

    def _take_frame(self, view: Mapping[str, Any]) -> None:
        self._number += 1
        point = {key: view[key] for key in ("id", "tap", "sequence", "digest", "codec", "similarity")}
        self._points.append((self._number, encode(point)))
        self._show(self._pairing.add(view, self._clock()))

    def _show(self, pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            kept = self._clock() - self._kept_s >= (KEPT_AGAIN_S if self._is_known(pair) else KEEP_EVERY_S)
            told = encode({**pair.as_json(), "kept": kept})
            self._set("pair", told)
            if kept:
                self._keep(pair, len(told))

    def _is_known(self, pair: Pair) -> bool:
        """Whether one of the pairs kept last shows the same picture."""
        original = pair.original
        lately = islice(reversed(self._pairs), SEEN_PAIRS)
        return original is not None and any(original == kept.original for kept, _ in lately)

    def _keep(self, pair: Pair, size_bytes: int) -> None:
        self._kept_s = self._clock()
        self._pairs.append((pair, size_bytes))
        while len(self._pairs) > 1 and sum(size for _, size in self._pairs) > KEPT_BYTES:
            self._pairs.popleft()
        self._set("kept", encode([pair.number for pair, _ in self._pairs][-FIRST_PAIRS:]))

    def _tell(self) -> None:
        loop = self._loop
        if loop is None or not self._waiting:
            return
        try:
            loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop closed between the check and the call: nobody waits any more
            return

    def _wake(self) -> None:
        for waiter in tuple(self._waiting):
            if not waiter.done():
                waiter.set_result(None)

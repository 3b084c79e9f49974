"""Server-sent events to any number of pages; none of them can slow down the attacker.

Each subscriber has a bounded queue. A slow one loses the oldest events, which are counted; it never blocks a
publisher. A page that comes late is first greeted with the latest history: what was published before it came
is in there, what is published after that reaches it as an event, and nothing falls between the two.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

KEPT_PICTURES = 12
KEPT_POINTS = 400
QUEUE_EVENTS = 64
KEEPALIVE_S = 15.0


def encode_event(name: str, value: Mapping[str, Any]) -> bytes:
    r"""One event as it stands in a `text/event-stream`.

    >>> encode_event("frame", {"id": 7})
    b'event: frame\ndata: {"id":7}\n\n'
    """
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"event: {name}\ndata: {data}\n\n".encode("ascii")


Greet = Callable[[dict[str, Any]], Iterable[bytes]]
"""From the history at the moment when a page comes to the events that it gets first."""


class Subscriber:
    """One page's queue.

    Attributes:
        since: number of the last event that was published before the page came.
        dropped: events that it was too slow for.
    """

    def __init__(self, capacity: int = QUEUE_EVENTS, since: int = 0) -> None:
        self.since = since
        self._queue: deque[bytes] = deque()
        self._capacity = capacity
        self._ready = asyncio.Event()
        self.dropped = 0

    def put(self, event: bytes) -> None:
        """Queue an event; the oldest one goes when the queue is full."""
        self._queue.append(event)
        if len(self._queue) > self._capacity:
            self._queue.popleft()
            self.dropped += 1
        self._ready.set()

    async def next(self, timeout_s: float = KEEPALIVE_S) -> bytes:
        """The next event, or a comment that keeps the connection open when none comes in time."""
        if not self._queue:
            self._ready.clear()
            try:
                await asyncio.wait_for(self._ready.wait(), timeout_s)
            except TimeoutError:
                return b": still here\n\n"
        return self._queue.popleft()


class Hub:
    """Takes events from any thread and hands them to every subscriber on the server's loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._subscribers: set[Subscriber] = set()
        self._pictures: deque[Mapping[str, Any]] = deque(maxlen=KEPT_PICTURES)
        self._points: deque[Mapping[str, Any]] = deque(maxlen=KEPT_POINTS)
        self._published = 0
        self._dropped_before = 0
        self._closed = False

    @property
    def subscribers(self) -> int:
        """Pages that listen now."""
        return len(self._subscribers)

    @property
    def dropped(self) -> int:
        """Events that slow pages lost, those that have left included."""
        return self._dropped_before + sum(subscriber.dropped for subscriber in tuple(self._subscribers))

    def open(self) -> None:
        """Deliver on the running loop from now on."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        for subscriber in tuple(self._subscribers):
            subscriber.put(b"")

    def publish(self, name: str, value: Mapping[str, Any]) -> None:
        """Hand an event to every page; any thread, never blocks."""
        with self._lock:
            self._published += 1
            number = self._published
            if name == "frame":
                self._remember(value)
        loop = self._loop
        if loop is None or not self._subscribers or self._closed:
            return
        event = encode_event(name, value)
        try:
            loop.call_soon_threadsafe(self._deliver, number, event)
        except RuntimeError:  # the loop closed between the check and the call: nobody listens any more
            return

    async def listen(self, greet: Greet) -> AsyncIterator[bytes]:
        """Events for one page, beginning with those of `greet`; ends when the hub closes.

        `greet` is given the latest pictures and the latest points of the chart.
        """
        with self._lock:
            subscriber = Subscriber(since=self._published)
            history = {"pictures": list(self._pictures), "points": list(self._points)}
            self._subscribers.add(subscriber)
        try:
            for event in greet(history):
                yield event
            while not self._closed:
                event = await subscriber.next()
                if event:
                    yield event
        finally:
            self._subscribers.discard(subscriber)
            self._dropped_before += subscriber.dropped

    def _deliver(self, number: int, event: bytes) -> None:
        for subscriber in tuple(self._subscribers):
            if number > subscriber.since:
                subscriber.put(event)

    def _remember(self, view: Mapping[str, Any]) -> None:
        self._points.append({key: view[key] for key in ("id", "digest", "codec", "similarity")})
        if view.get("pictures"):
            self._pictures.append(view)

"""One running stream as its reader sees it: an iterator of outcomes that can be stopped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self

from siftfunnel.edge_client.delivery import STOPPED, Delivery
from siftfunnel.edge_client.outcome import CANCELLED, Outcome
from siftfunnel.edge_client.producer import Producer

_JOIN_S = 3.0


class OutcomeStream:
    """Outcomes of one source; iterate with `for` or `async for`, once.

    Args:
        delivery: not started yet.
        producer: not started yet.
        on_close: told when the stream is closed.
    """

    def __init__(
        self, delivery: Delivery, producer: Producer, on_close: Callable[["OutcomeStream"], None]
    ) -> None:
        self._delivery = delivery
        self._producer = producer
        self._on_close = on_close
        self._started = False

    def _start(self) -> None:
        if self._started:
            raise RuntimeError("a stream can be read once; open another one")
        self._started = True
        self._delivery.start()
        self._producer.start()

    def __iter__(self) -> Iterator[Outcome]:
        self._start()
        while (outcome := self._delivery.next_outcome()) is not None:
            yield outcome
        yield from self._last()

    async def __aiter__(self) -> AsyncIterator[Outcome]:
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        self._delivery.on_outcome = lambda: _wake(loop, news)
        self._start()
        while not self._delivery.over:
            while (outcome := self._delivery.poll_outcome()) is not None:
                yield outcome
            await news.wait()
            news.clear()
        for outcome in await asyncio.to_thread(lambda: list(self._last())):
            yield outcome

    def _last(self) -> Iterator[Outcome]:
        """What the producer still reports once the delivery is over, then the error that ended the stream."""
        self._producer.stop()
        self._producer.join(_JOIN_S)
        while (outcome := self._delivery.poll_outcome()) is not None:
            yield outcome
        if self._delivery.error is not None:
            raise self._delivery.error
        if self._producer.error is not None:
            raise self._producer.error

    @property
    def handed_in(self) -> int:
        """Frames handed in so far: numbered, and so owed an outcome."""
        return self._producer.handed_in

    def stop(self) -> None:
        """Read no more pictures; the iteration ends with the last answer. Safe from any thread."""
        self._producer.stop()

    def abandon(self) -> None:
        """Wait for no more answers either: what is unanswered ends as CANCELLED."""
        self._producer.stop()
        self._delivery.abandon(CANCELLED, STOPPED)

    def close(self) -> None:
        """End the stream, answered or not, and wait for its threads."""
        self.abandon()
        if self._started:
            self._delivery.join(_JOIN_S)
            self._producer.join(_JOIN_S)
        self._on_close(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _wake(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    # the loop may be closed when an abandoned stream winds down
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(news.set)

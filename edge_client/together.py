"""One source through the streams of several clients at once: the same pictures, under the same numbers."""

import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from siftfunnel.edge_client.client import SplitClient
from siftfunnel.edge_client.outcome import Outcome, Superseded
from siftfunnel.edge_client.picture import Picture
from siftfunnel.edge_client.producer import OnHandedIn
from siftfunnel.edge_client.sources.fan_out import FanOut
from siftfunnel.edge_client.sources.source import Source
from siftfunnel.edge_client.streaming import OutcomeStream
from siftfunnel.edge_client.summary import Summary
from siftfunnel.shared.showing import printable

_UNCOLLECTED_MAX = 256


@dataclass(eq=False)
class Part:
    """One client's share of a run.

    Attributes:
        client: bundle, codec and server.
        stream: what it sends.
        summary: its figures.
        overtaken: pictures of a live source that were left out before the stream saw them.
        over: whether its stream has ended.
    """

    client: SplitClient
    stream: OutcomeStream
    summary: Summary
    overtaken: int = 0
    over: bool = False

    @property
    def handed_in(self) -> int:
        """Frames that are owed an outcome."""
        return self.stream.handed_in + self.overtaken


class Together:
    """Outcomes of one source through every client; iterate once, inside the context.

    Args:
        clients: one per bundle; the first one's settings say where the numbers begin.
        source: where the pictures come from.
        on_handed_in: makes, for a client, what sees each of its frames before it is sent.
    """

    def __init__(
        self,
        clients: Sequence[SplitClient],
        source: Source,
        on_handed_in: Callable[[SplitClient], OnHandedIn | None],
    ) -> None:
        self._fan_out: FanOut | None = None
        sources: Sequence[Source] = [source]
        if len(clients) > 1:
            first = clients[0].settings.first_sequence
            self._fan_out = FanOut(source, len(clients), first, self._left_out)
            sources = self._fan_out.branches
        self.parts = [
            Part(
                client,
                client.open_stream(each, on_handed_in=on_handed_in(client)),
                Summary(client.bundle.name, client.codec, client.bundle.manifest.labels),
            )
            for client, each in zip(clients, sources, strict=True)
        ]
        self._outcomes: queue.Queue[tuple[Part, Outcome | Exception | None]] = queue.Queue(_UNCOLLECTED_MAX)

    def __iter__(self) -> Iterator[tuple[Part, Outcome]]:
        if self._fan_out is None:
            for outcome in self.parts[0].stream:
                yield self.parts[0], outcome
            return
        yield from self._merged()

    def stop(self) -> None:
        """Read no more pictures; the iteration ends with the last answer. Safe from any thread."""
        if self._fan_out is None:
            self.parts[0].stream.stop()
        else:
            # the streams end after what all of them were given
            self._fan_out.stop()

    def abandon(self) -> None:
        """Wait for no more answers either."""
        for part in self.parts:
            part.stream.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as cleanup:
            for part in self.parts:
                cleanup.callback(part.stream.close)

    def _merged(self) -> Iterator[tuple[Part, Outcome]]:
        for part in self.parts:
            threading.Thread(target=self._collect, args=(part,), name="edge-outcomes", daemon=True).start()
        errors: list[Exception] = []
        while not all(part.over for part in self.parts):
            part, result = self._outcomes.get()
            if result is None:
                part.over = True
            elif isinstance(result, Exception):
                errors.append(result)
                print(printable(f"{part.client.bundle.name} ends: {result}"), file=sys.stderr, flush=True)
            else:
                part.overtaken += isinstance(result, Superseded)
                yield part, result
        if errors:
            raise errors[0]

    def _collect(self, part: Part) -> None:
        try:
            for outcome in part.stream:
                self._outcomes.put((part, outcome))
        except Exception as error:
            self._outcomes.put((part, error))
        finally:
            self._outcomes.put((part, None))

    def _left_out(self, picture: Picture) -> None:
        assert picture.sequence is not None
        for part in self.parts:
            if not part.over:
                name, codec = part.client.bundle.name, part.client.codec
                index = picture.sequence - part.client.settings.first_sequence
                outcome = Superseded(picture.sequence, picture.name, picture.label, name, codec, index)
                self._outcomes.put((part, outcome))

"""When a batch starts and which frames are in it: a pure policy, with the clock passed in.

A frame waits for three reasons only: the workers are busy, the batch is not due yet, or it is others' turn.

    offer(frame) -> bounded queue -> poll(now) -> frames to run, frames over their budget, or a time to sleep

While a worker is busy frames gather by themselves, so batches grow with load and no timer is needed. The
timer (`max_wait_ms`) only matters to an idle worker: it may hold a lone frame back for company. It does not
when nobody else could join (every open stream already has a frame in the queue) or when the batch is full.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Generic, NamedTuple, TypeVar

from siftfunnel.shared.settings import check, setting

_REMEMBERED = 0.97
_DOUBT = 4.0
"""So much variance of the sizes, frames squared, weighs as much as the guess that time grows with them."""
_ACTIVE_S = 1.0
"""A client that has sent nothing for this long is not reckoned with."""
MOST_FRAMES = 1 << 20

FrameT = TypeVar("FrameT")
ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class BatchPolicy:
    """Limits of one bundle's batcher.

    Raises:
        ValueError: a size or limit below 1, a batch larger than the queue, a wait below 0 or not finite.
    """

    max_batch_size: int = setting(16, "frames per batch", flag="--max-batch", least=1)
    # 0 is right on a CPU, where a batch costs about as much as its frames
    max_wait_ms: float = setting(
        0.0,
        "how long an idle worker holds a frame back for company, from its arrival; 0 starts at once and lets "
        "batches form while workers are busy",
        metavar="MS",
        least=0,
        finite=True,
    )
    queue_limit_frames: int = setting(
        256,
        "frames of one bundle that may wait; over that, the newest one of the client with the most is "
        "told to come back later",
        flag="--queue-limit",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.queue_limit_frames < self.max_batch_size:
            raise ValueError(
                f"queue_limit_frames ({self.queue_limit_frames}) must be at least max_batch_size "
                f"({self.max_batch_size}): a full batch has to fit into the queue"
            )


class BatchCost:
    """What a batch costs, a + b frames, as those that ran lately tell (least squares that forget).

    >>> cost = BatchCost()
    >>> for frames in (1, 4, 16): cost.ran(frames, 0.001 * frames)
    >>> cost.most(clients=2)
    4
    >>> for frames in (1, 4, 16, 8) * 50: cost.ran(frames, 0.01)
    >>> cost.most(clients=2) > 16
    True
    """

    def __init__(self) -> None:
        self._weight = self._n = self._s = self._nn = self._ns = 0.0

    def ran(self, frames: int, seconds: float) -> None:
        """Learn from a batch."""
        told = (1.0, frames, seconds, frames * frames, frames * seconds)
        known = (self._weight, self._n, self._s, self._nn, self._ns)
        self._weight, self._n, self._s, self._nn, self._ns = (
            _REMEMBERED * old + new for old, new in zip(known, told, strict=True)
        )

    def most(self, clients: int) -> int:
        """Frames of a batch that takes at most twice as long as one with a frame of each client."""
        if not self._weight:
            return 2 * clients
        n, s = self._n / self._weight, self._s / self._weight
        spread = self._nn / self._weight - n * n
        # of batches that were all alike nothing follows but that more frames take longer
        each = (self._ns / self._weight - n * s + _DOUBT * s / n) / (spread + _DOUBT)
        if each <= 0:
            return MOST_FRAMES
        return int(min(2 * clients + max(s / each - n, 0.0), MOST_FRAMES))


class Poll(NamedTuple, Generic[FrameT]):
    """What to do now.

    Attributes:
        batch: frames to run now, in turns; empty when nothing is due.
        expired: frames whose budget ran out before work started; answer them, do not run them.
        wait_s: with an empty batch, seconds after which to poll again; None: not before a frame is offered.
    """

    batch: list[FrameT]
    expired: list[FrameT]
    wait_s: float | None


class _Waiting(NamedTuple, Generic[FrameT]):
    frame: FrameT
    due_s: float
    expires_s: float


class BatchQueue(Generic[FrameT]):
    """Bounded queue that forms batches and is fair. Not thread-safe: its owner holds a lock.

    Clients get equal shares, and a client's streams take turns; the frames of one stream keep their order.
    Who has had less than its share goes first, with up to a batch of what it missed: some frames of a quiet
    client that come together do not each wait for one of a greedy one. While several clients are active
    batches are no larger than the poll says: a frame that comes while one runs has to wait for all of it.

    A full queue takes a frame all the same unless its client already has the most in it: whoever has the most
    gives up the newest one.

    Attributes:
        expires_s: before this time, by the caller's clock, no waiting frame's budget runs out.

    Example:
        >>> queue: BatchQueue[str] = BatchQueue(BatchPolicy(max_batch_size=2))
        >>> [queue.offer(name, source=1, now_s=0.0) for name in "abc"]
        [None, None, None]
        >>> queue.offer("d", source=2, now_s=0.0)
        >>> queue.poll(now_s=0.0, sources_open=2).batch
        ['a', 'd']
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._max_wait_s = policy.max_wait_ms / 1000
        # Who has had least is next, of several who stands first; of a client's streams that stands first. Who
        # had a turn goes to the end.
        self._turns: dict[Hashable, dict[Hashable, deque[_Waiting[FrameT]]]] = {}
        self._client_of: dict[Hashable, Hashable] = {}
        self._active: dict[Hashable, float] = {}
        self._had: dict[Hashable, int] = {}
        self._latest = 0
        self._count = 0
        self.expires_s = math.inf

    def __len__(self) -> int:
        return self._count

    def offer(
        self,
        frame: FrameT,
        source: Hashable,
        now_s: float,
        budget_s: float | None = None,
        client: Hashable = None,
    ) -> FrameT | None:
        """Take a frame into the queue.

        Args:
            frame: anything; handed back by ``poll`` untouched.
            source: the stream it came on; frames of one source keep their order.
            now_s: the clock, seconds.
            budget_s: time after ``now_s`` within which work must start; None: any time.
            client: whose stream that is, always the same one for a source.

        Returns:
            None, or what a full queue has no place for: this frame, or the one that it took the place of.
        """
        wait_s = self._max_wait_s
        expires_s = math.inf
        if budget_s is not None:
            expires_s = now_s + budget_s
            # Half of the budget is left for the work itself: waiting for company must not eat all of it.
            wait_s = min(wait_s, budget_s / 2)
            self.expires_s = min(self.expires_s, expires_s)
        self._client_of[source] = client
        self._active[client] = now_s
        if client not in self._turns:
            self._turns[client] = {}
            self._had[client] = max(self._had.get(client, 0), self._latest - self._policy.max_batch_size)
        line = self._turns[client].setdefault(source, deque())
        line.append(_Waiting(frame, now_s + wait_s, expires_s))
        self._count += 1
        return self._displaced(source) if self._count > self._policy.queue_limit_frames else None

    def clients_active(self, now_s: float) -> int:
        """Clients that have sent a frame lately."""
        if any(now_s - since_s > _ACTIVE_S for since_s in self._active.values()):
            kept = {client: at_s for client, at_s in self._active.items() if now_s - at_s <= _ACTIVE_S}
            self._active = kept
            waiting = self._turns.keys()
            self._had = {
                client: had for client, had in self._had.items() if client in kept or client in waiting
            }
        return len(self._active)

    def poll(
        self, now_s: float, sources_open: int, most_of: Callable[[int], int] = lambda clients: MOST_FRAMES
    ) -> Poll[FrameT]:
        """Decide what an idle worker does now.

        Args:
            now_s: the clock, seconds.
            sources_open: streams that could send a frame; with all of them in the queue nobody is awaited.
            most_of: frames of one batch while so many clients are active, of two at least.
        """
        expired = self.expire(now_s)
        if not self._count:
            return Poll([], expired, None)
        wait_s = self._wait_s(now_s, sources_open)
        if wait_s > 0:
            return Poll([], expired, wait_s)
        size = min(self._count, self._policy.max_batch_size)
        if size > 1 and (clients := self.clients_active(now_s)) > 1:
            size = min(size, most_of(clients))
        return Poll([self._pop() for _ in range(size)], expired, None)

    def expire(self, now_s: float) -> list[FrameT]:
        """Take out the frames whose budget has run out."""
        expired: list[FrameT] = []
        if now_s < self.expires_s:
            return expired
        self.expires_s = math.inf
        for source in list(self._client_of):
            line = self._line(source)
            late = [entry for entry in line if now_s >= entry.expires_s]
            if late:
                kept = [entry for entry in line if now_s < entry.expires_s]
                line.clear()
                line.extend(kept)
                expired += (entry.frame for entry in late)
                self._count -= len(late)
            self.expires_s = min(self.expires_s, *(entry.expires_s for entry in line), math.inf)
            if not line:
                self._forget(source)
        return expired

    def oldest(self, count: int) -> Iterator[FrameT]:
        """The frames that are next, `count` at most; they stay."""
        had = dict(self._had)
        turns = {client: _in_turns(lines.values()) for client, lines in self._turns.items()}
        for _ in range(min(count, self._count)):
            client = min(turns, key=had.__getitem__)
            yield next(turns[client]).frame
            had[client] += 1
            lines = turns.pop(client)
            if (entry := next(lines, None)) is not None:
                turns[client] = chain([entry], lines)

    def discard(self, source: Hashable) -> list[FrameT]:
        """Take out the frames of a source that went away; nobody waits for their answers."""
        if source not in self._client_of:
            return []
        gone = [entry.frame for entry in self._line(source)]
        self._forget(source)
        self._count -= len(gone)
        return gone

    def clear(self) -> list[FrameT]:
        """Take out everything that waits, what is next first."""
        frames = list(self.oldest(self._count))
        self._turns.clear()
        self._client_of.clear()
        self._count = 0
        return frames

    def _line(self, source: Hashable) -> deque[_Waiting[FrameT]]:
        return self._turns[self._client_of[source]][source]

    def _forget(self, source: Hashable) -> None:
        client = self._client_of.pop(source)
        del self._turns[client][source]
        if not self._turns[client]:
            del self._turns[client]

    def _displaced(self, source: Hashable) -> FrameT:
        """Take out the newest frame of the stream with the most, of the client with the most."""
        own = self._client_of[source]

        def held(client: Hashable) -> tuple[int, bool]:
            return sum(map(len, self._turns[client].values())), client == own

        lines = self._turns[max(self._turns, key=held)]
        longest = max(lines, key=lambda each: (len(lines[each]), each == source))
        entry = lines[longest].pop()
        self._count -= 1
        if not lines[longest]:
            self._forget(longest)
        return entry.frame

    def _wait_s(self, now_s: float, sources_open: int) -> float:
        if self._max_wait_s == 0 or self._count >= self._policy.max_batch_size:
            return 0.0
        if len(self._client_of) >= sources_open:
            return 0.0
        lines = (line for lines in self._turns.values() for line in lines.values())
        return min(entry.due_s for line in lines for entry in line) - now_s

    def _pop(self) -> FrameT:
        client = min(self._turns, key=self._had.__getitem__)
        lines = self._turns.pop(client)
        self._latest = self._had[client]
        self._had[client] += 1
        source, line = next(iter(lines.items()))
        entry = line.popleft()
        del lines[source]
        if line:
            lines[source] = line
        else:
            del self._client_of[source]
        if lines:
            self._turns[client] = lines
        self._count -= 1
        return entry.frame


def _in_turns(lines: Iterable[Iterable[ItemT]]) -> Iterator[ItemT]:
    """One item of each line after the other, until all are used up."""
    turns = deque(map(iter, lines))
    while turns:
        line = turns.popleft()
        for item in line:
            yield item
            turns.append(line)
            break

"""When a batch starts and which frames are in it: a pure policy, with the clock passed in.

A frame waits for three reasons only: the workers are busy, the batch is not due yet, or it is behind others.

    offer(frame) -> bounded queue -> poll(now) -> frames to run, frames over their budget, or a time to sleep

While a worker is busy frames gather by themselves, so batches grow with load and no timer is needed. The
timer (`max_wait_ms`) only matters to an idle worker: it may hold a lone frame back for company. It does not
when nobody else could join (every open stream already has a frame in the queue) or when the batch is full.
"""

import math
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

FrameT = TypeVar("FrameT")


@dataclass(frozen=True)
class BatchPolicy:
    """Limits of one bundle's batcher.

    Attributes:
        max_batch_size: most frames in one run of the cloud half.
        max_wait_ms: longest time a frame is held back for company while a worker is idle, counted from its
            arrival; 0 starts at once, right on a CPU, where a batch costs about as much as its frames.
        queue_limit_frames: frames that may wait; the next one is refused.

    Raises:
        ValueError: a size or limit below 1, a batch larger than the queue, a wait below 0 or not finite.
    """

    max_batch_size: int = 16
    max_wait_ms: float = 0.0
    queue_limit_frames: int = 256

    def __post_init__(self) -> None:
        if self.max_batch_size < 1:
            raise ValueError(f"max_batch_size must be at least 1, not {self.max_batch_size}")
        if self.queue_limit_frames < self.max_batch_size:
            raise ValueError(
                f"queue_limit_frames ({self.queue_limit_frames}) must be at least max_batch_size "
                f"({self.max_batch_size}): a full batch has to fit into the queue"
            )
        if not math.isfinite(self.max_wait_ms) or self.max_wait_ms < 0:
            raise ValueError(f"max_wait_ms must be a finite number of at least 0, not {self.max_wait_ms}")


class Poll(NamedTuple, Generic[FrameT]):
    """What to do now.

    Attributes:
        batch: frames to run now, oldest first; empty when nothing is due.
        expired: frames whose budget ran out before work started; answer them, do not run them.
        wait_s: with an empty batch, seconds after which to poll again; None: not before a frame is offered.
    """

    batch: list[FrameT]
    expired: list[FrameT]
    wait_s: float | None


class _Waiting(NamedTuple, Generic[FrameT]):
    frame: FrameT
    source: object
    due_s: float
    expires_s: float


class BatchQueue(Generic[FrameT]):
    """Bounded first-in-first-out queue that forms batches. Not thread-safe: its owner holds a lock.

    Example:
        >>> queue: BatchQueue[str] = BatchQueue(BatchPolicy(max_batch_size=2))
        >>> [queue.offer(name, source=1, now_s=0.0) for name in "abc"]
        [True, True, True]
        >>> queue.poll(now_s=0.0, sources_open=1).batch
        ['a', 'b']
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._max_wait_s = policy.max_wait_ms / 1000
        self._waiting: deque[_Waiting[FrameT]] = deque()
        self._per_source: Counter[object] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, frame: FrameT, source: object, now_s: float, budget_s: float | None = None) -> bool:
        """Take a frame into the queue.

        Args:
            frame: anything; handed back by ``poll`` untouched.
            source: the stream it came on, hashable; frames of one source keep their order.
            now_s: the clock, seconds.
            budget_s: time after ``now_s`` within which work must start; None: any time.

        Returns:
            False when the queue is full: the frame was not taken.
        """
        if len(self._waiting) >= self._policy.queue_limit_frames:
            return False
        wait_s = self._max_wait_s
        expires_s = math.inf
        if budget_s is not None:
            expires_s = now_s + budget_s
            # Half of the budget is left for the work itself: waiting for company must not eat all of it.
            wait_s = min(wait_s, budget_s / 2)
        self._waiting.append(_Waiting(frame, source, now_s + wait_s, expires_s))
        self._per_source[source] += 1
        return True

    def poll(self, now_s: float, sources_open: int) -> Poll[FrameT]:
        """Decide what an idle worker does now.

        Args:
            now_s: the clock, seconds.
            sources_open: streams that could send a frame; with all of them in the queue nobody is awaited.
        """
        expired: list[FrameT] = []
        if not self._waiting:
            return Poll([], expired, None)
        wait_s = self._wait_s(now_s, sources_open)
        if wait_s > 0:
            return Poll([], expired, wait_s)
        batch: list[FrameT] = []
        while self._waiting and len(batch) < self._policy.max_batch_size:
            entry = self._pop()
            (expired if now_s >= entry.expires_s else batch).append(entry.frame)
        return Poll(batch, expired, None)

    def oldest(self, count: int) -> Iterator[FrameT]:
        """The frames that are next, `count` at most; they stay."""
        return (entry.frame for entry in islice(self._waiting, count))

    def discard(self, source: object) -> list[FrameT]:
        """Take out the frames of a source that went away; nobody waits for their answers."""
        if source not in self._per_source:
            return []
        gone = [entry.frame for entry in self._waiting if entry.source == source]
        self._waiting = deque(entry for entry in self._waiting if entry.source != source)
        del self._per_source[source]
        return gone

    def clear(self) -> list[FrameT]:
        """Take out everything that waits, oldest first."""
        frames = [entry.frame for entry in self._waiting]
        self._waiting.clear()
        self._per_source.clear()
        return frames

    def _wait_s(self, now_s: float, sources_open: int) -> float:
        if self._max_wait_s == 0 or len(self._waiting) >= self._policy.max_batch_size:
            return 0.0
        if len(self._per_source) >= sources_open:
            return 0.0
        return min(entry.due_s for entry in self._waiting) - now_s

    def _pop(self) -> _Waiting[FrameT]:
        entry = self._waiting.popleft()
        self._per_source[entry.source] -= 1
        if not self._per_source[entry.source]:
            del self._per_source[entry.source]
        return entry

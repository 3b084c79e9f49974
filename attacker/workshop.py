"""The attacker's slow half: decode, invert, fetch the original, score. One thread, one bounded queue.

    new exchange -> backlog -> decode + invert (in batches) -> wait for original and answer -> score -> show

Frames that are picked for the page come first, so that it shows what passes now however long scoring takes;
the others follow as there is time. The backlog keeps the newest frames and counts those it lets go.
"""

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import numpy as np

from siftfunnel.attacker.exchanges import Exchange, FrameKey
from siftfunnel.attacker.ledger import Similarity
from siftfunnel.attacker.preview import Truth
from siftfunnel.attacker.targets import Target
from siftfunnel.shared import similarity

PICKED_FOR_S = 10.0
MAX_PICKED = 256


@dataclass(frozen=True)
class WorkshopConfig:
    """Bounds of the slow half.

    Attributes:
        backlog_frames: frames that may wait for reconstruction.
        backlog_bytes: payload bytes that may wait for reconstruction.
        batch_frames: frames that are inverted together.
        batch_bytes: pictures, as floats, that are inverted together, unless one alone is larger.
        waiting_frames: rebuilt frames that may wait for their original.
        waiting_bytes: pictures and features of theirs that may wait with them.
        truth_wait_s: how long a rebuilt frame waits for its original.
        answer_wait_s: how long it waits for its answer.
    """

    backlog_frames: int = 1024
    backlog_bytes: int = 64 * 2**20
    batch_frames: int = 8
    batch_bytes: int = 4 * 2**20
    waiting_frames: int = 2048
    waiting_bytes: int = 256 * 2**20
    truth_wait_s: float = 5.0
    answer_wait_s: float = 5.0

    def __post_init__(self) -> None:
        waits = ("truth_wait_s", "answer_wait_s")
        for name in (field.name for field in fields(self) if field.name not in waits):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.truth_wait_s < 0 or self.answer_wait_s < 0:
            raise ValueError("waits must not be negative")


class Picks:
    """Which frames get pictures: about so many sequences a second, each in every network or in none.

    The gaps are uneven: of a few pictures that come in turn at a steady pace, even ones would meet always the
    same.

    >>> picks = Picks(2.0)
    >>> [picks.wants(*frame) for frame in ((7, 0.0), (8, 0.1), (7, 0.2), (8, 0.9), (9, 0.9))]
    [True, False, True, False, True]
    >>> picks.wants(10, 9.0, room=False), picks.wants(10, 9.1), picks.wants(11, 9.2)
    (False, False, True)
    """

    def __init__(self, per_s: float) -> None:
        self._gap_s = 1 / per_s
        self._next_s = float("-inf")
        self._chance = random.Random(0)
        self._decided: OrderedDict[int, tuple[bool, float]] = OrderedDict()

    def wants(self, sequence: int, now_s: float, room: bool = True) -> bool:
        """Whether to make pictures of a frame; a sequence is decided anew after some seconds.

        Args:
            sequence: the frame's number.
            now_s: the time.
            room: whether a sequence that is not decided yet may be picked.
        """
        wanted, since_s = self._decided.get(sequence, (False, float("-inf")))
        if now_s - since_s > PICKED_FOR_S:
            wanted = room and self._is_due(now_s)
            self._decided[sequence] = wanted, now_s
            if len(self._decided) > MAX_PICKED:
                self._decided.popitem(last=False)
        return wanted

    def _is_due(self, now_s: float) -> bool:
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._gap_s * self._chance.uniform(0.5, 1.5)
        return True


class Backlog:
    """Frames that wait for reconstruction: bounded by number and bytes, the newest kept.

    Args:
        config: the bounds.
        picks: which frames get pictures.
        picture_bytes: the size of a frame's picture, as floats.
    """

    def __init__(
        self, config: WorkshopConfig, picks: Picks, picture_bytes: Callable[[Exchange], int] = lambda _: 0
    ) -> None:
        self._config, self._picks, self._picture_bytes = config, picks, picture_bytes
        self._pictured: deque[Exchange] = deque()
        self._others: deque[Exchange] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pictured) + len(self._others)

    def put(self, exchange: Exchange, now_s: float) -> list[Exchange]:
        """Queue a frame; returns the older ones that had to go.

        No further picture is picked while one waits: a page is shown few pictures sooner than many late.
        """
        room = not self._pictured
        exchange.pictured = self._picks.wants(exchange.sequence, now_s, room)
        (self._pictured if exchange.pictured else self._others).append(exchange)
        self._bytes += len(exchange.payload)
        gone = []
        while len(self) > 1 and self._is_over():
            gone.append(self._pop(self._others or self._pictured))
        return gone

    def take(self) -> list[Exchange]:
        """The oldest frame that gets pictures, else the oldest, and those of its bundle right behind it."""
        batch: list[Exchange] = []
        waiting = self._pictured or self._others
        while waiting and len(batch) < self._config.batch_frames:
            together = (len(batch) + 1) * self._picture_bytes(waiting[0])
            if batch and (waiting[0].digest != batch[0].digest or together > self._config.batch_bytes):
                break
            batch.append(self._pop(waiting))
        return batch

    def _pop(self, waiting: deque[Exchange]) -> Exchange:
        oldest = waiting.popleft()
        self._bytes -= len(oldest.payload)
        return oldest

    def _is_over(self) -> bool:
        return len(self) > self._config.backlog_frames or self._bytes > self._config.backlog_bytes


def decode_batch(target: Target, batch: Iterable[Exchange]) -> tuple[list[Exchange], list[Exchange]]:
    """Fill in `features_CHW`; returns the frames that decoded and those that did not."""
    decoded, failed = [], []
    for exchange in batch:
        try:
            exchange.features_CHW = target.decode(exchange.codec, exchange.payload)
        except Exception:  # a codec's fault on hostile bytes must cost its own frame only
            failed.append(exchange)
        else:
            decoded.append(exchange)
    return decoded, failed


def invert_batch(target: Target, batch: list[Exchange]) -> None:
    """Fill in `reconstruction_HWC` where the bundle has a reconstructor."""
    if target.reconstructor is None or not batch:
        return
    features_NCHW = np.stack(
        [exchange.features_CHW for exchange in batch if exchange.features_CHW is not None]
    )
    images_NHWC = target.reconstructor.reconstruct(features_NCHW)
    for exchange, image_HWC in zip(batch, images_NHWC, strict=True):
        exchange.reconstruction_HWC = image_HWC


def score(exchange: Exchange, truth: Truth | None) -> Similarity | None:
    """Similarity of the reconstruction to the original; None where one of them is missing or sizes differ."""
    image_HWC = exchange.reconstruction_HWC
    if truth is None or image_HWC is None or image_HWC.shape != truth.pixels_HWC.shape:
        return None
    original_HWC = truth.pixels_HWC.astype(np.float32) / 255
    return Similarity(
        mse=similarity.mse(original_HWC, image_HWC),
        psnr_db=similarity.psnr(original_HWC, image_HWC),
        ssim=similarity.ssim(original_HWC, image_HWC),
    )


@dataclass
class _Pending:
    exchange: Exchange
    since_s: float
    truth: Truth | None = None

    @property
    def size_bytes(self) -> int:
        held = (self.exchange.features_CHW, self.exchange.reconstruction_HWC)
        return sum(array.nbytes for array in held if array is not None)


class WaitingRoom:
    """Rebuilt frames that wait, for a bounded time, for their original and their answer."""

    def __init__(
        self,
        config: WorkshopConfig,
        take_truth: Callable[[FrameKey], Truth | None] | None,
    ) -> None:
        """`take_truth` is None where no original will ever come."""
        self._config = config
        self._take_truth = take_truth
        self._pending: deque[_Pending] = deque()

    def __len__(self) -> int:
        return len(self._pending)

    def admit(self, exchanges: Iterable[Exchange], now_s: float) -> None:
        """Frames that have been through reconstruction."""
        self._pending.extend(_Pending(exchange, now_s) for exchange in exchanges)

    def release(self, now_s: float) -> list[tuple[Exchange, Truth | None]]:
        """Frames that need not, or must not, wait any longer, in their order of arrival."""
        released, kept = [], deque[_Pending]()
        frames, size_bytes = len(self._pending), sum(each.size_bytes for each in self._pending)
        for pending in self._pending:
            if pending.truth is None and self._take_truth is not None:
                pending.truth = self._take_truth(pending.exchange.key)
            is_over = frames > self._config.waiting_frames or size_bytes > self._config.waiting_bytes
            frames, size_bytes = frames - 1, size_bytes - pending.size_bytes
            if is_over or self._is_done(pending, now_s - pending.since_s):
                released.append((pending.exchange, pending.truth))
            else:
                kept.append(pending)
        self._pending = kept
        return released

    def _is_done(self, pending: _Pending, waited_s: float) -> bool:
        has_truth = pending.truth is not None or self._take_truth is None
        has_answer = pending.exchange.answered_s is not None
        return (has_truth or waited_s >= self._config.truth_wait_s) and (
            has_answer or waited_s >= self._config.answer_wait_s
        )

"""Which overheard messages belong together: a frame, its answer, and the same frame sent again.

    Frame (up)  --(tap, connection, stream, sequence)-->  Exchange  <--(the same)--  Reply (down)

An edge resends what is unanswered, over a new connection or over the same one, and two taps may hear the same
frame: one `Exchange` stands for all of that, and is counted once.
"""

import math
import zlib
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.rpc import split_inference_pb2 as pb

EXCHANGE_BYTES = 4096
"""What an exchange takes beside its tensors, generously."""

FrameKey = tuple[str, int, int]
"""Bundle digest, sequence, CRC-32 of the payload: a frame's name on every tap and in the preview."""

CallKey = tuple[str, str, int]
"""Tap, connection, HTTP/2 stream: sequence numbers mean something within one call only."""


def frame_key(digest: str, sequence: int, payload: bytes) -> FrameKey:
    """What a frame is known by.

    >>> frame_key("ab", 7, b"payload")
    ('ab', 7, 1110206997)
    """
    return digest, sequence, zlib.crc32(payload)


@dataclass(frozen=True)
class Answer:
    """An overheard prediction.

    Attributes:
        class_index: of the best class, its position in the manifest's list; None where it lists no class.
        score: the service's probability of that class, in [0, 1].
    """

    class_index: int | None = None
    score: float = 0.0


@dataclass(eq=False)
class Exchange:
    """One frame's life, as far as the attacker has heard of it.

    Attributes:
        number: counts exchanges from 0 in the order in which they were first heard.
        tap: the tap that heard it first; a tap on the wire takes over from a recording of the same wire.
        connection: the connection it was first heard on.
        time_s: when the frame was first heard, seconds since the epoch.
        digest: the bundle's digest.
        sequence: the edge's number for the frame.
        codec: position in the manifest's list of codecs.
        payload: what the codec wrote, checksum included.
        answer: set when a prediction was overheard.
        answered_s: when that was.
        outputs: the prediction's tensors by name; None where they are not what the bundle says.
        features_CHW: set when decoded.
        reconstruction_HWC: set when inverted, float32 in [0, 1].
        wire_bytes: TCP payload that `tap` told of it so far.
        pictured: whether the page gets pictures of it.
        settled: whether the pipeline is done with it; then the tensors are gone.
        label: the true class, once known.
        key: what the frame is known by.
    """

    number: int
    tap: str
    connection: str
    time_s: float
    digest: str
    sequence: int
    codec: int
    payload: bytes
    answer: Answer | None = None
    answered_s: float | None = None
    outputs: Mapping[str, NDArray[np.generic]] | None = field(default_factory=dict)
    features_CHW: NDArray[np.float32] | None = None
    reconstruction_HWC: NDArray[np.float32] | None = None
    wire_bytes: int = 0
    pictured: bool = False
    settled: bool = False
    label: str | None = None
    key: FrameKey = field(init=False)

    def __post_init__(self) -> None:
        self.key = frame_key(self.digest, self.sequence, self.payload)

    def settle(self, label: str | None) -> None:
        """Let go of everything large; what remains only serves to recognise the frame again."""
        self.settled, self.label = True, label
        self.payload, self.features_CHW, self.reconstruction_HWC = b"", None, None
        self.outputs = {}


class Census:
    """Tells a new frame from one that was heard before; memory is bounded.

    A frame heard again on the tap that heard it before is *resent* as long as it is unanswered or was
    answered within `grace_s` (the answer may have been lost between the tap and the edge). After that the
    same digest, sequence and payload are a new frame: an edge that was started again numbers from the same
    start. The n-th new frame of a key on one tap is the n-th one on every other tap.
    """

    def __init__(self, capacity: int = 50_000, grace_s: float = 5.0) -> None:
        self._capacity = capacity
        self._grace_s = grace_s
        self._known: OrderedDict[FrameKey, _Generations] = OrderedDict()

    def find(self, tap: str, key: FrameKey, now_s: float) -> tuple[Exchange | None, int]:
        """The exchange this hearing belongs to (None: a new one), and its place among those of the key."""
        generations = self._known.get(key)
        if generations is None:
            return None, 0
        self._known.move_to_end(key)
        place = generations.heard.get(tap, -1)
        if place >= 0 and self._may_be_resent(generations.exchanges[place], now_s):
            return generations.exchanges[place], place
        place += 1
        known = generations.exchanges[place] if place < len(generations.exchanges) else None
        return known, place

    def note(self, tap: str, key: FrameKey, place: int, exchange: Exchange) -> None:
        """Remember that `tap` has heard `exchange` as the `place`-th one of its key."""
        generations = self._known.setdefault(key, _Generations([], {}))
        if place == len(generations.exchanges):
            generations.exchanges.append(exchange)
        generations.heard[tap] = place
        while len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def _may_be_resent(self, exchange: Exchange, now_s: float) -> bool:
        return exchange.answered_s is None or now_s - exchange.answered_s <= self._grace_s


@dataclass
class _Generations:
    exchanges: list[Exchange]
    heard: dict[str, int]


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply as far as it matters here.

    Attributes:
        answer: None for an error.
        time_s: when it was heard, seconds since the epoch.
        wire_bytes: TCP payload that is still to be charged for it.
        tensors: what a prediction carries beside its classes.
    """

    answer: Answer | None
    time_s: float
    wire_bytes: int
    tensors: Sequence[pb.Tensor] = ()


class Pairs:
    """Finds the exchange that a reply answers; the oldest are forgotten first.

    A reply may be heard before its frame, for what comes behind a hole in one direction is given out late.
    Such replies are kept until their frames come, their tensors, which may be large, are not.
    """

    def __init__(self, capacity: int = 8192) -> None:
        self._capacity = capacity
        self._open: OrderedDict[tuple[CallKey, int], Exchange] = OrderedDict()
        self._early: OrderedDict[tuple[CallKey, int], Heard] = OrderedDict()

    def expect(self, call: CallKey, exchange: Exchange) -> Heard | None:
        """A reply to `exchange` may now come in this call; the one that came before it, if any."""
        key = (call, exchange.sequence)
        early = self._early.pop(key, None)
        # Behind an error the frame is sent again in the same call, and answered again.
        if early is None or early.answer is None:
            self._open[key] = exchange
            self._bound(self._open)
        return early

    def take(self, call: CallKey, sequence: int, heard: Heard) -> Exchange | None:
        """The exchange that a reply with this sequence belongs to; None when its frame is yet to be heard."""
        exchange = self._open.pop((call, sequence), None)
        if exchange is None:
            self._early[call, sequence] = replace(heard, tensors=())
            self._bound(self._early)
        return exchange

    def _bound(self, kept: OrderedDict[tuple[CallKey, int], Any]) -> None:
        while len(kept) > self._capacity:
            kept.popitem(last=False)


class Tensors:
    """The tensors of answers that are yet to be looked at, bounded by their bytes: the oldest are let go."""

    def __init__(self, limit_bytes: int = 64 * 2**20) -> None:
        self._limit_bytes = limit_bytes
        self._held: deque[tuple[Exchange, int]] = deque()
        self._bytes = 0

    def keep(self, exchange: Exchange, outputs: Mapping[str, NDArray[np.generic]] | None) -> None:
        """Give an exchange its outputs; older ones may lose theirs."""
        exchange.outputs = outputs
        if not outputs:
            return
        size_bytes = EXCHANGE_BYTES + sum(values.nbytes for values in outputs.values())
        self._held.append((exchange, size_bytes))
        self._bytes += size_bytes
        while self._bytes > self._limit_bytes and len(self._held) > 1:
            oldest, size_bytes = self._held.popleft()
            oldest.outputs = {}
            self._bytes -= size_bytes


def answer_of(reply: pb.Reply) -> Answer | None:
    """The first class of a prediction, if it lists any; None for an error. Any score may have been sent.

    >>> answer_of(pb.Reply(prediction=pb.Prediction(class_index=[3], score=[0.5])))
    Answer(class_index=3, score=0.5)
    """
    prediction = reply.prediction
    if reply.WhichOneof("outcome") != "prediction":
        return None
    if not prediction.class_index or not prediction.score:
        return Answer()
    score = prediction.score[0]
    return Answer(prediction.class_index[0], min(1.0, max(0.0, score)) if math.isfinite(score) else 0.0)

"""Ground truth: the model's inputs, fetched from the edge's opt-in preview, never from the wire.

The preview is a ring buffer with long poll: `GET /inputs?after=CURSOR` answers with what is newer than the
cursor, or after some seconds with nothing. Frames pair with overheard ones by bundle digest, sequence and the
CRC-32 of their payload: an edge that is started again numbers from the same start.
"""

import base64
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from siftfunnel.attacker.exchanges import FrameKey
from siftfunnel.shared.digests import is_digest

MAX_PREVIEW_BYTES = 64 * 1024 * 1024
MAX_SIDE_PIXELS = 4096


class PreviewError(ValueError):
    """The edge's preview answered something that is not what it should be; the text names the field."""


@dataclass(frozen=True, eq=False)
class Truth:
    """One input of the model, as the edge saw it.

    Attributes:
        digest: the bundle's digest.
        sequence: the edge's number of the frame.
        time_s: when it was taken, seconds since the epoch.
        label: the true class where the source knows it.
        pixels_HWC: uint8 RGB at the size of the model's input.
        payload_crc32: CRC-32 of what the codec wrote for it.
    """

    digest: str
    sequence: int
    time_s: float
    label: str | None
    pixels_HWC: NDArray[np.uint8]
    payload_crc32: int

    @property
    def key(self) -> FrameKey:
        """What its frame is known by when it is overheard."""
        return self.digest, self.sequence, self.payload_crc32


@dataclass(frozen=True)
class Batch:
    """One answer of the preview: its session (one per edge process), where to go on, what was missed."""

    session: str
    cursor: int
    missed: int
    frames: tuple[Truth, ...]


def read_batch(answer: Any) -> Batch:
    """Check and convert the preview's JSON.

    Raises:
        PreviewError: a field is missing or wrong.
    """
    if not isinstance(answer, dict):
        raise PreviewError(f"expected a JSON object, not {type(answer).__name__}")
    frames = _get(answer, "frames", list)
    return Batch(
        session=str(_get(answer, "session", (str, int))),
        cursor=_get(answer, "cursor", int),
        missed=_get(answer, "missed", int),
        frames=tuple(_read_truth(frame) for frame in frames),
    )


def _read_truth(frame: Any) -> Truth:
    if not isinstance(frame, dict):
        raise PreviewError("a frame must be a JSON object")
    height, width = _get(frame, "height", int), _get(frame, "width", int)
    if not (0 < height <= MAX_SIDE_PIXELS and 0 < width <= MAX_SIDE_PIXELS):
        raise PreviewError(f"height and width must be 1 to {MAX_SIDE_PIXELS} pixels, not {height}x{width}")
    digest = _get(frame, "digest", str)
    if not is_digest(digest):
        raise PreviewError(f"digest must be 64 hex digits, not {digest[:80]!r}")
    try:
        raw = base64.b64decode(_get(frame, "pixels_b64", str), validate=True)
    except ValueError as error:
        raise PreviewError(f"pixels_b64 is not base64: {error}") from None
    if len(raw) != height * width * 3:
        raise PreviewError(
            f"pixels_b64 holds {len(raw)} bytes, {height}x{width} RGB needs {height * width * 3}"
        )
    label = frame.get("label")
    return Truth(
        digest=digest,
        sequence=_get(frame, "sequence", int),
        time_s=_time(_get(frame, "time_s", (int, float))),
        label=label if isinstance(label, str) else None,
        pixels_HWC=np.frombuffer(raw, np.uint8).reshape(height, width, 3),
        payload_crc32=_get(frame, "payload_crc32", int),
    )


def _time(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise PreviewError("time_s is too large") from None


def _get(fields: dict[str, Any], name: str, kinds: type | tuple[type, ...]) -> Any:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise PreviewError(f"{name} is missing or of the wrong type ({type(value).__name__})")
    return value


class TruthStore:
    """The latest inputs by what their frames are known by; bounded, thread-safe; taking one removes it."""

    def __init__(self, capacity: int = 4096, limit_bytes: int = 128 * 2**20) -> None:
        self._capacity, self._limit_bytes = capacity, limit_bytes
        self._lock = threading.Lock()
        self._truths: OrderedDict[FrameKey, Truth] = OrderedDict()
        self._bytes = 0

    def put(self, truth: Truth) -> None:
        """Keep an input until it is taken or pushed out by newer ones."""
        with self._lock:
            self._remove(truth.key)
            self._truths[truth.key] = truth
            self._bytes += truth.pixels_HWC.nbytes
            while len(self._truths) > 1 and self._is_over():
                self._remove(next(iter(self._truths)))

    def take(self, key: FrameKey) -> Truth | None:
        """The input of a frame, if it has come."""
        with self._lock:
            return self._remove(key)

    def _remove(self, key: FrameKey) -> Truth | None:
        truth = self._truths.pop(key, None)
        self._bytes -= truth.pixels_HWC.nbytes if truth else 0
        return truth

    def _is_over(self) -> bool:
        return len(self._truths) > self._capacity or self._bytes > self._limit_bytes

    def __len__(self) -> int:
        return len(self._truths)


@dataclass(frozen=True)
class PreviewState:
    """How the preview is doing, for the page.

    Attributes:
        url: where it is asked for; None when no preview was given.
        phase: "off", "waiting" (not reachable so far or any more), "connected".
        detail: one sentence for people.
        frames: inputs received.
        missed: inputs that the edge's ring buffer had already let go.
    """

    url: str | None
    phase: Literal["off", "waiting", "connected"]
    detail: str
    frames: int = 0
    missed: int = 0


class Camera(Protocol):
    """What the pipeline needs of a preview."""

    def start(self, on_truth: Callable[[Truth], None]) -> None:
        """Begin to hand over inputs on a thread of its own."""
        ...

    def stop(self) -> None:
        """Stop and wait for the thread."""
        ...

    def state(self) -> PreviewState:
        """How it is doing now."""
        ...


class NoCamera:
    """There is no preview: originals are unknown and nothing is scored."""

    def start(self, on_truth: Callable[[Truth], None]) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def state(self) -> PreviewState:
        """Says that there is none, and what to do about it."""
        return PreviewState(
            None, "off", "no preview was given (--preview): originals are unknown, nothing can be scored"
        )

"""Ground truth: the model's inputs, asked of the edge's opt-in preview over and over, never of the wire.

The preview is a ring buffer with long poll: `GET /inputs?after=CURSOR` answers with what is newer than the
cursor, or after some seconds with nothing. Frames pair with overheard ones by bundle digest, sequence and the
CRC-32 of their payload: an edge that is started again numbers from the same start.
"""

import base64
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from siftfunnel.attacker.asking import AskError, ask
from siftfunnel.attacker.exchanges import FrameKey
from siftfunnel.shared.digests import is_digest
from siftfunnel.shared.json_fields import FieldError, Fields, parse_object
from siftfunnel.shared.showing import without_credentials

MAX_PREVIEW_BYTES = 64 * 2**20
MAX_SIDE_PIXELS = 4096
MAX_NUMBER = 2**64 - 1
RETRY_FIRST_S = 0.1
RETRY_LAST_S = 0.5
STOP_S = 0.5
ANSWER_WAIT_S = 20.0


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


def read_batch(answer: dict[str, Any]) -> Batch:
    """Check and convert the preview's JSON; fields of a later version are passed over.

    Raises:
        FieldError: a field is missing or wrong.
    """
    fields = Fields(answer, "the preview")
    session = fields.take("session")
    if not isinstance(session, str | int) or isinstance(session, bool):
        raise fields.error("session", "must be a text or a number")
    return Batch(
        session=str(session),
        cursor=fields.integer("cursor", 0, MAX_NUMBER),
        missed=fields.integer("missed", 0, MAX_NUMBER),
        frames=tuple(_read_truth(frame) for frame in fields.nested_list("frames")),
    )


def _read_truth(frame: Fields) -> Truth:
    height, width = frame.integer("height", 1, MAX_SIDE_PIXELS), frame.integer("width", 1, MAX_SIDE_PIXELS)
    digest = frame.text("digest")
    if not is_digest(digest):
        raise frame.error("digest", f"must be 64 hex digits, not {digest[:80]!r}")
    try:
        raw = base64.b64decode(frame.text("pixels_b64"), validate=True)
    except ValueError as error:
        raise frame.error("pixels_b64", f"is not base64: {error}") from None
    if len(raw) != height * width * 3:
        needed = f"{height}x{width} RGB needs {height * width * 3}"
        raise frame.error("pixels_b64", f"holds {len(raw)} bytes, {needed}")
    label = frame.take("label")
    return Truth(
        digest=digest,
        sequence=frame.integer("sequence", 0, MAX_NUMBER),
        time_s=frame.number("time_s"),
        label=label if isinstance(label, str) else None,
        pixels_HWC=np.frombuffer(raw, np.uint8).reshape(height, width, 3),
        payload_crc32=frame.integer("payload_crc32", 0, 2**32 - 1),
    )


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


NO_PREVIEW = PreviewState(
    None, "off", "no preview was given (--preview): originals are unknown, nothing can be scored"
)


class PreviewClient:
    """A long-polling client that survives an edge that is not there yet, goes away, or comes back anew."""

    def __init__(self, url: str) -> None:
        """`url` is the preview's root, such as http://127.0.0.1:8090."""
        self._url = url.rstrip("/")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        shown = without_credentials(self._url)
        self._state = PreviewState(shown, "waiting", f"waiting for the edge's preview at {shown}")
        self._session: str | None = None
        self._cursor = 0

    def start(self, on_truth: Callable[[Truth], None]) -> None:
        """Begin to poll; every input goes to `on_truth`, on the client's thread."""
        self._thread = threading.Thread(target=self._run, args=(on_truth,), name="preview", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop polling. A long poll under way is not waited for: its thread is a daemon and ends with it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=STOP_S)

    def state(self) -> PreviewState:
        """How the preview is doing now."""
        return self._state

    def _run(self, on_truth: Callable[[Truth], None]) -> None:
        pause_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            try:
                batch = self._poll()
                pause_s = RETRY_FIRST_S
            except (AskError, FieldError) as error:
                if isinstance(error, AskError) and error.unreached:
                    # That edge process is gone; the next one counts anew.
                    self._session, self._cursor = None, 0
                detail = f"the edge's preview at {self._state.url}: {without_credentials(str(error))}"
                self._state = replace(self._state, phase="waiting", detail=detail)
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, RETRY_LAST_S)
                continue
            for truth in batch:
                if not self._stopping.is_set():
                    on_truth(truth)

    def _poll(self) -> tuple[Truth, ...]:
        url = f"{self._url}/inputs?after={self._cursor}"
        status, told = ask(url, ANSWER_WAIT_S, most_bytes=MAX_PREVIEW_BYTES)
        if status != 200:
            raise AskError(f"status {status} instead of the model's inputs")
        batch = read_batch(parse_object(told, "not what a preview answers"))
        renewed = self._session is not None and batch.session != self._session
        self._session = batch.session
        if renewed and self._cursor > 0:
            # The cursor belonged to the edge process before this one.
            self._cursor = 0
            return ()
        self._cursor = batch.cursor
        self._state = replace(
            self._state,
            phase="connected",
            detail="receiving the model's inputs",
            frames=self._state.frames + len(batch.frames),
            missed=self._state.missed + batch.missed,
        )
        return batch.frames

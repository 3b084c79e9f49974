"""One run of a cell: what the device's process is told, the moments of its frames, and what it reports."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from siftfunnel.bench.cells.load import Load, Measured, Sample
from siftfunnel.bench.cells.pictures import LabelledFile
from siftfunnel.bench.cells.result import BothWays, EarlyStopping, Mode, Scenario, Stages, joined
from siftfunnel.bench.links.profiles import Emulation

MEASURING = {"measuring": True}
"""What the device's process says when a run's warm-up is over."""

_OVERLOADED_SHARE = 0.1


@dataclass(frozen=True)
class Task:
    """One run.

    Attributes:
        bundle: Directory.
        pictures: Where they come from; see `read_pictures`.
        pictures_at_most: How many are used.
        mode, codec: Of the cell.
        codec_index: Position of a picture codec on the wire; unused elsewhere.
        server: HOST:PORT as the device reaches it; None in edge-only.
        load: What LoadGen does.
        emulation: Who keeps the link.
        cloud_process: Lives at the cloud's end; its namespace's counters are read.
    """

    bundle: str
    pictures: str
    pictures_at_most: int
    mode: Mode
    codec: str
    codec_index: int
    server: str | None
    load: Load
    emulation: Emulation
    cloud_process: int | None


@dataclass(slots=True, eq=False)
class Frame:
    """A frame under measurement; moments are seconds of `time.perf_counter`, spans milliseconds.

    Attributes:
        file: Its picture.
        identity: LoadGen's name for it; None in a warm-up.
        issued_s: When it was asked for.
        begun_s: When the device turned to it.
        captured_s: Picture decoded, at the model's size.
        edged_s: The device's half is done.
        encoded_s: The payload is there.
        answered_s: The answer, or the failure, is in the device's hands.
        payload_bytes: Size of the payload; 0 where nothing is sent.
        queue_ms, decode_ms, cloud_ms: As the server tells.
        sends: How often it was sent.
        class_name: The answer.
        error: Code of the failure; None when answered.
    """

    file: LabelledFile
    identity: int | None = None
    issued_s: float = 0.0
    begun_s: float = 0.0
    captured_s: float = 0.0
    edged_s: float = 0.0
    encoded_s: float = 0.0
    answered_s: float = 0.0
    payload_bytes: int = 0
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    cloud_ms: float = 0.0
    sends: int = 0
    class_name: str | None = None
    error: str | None = None

    def begin(self) -> None:
        """The device turns to it."""
        self.begun_s = self.captured_s = self.edged_s = self.encoded_s = perf_counter()

    def finish(self, done: "Done", error: str | None = None) -> None:
        """The answer or the failure is there."""
        self.answered_s, self.error = perf_counter(), error
        done(self)

    @property
    def is_judged(self) -> bool:
        """Whether it was answered and its label is known."""
        return self.error is None and self.file.label is not None


Done = Callable[[Frame], None]
"""Told once of every frame, from any thread."""


@dataclass(frozen=True)
class RunRecord:
    """One run of a cell.

    Attributes:
        frames: Issued by LoadGen.
        warm_up_frames: Before that.
        seconds: From the first issue to the last completion.
        latencies_ms: As `Measured.latencies_ms`, of all queries.
        stages_ms: Means over answered frames; `wire` and `return_` are not told apart here and stand together
            under `wire`.
        residual: Mean of |latency - sum of stages| / latency over answered frames.
        bytes: Totals.
        correct, judged, errors, frames_resent: As in `Cell`.
        late: Queries above Server's limit; None elsewhere.
        early_stopping: LoadGen's claim.
        capacity_frames_per_s: Found in the warm-up, where it was looked for.
        target_frames_per_s: Server's arrivals.
        unanswered_at_end: Frames still without an answer when the last one was issued; Server.
        overloaded: Whether answering the rest then took long.
    """

    frames: int
    warm_up_frames: int
    seconds: float
    latencies_ms: tuple[float, ...]
    stages_ms: Stages
    residual: float
    bytes: BothWays
    correct: int
    judged: int
    errors: dict[str, int]
    frames_resent: int
    late: int | None
    early_stopping: EarlyStopping | None
    capacity_frames_per_s: float | None
    target_frames_per_s: float | None
    unanswered_at_end: int | None
    overloaded: bool


def stages_of(frame: Frame, sample: Sample, mode: Mode) -> Stages:
    """A frame's stages; `wire` is all of its way, which is what the server does not tell of."""
    sends = mode != "edge-only"
    away_ms = (frame.answered_s - frame.encoded_s) * 1000
    way_ms = away_ms - frame.queue_ms - frame.decode_ms - frame.cloud_ms
    return Stages(
        wait=sample.late_ms + (frame.begun_s - frame.issued_s) * 1000,
        capture=(frame.captured_s - frame.begun_s) * 1000,
        edge=None if mode == "cloud-only" else (frame.edged_s - frame.captured_s) * 1000,
        encode=(frame.encoded_s - frame.edged_s) * 1000 if sends else None,
        wire=max(way_ms, 0.0) if sends else None,
        queue=frame.queue_ms if sends else None,
        decode=frame.decode_ms if sends else None,
        cloud=frame.cloud_ms if sends else None,
        return_=None,
    )


def mean_stages(frames: Sequence[Frame], samples: Sequence[Sample], mode: Mode) -> tuple[Stages, float]:
    """Means over answered frames, and the mean share of a latency that no stage explains.

    Raises:
        RuntimeError: no frame was answered.
    """
    answered = [(f, s) for f, s in zip(frames, samples, strict=True) if f.error is None]
    if not answered:
        raise RuntimeError("no frame was answered")
    each = [stages_of(frame, sample, mode) for frame, sample in answered]
    sums = np.array([stages.total_ms() for stages in each])
    latencies = np.array([sample.latency_ms for _, sample in answered])
    return joined(each, np.mean), float(np.mean(np.abs(latencies - sums) / latencies))


def judge(frames: Sequence[Frame]) -> tuple[int, int, dict[str, int]]:
    """Right answers, answers that could be judged, errors by code."""
    judged = [frame for frame in frames if frame.is_judged]
    correct = sum(frame.class_name == frame.file.label for frame in judged)
    return correct, len(judged), dict(Counter(frame.error for frame in frames if frame.error is not None))


def backlog(frames: Sequence[Frame], scenario: Scenario, seconds: float) -> tuple[int | None, bool]:
    """Frames unanswered when Server's last one was issued, and whether that was an overload.

    A link's own delay leaves some unanswered too; so the time for the rest counts, beyond the fastest answer.
    """
    if scenario != "Server":
        return None, False
    last_issue_s = max(frame.issued_s for frame in frames)
    unanswered = sum(frame.answered_s > last_issue_s for frame in frames)
    rest_s = max(frame.answered_s for frame in frames) - last_issue_s
    fastest_s = min(frame.answered_s - frame.issued_s for frame in frames)
    return unanswered, rest_s > 2 * fastest_s + _OVERLOADED_SHARE * seconds


def span_s(frames: Sequence[Frame]) -> float:
    """From the first issue to the last completion."""
    return max(frame.answered_s for frame in frames) - min(frame.issued_s for frame in frames)


def check_order(frames: Sequence[Frame], measured: Measured, pictures: Sequence[object]) -> None:
    """Make sure that the n-th frame is LoadGen's n-th sample.

    Raises:
        RuntimeError: it is not; nothing could be said of single frames.
    """
    if len(frames) != len(measured.samples) or any(
        pictures[sample.picture] is not frame.file
        for frame, sample in zip(frames, measured.samples, strict=True)
    ):
        raise RuntimeError("LoadGen's samples are not the frames that were issued")

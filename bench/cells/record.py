"""What one run of a cell gave, as the device's process reports it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from siftfunnel.bench.cells.frames import Frame
from siftfunnel.bench.cells.load import Measured, Sample
from siftfunnel.bench.cells.result import EarlyStopping, Mode, Scenario

_OVERLOADED_SHARE = 0.1


@dataclass(frozen=True)
class RunRecord:
    """One run of a cell.

    Attributes:
        frames: Issued by LoadGen.
        warm_up_frames: Before that.
        seconds: From the first issue to the last completion.
        latencies_ms: As `Measured.latencies_ms`, of all queries.
        stages_ms: Means over answered frames under the names of `STAGES`; `wire` and `return` are not told
            apart here and stand together under `wire`.
        residual: Mean of |latency - sum of stages| / latency over answered frames.
        bytes_up, bytes_down: Totals by layer; None where not measured.
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
    stages_ms: dict[str, float | None]
    residual: float
    bytes_up: dict[str, float | None]
    bytes_down: dict[str, float | None]
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

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "RunRecord":
        """What `to_json` gave, read back."""
        stopping = value["early_stopping"]
        return cls(
            **(
                value
                | {
                    "latencies_ms": tuple(value["latencies_ms"]),
                    "early_stopping": None if stopping is None else EarlyStopping(**stopping),
                }
            )
        )


def stages_of(frame: Frame, sample: Sample, mode: Mode) -> dict[str, float | None]:
    """A frame's stages in milliseconds; `wire` and `return` together are what the server does not tell of."""
    sends = mode != "edge-only"
    away_ms = (frame.answered_s - frame.encoded_s) * 1000
    way_ms = away_ms - frame.queue_ms - frame.decode_ms - frame.cloud_ms
    return {
        "wait": sample.late_ms + (frame.begun_s - frame.issued_s) * 1000,
        "capture": (frame.captured_s - frame.begun_s) * 1000,
        "edge": None if mode == "cloud-only" else (frame.edged_s - frame.captured_s) * 1000,
        "encode": (frame.encoded_s - frame.edged_s) * 1000 if sends else None,
        "wire": max(way_ms, 0.0) if sends else None,
        "queue": frame.queue_ms if sends else None,
        "decode": frame.decode_ms if sends else None,
        "cloud": frame.cloud_ms if sends else None,
    }


def mean_stages(
    frames: Sequence[Frame], samples: Sequence[Sample], mode: Mode
) -> tuple[dict[str, float | None], float]:
    """Means over answered frames, and the mean share of a latency that no stage explains.

    Raises:
        RuntimeError: no frame was answered.
    """
    answered = [(f, s) for f, s in zip(frames, samples, strict=True) if f.error is None]
    if not answered:
        raise RuntimeError("no frame was answered")
    rows = [stages_of(frame, sample, mode) for frame, sample in answered]
    sums = np.array([sum(value for value in row.values() if value is not None) for row in rows])
    latencies = np.array([sample.latency_ms for _, sample in answered])
    means = {
        name: None if rows[0][name] is None else float(np.mean([row[name] for row in rows]))
        for name in rows[0]
    }
    return means, float(np.mean(np.abs(latencies - sums) / latencies))


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

"""From the runs of a cell to its figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from siftfunnel.bench.cells.plan import PlannedCell
from siftfunnel.bench.cells.record import RunRecord
from siftfunnel.bench.cells.result import (
    BothWays,
    Cell,
    Latency,
    LayerBytes,
    Repeat,
    Stages,
    joined,
)
from siftfunnel.bench.links.probe import Calibration, Way
from siftfunnel.bench.links.profiles import Emulation

_SPLIT_MEASURED = (
    "wire and return are measured together; each has its calibrated delay and its bytes at the calibrated "
    "rate, and the rest is shared by bytes"
)
_SPLIT_BY_BYTES = "wire and return are measured together and shared by bytes: the link is not calibrated"


def percentiles(latencies_ms: Sequence[float]) -> tuple[float, float, float]:
    """The 50th, 90th and 99th as LoadGen takes them: the value at n times the share, in order.

    Example:
        >>> percentiles([4.0, 1.0, 3.0, 2.0])
        (3.0, 4.0, 4.0)
    """
    ordered = sorted(latencies_ms)
    p50, p90, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.9, 0.99))
    return p50, p90, p99


def split_way(
    total_ms: float, up_bytes: float, down_bytes: float, calibration: Calibration | None
) -> tuple[float, float]:
    """Share the time of both directions between them.

    Args:
        total_ms: Of both.
        up_bytes, down_bytes: Of one frame and its answer.
        calibration: The link as measured; None shares by bytes.

    Example:
        >>> split_way(10.0, 300.0, 100.0, None)
        (7.5, 2.5)
    """
    share = up_bytes / (up_bytes + down_bytes) if up_bytes + down_bytes else 0.5
    if calibration is None:
        return total_ms * share, total_ms * (1 - share)
    half_ms = calibration.round_trip_ms_p50 / 2
    up_ms = _least_ms(calibration.up, up_bytes, half_ms)
    down_ms = _least_ms(calibration.down, down_bytes, half_ms)
    rest_ms = total_ms - up_ms - down_ms
    if rest_ms < 0:
        return total_ms * up_ms / (up_ms + down_ms), total_ms * down_ms / (up_ms + down_ms)
    return up_ms + rest_ms * share, down_ms + rest_ms * (1 - share)


def _least_ms(way: Way, size_bytes: float, half_round_trip_ms: float) -> float:
    delay_ms = half_round_trip_ms if way.delay_ms_p50 is None else way.delay_ms_p50
    return delay_ms + (size_bytes * 8 / way.rate_kbit_s if way.rate_kbit_s else 0.0)


def assemble(
    planned: PlannedCell,
    runs: Sequence[RunRecord],
    emulation: Emulation,
    calibration: Calibration | None,
) -> Cell:
    """A cell of its runs: latencies pooled, the rest weighted by frames."""
    frames = sum(run.frames for run in runs)
    latencies = [value for run in runs for value in run.latencies_ms]
    up, down = (
        joined(totals, lambda values: round(sum(values) / frames, 2))
        for totals in ([run.bytes.up for run in runs], [run.bytes.down for run in runs])
    )
    seconds = sum(run.seconds for run in runs)
    errors: Counter[str] = sum((Counter(run.errors) for run in runs), Counter())
    targets = [run.target_frames_per_s for run in runs if run.target_frames_per_s is not None]
    late = [run.late for run in runs if run.late is not None]
    return Cell(
        bundle=planned.bundle.name,
        digest=planned.bundle.digest,
        defence=planned.bundle.manifest.defence,
        mode=planned.mode,
        codec=planned.codec,
        link=planned.link,
        emulation=emulation,
        calibration=calibration,
        scenario=planned.load.scenario,
        settings=_settings(planned, runs, calibration),
        frames=frames,
        warm_up_frames=sum(run.warm_up_frames for run in runs),
        repeats=len(runs),
        latency_ms=Latency(
            round(float(np.mean(latencies)), 4),
            *percentiles(latencies),
            early_stopping=runs[-1].early_stopping,
        ),
        frames_per_s=round((frames - errors.total()) / seconds, 3),
        target_frames_per_s=round(float(np.mean(targets)), 3) if targets else None,
        overloaded=any(run.overloaded for run in runs),
        stages_ms=_stages(runs, up, down, calibration),
        stage_residual=round(_weighted([run.residual for run in runs], runs), 5),
        bytes=BothWays(up, down),
        correct=sum(run.correct for run in runs),
        judged=sum(run.judged for run in runs),
        errors=dict(errors),
        frames_resent=sum(run.frames_resent for run in runs),
        late=sum(late) if late else None,
        per_repeat=tuple(_repeat(run) for run in runs),
    )


def _settings(
    planned: PlannedCell, runs: Sequence[RunRecord], calibration: Calibration | None
) -> dict[str, Any]:
    found: dict[str, Any] = {"asked": planned.asked(), "seconds": planned.load.seconds}
    if planned.mode != "edge-only":
        found["wire_and_return"] = _SPLIT_BY_BYTES if calibration is None else _SPLIT_MEASURED
    capacities = [run.capacity_frames_per_s for run in runs if run.capacity_frames_per_s is not None]
    if capacities:
        found["capacity_frames_per_s"] = round(float(np.mean(capacities)), 3)
    if planned.load.scenario == "Server":
        found["latency_limit_ms"] = planned.load.latency_limit_ms
        found["unanswered_at_end"] = [run.unanswered_at_end for run in runs]
    if planned.load.scenario == "MultiStream":
        found["frames_per_query"] = planned.load.frames_per_query
    return found


def _repeat(run: RunRecord) -> Repeat:
    answered = run.frames - sum(run.errors.values())
    return Repeat(round(answered / run.seconds, 3), *percentiles(run.latencies_ms))


def _weighted(values: Sequence[float], runs: Sequence[RunRecord]) -> float:
    return float(np.average(values, weights=[run.frames for run in runs]))


def _stages(
    runs: Sequence[RunRecord], up: LayerBytes, down: LayerBytes, calibration: Calibration | None
) -> Stages:
    made = joined([run.stages_ms for run in runs], lambda values: round(_weighted(values, runs), 4))
    if made.wire is None:
        return made
    wire_ms, return_ms = split_way(made.wire, up.carried, down.carried, calibration)
    return replace(made, wire=round(wire_ms, 4), return_=round(return_ms, 4))

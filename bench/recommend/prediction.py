"""Latency over a link that was not measured, from cells of the same way over other links.

    carried(link) = round trip(link) + 8 * up bytes / up rate(link) + 8 * down bytes / down rate(link)
    latency(link) = own + stretch * carried(link)

``own`` is what a way takes beyond its link: computing, both gRPC stacks, and the distance of a percentile
from the mean. ``stretch`` is how much longer than its arithmetic a link takes: windows still opening,
repetitions, jitter. Both are the least squares of the relative error over the measured links; with fewer than
four of them ``stretch`` is 1, since a line through three could not be tried out: leaving one link out would
leave as many links as constants. Links count as measured, not as configured. Bytes are those of the messages,
since a link's measured rate is that of a TCP connection's payload. ``leave_one_link_out`` says how far the
model is off: the very model that predicts, with its constants found without the link.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from siftfunnel.bench.cells.result import Cell
from siftfunnel.bench.links.probe import Calibration
from siftfunnel.bench.links.profiles import LinkProfile

Percentile = Literal["mean", "p50", "p90", "p99"]
_LINKS_FOR_A_LINE = 4


@dataclass(frozen=True)
class Network:
    """What a prediction needs of a link.

    Attributes:
        round_trip_ms: Of a small packet.
        up_kbit_s: Payload rate from device to cloud, in 1,000 bit/s; None for no limit.
        down_kbit_s: Likewise from cloud to device.

    Raises:
        ValueError: a negative round trip, or a rate of 0 or less.
    """

    round_trip_ms: float
    up_kbit_s: float | None
    down_kbit_s: float | None

    def __post_init__(self) -> None:
        if not self.round_trip_ms >= 0:
            raise ValueError(f"a round trip takes 0 ms or more, got {self.round_trip_ms}")
        for rate in (self.up_kbit_s, self.down_kbit_s):
            if rate is not None and not rate > 0:
                raise ValueError(f"a link's rate must be above 0 kbit/s, got {rate}")

    def carrying_ms(self, up_bytes: float, down_bytes: float) -> float:
        """Round trip and transmission of one frame and its answer.

        Example:
            >>> Network(20.0, 1_000.0, None).carrying_ms(1_000, 100)
            28.0
        """
        up = 8 * up_bytes / self.up_kbit_s if self.up_kbit_s else 0.0
        down = 8 * down_bytes / self.down_kbit_s if self.down_kbit_s else 0.0
        return self.round_trip_ms + up + down

    @classmethod
    def of_profile(cls, profile: LinkProfile) -> "Network":
        """A link as configured."""
        return cls(profile.round_trip_ms, profile.up.rate_kbit_s, profile.down.rate_kbit_s)

    @classmethod
    def of_calibration(cls, made: Calibration) -> "Network":
        """A link as just measured."""
        return cls(made.round_trip_ms_p50, made.up.rate_kbit_s or None, made.down.rate_kbit_s or None)

    @classmethod
    def of_cells(cls, cells: Sequence[Cell]) -> "Network":
        """One link as its cells calibrated it (medians), or as configured where none did."""
        made = [cell.calibration for cell in cells if cell.calibration is not None]
        if not made:
            return cls.of_profile(cells[0].link)
        return cls(
            median(each.round_trip_ms_p50 for each in made),
            median(each.up.rate_kbit_s for each in made) or None,
            median(each.down.rate_kbit_s for each in made) or None,
        )


def carrying_ms(cell: Cell, network: Network) -> float:
    """A link's part of a cell's latency: none in edge-only."""
    if cell.mode == "edge-only":
        return 0.0
    return network.carrying_ms(cell.bytes.up.carried, cell.bytes.down.carried)


@dataclass(frozen=True)
class Fit:
    """One way's model; see above."""

    own_ms: float
    stretch: float


def has_stretch(cells: Sequence[Cell], percentile: Percentile) -> bool:
    """Whether the cells of one way are over links enough for a model with ``stretch``."""
    return len({cell.link.name for cell in _usable(cells, percentile)}) >= _LINKS_FOR_A_LINE


def _usable(cells: Sequence[Cell], percentile: Percentile) -> list[Cell]:
    return [cell for cell in cells if not cell.overloaded and latency_ms(cell, percentile) > 0]


def fit(cells: Sequence[Cell], percentile: Percentile, *, stretched: bool | None = None) -> Fit | None:
    """From the cells of one way over any links; overloaded ones say nothing. None where no cell is left.

    Args:
        cells: Of one way.
        percentile: Of latency.
        stretched: Whether ``stretch`` is fitted; None decides by the number of links.
    """
    points = [
        (carrying_ms(cell, Network.of_cells([cell])), latency_ms(cell, percentile))
        for cell in _usable(cells, percentile)
    ]
    if not points:
        return None
    wanted = has_stretch(cells, percentile) if stretched is None else stretched
    line = relative_line(points) if wanted else None
    return Fit(*line) if line else Fit(median(latency - carried for carried, latency in points), 1.0)


def relative_line(points: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Intercept and slope of the least squares of (line - y) / y; None where all x are the same.

    Args:
        points: (x, y), y above 0.

    Example:
        >>> relative_line([(0.0, 5.0), (10.0, 15.0), (100.0, 105.0)])
        (5.0, 1.0)
    """
    xs, ys = np.array(points, dtype=np.float64).T
    if np.ptp(xs) <= 1e-6 * max(1.0, float(np.abs(xs).mean())):
        return None
    slope, intercept = np.polyfit(xs, ys, 1, w=1 / ys)
    return round(float(intercept), 9), round(float(slope), 9)


def predict_ms(
    cells: Sequence[Cell], network: Network, percentile: Percentile, *, stretched: bool | None = None
) -> float | None:
    """Latency of one way over a link, from its cells over others; None where they say nothing.

    ``stretched`` as for ``fit``.
    """
    made = fit(cells, percentile, stretched=stretched)
    if made is None:
        return None
    carried = median(carrying_ms(cell, network) for cell in cells if not cell.overloaded)
    return max(0.0, made.own_ms + made.stretch * carried)


def latency_ms(cell: Cell, percentile: Percentile) -> float:
    """As measured."""
    return float(getattr(cell.latency_ms, percentile))


@dataclass(frozen=True)
class Trial:
    """One measured cell against its prediction from the other links.

    Attributes:
        way: Bundle, mode and codec.
        link: Its name.
        measured_ms, predicted_ms: Latency.
    """

    way: tuple[str, str, str]
    link: str
    measured_ms: float
    predicted_ms: float

    @property
    def relative(self) -> float:
        """Share of the measured latency by which the prediction is off, with its sign."""
        return (self.predicted_ms - self.measured_ms) / self.measured_ms


def leave_one_link_out(cells: Sequence[Cell], percentile: Percentile) -> list[Trial]:
    """Predict every cell that is sent over a link from the same way's cells over all other links.

    The model has the constants that it has when it predicts from all of them. Edge-only is left out: it has
    no link to be wrong about.
    """
    ways: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        if cell.mode != "edge-only" and not cell.overloaded:
            ways.setdefault((cell.digest, cell.mode, cell.codec), []).append(cell)
    trials = []
    for group in ways.values():
        stretched = has_stretch(group, percentile)
        for cell in group:
            others = [other for other in group if other.link.name != cell.link.name]
            predicted_ms = predict_ms(others, Network.of_cells([cell]), percentile, stretched=stretched)
            measured_ms = latency_ms(cell, percentile)
            if predicted_ms is not None and measured_ms > 0:
                way = (cell.bundle, cell.mode, cell.codec)
                trials.append(Trial(way, cell.link.name, measured_ms, predicted_ms))
    return trials


@dataclass(frozen=True)
class PredictionError:
    """How far the model was off.

    Attributes:
        trials: Number of cells that were left out in turn.
        median_share: Median of the absolute relative error.
        worst_share: Its maximum.
    """

    trials: int
    median_share: float
    worst_share: float

    def __str__(self) -> str:
        """In words."""
        return (
            f"median {self.median_share:.0%}, at most {self.worst_share:.0%}, over {self.trials} measured "
            "cells, each predicted from the other links"
        )

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> "PredictionError | None":
        """Of some trials; None without any."""
        off = [abs(trial.relative) for trial in trials]
        return cls(len(off), median(off), max(off)) if off else None

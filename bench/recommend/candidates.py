"""The ways there are over one link: bundle, mode and codec, each with its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from siftfunnel.bench.cells.result import Cell
from siftfunnel.bench.recommend.prediction import (
    Network,
    Percentile,
    PredictionError,
    latency_ms,
    predict_ms,
)
from siftfunnel.bench.report.accuracy import Accuracy, accuracy_of
from siftfunnel.bench.report.leakage import Leakage, LeakageBook
from siftfunnel.bench.report.naming import way_label


@dataclass(frozen=True)
class Candidate:
    """One way over one link.

    Attributes:
        bundle, digest, mode, codec: What runs.
        latency_ms: At the percentile asked for; None where it is neither measured nor can be predicted.
        measured: Whether this very link was measured.
        overloaded: Whether the measured cell could not keep up.
        accuracy: With its interval; None where no label was known.
        leakage: What an eavesdropper restores; None where nobody measured it.
        up_bytes: On the link per frame, or of the lowest layer that was counted.
        noise_ms: Differences in latency up to this say nothing: what repeats of one cell differ by, or for a
            prediction what predictions are off by in the median.
    """

    bundle: str
    digest: str
    mode: str
    codec: str
    latency_ms: float | None
    measured: bool
    overloaded: bool
    accuracy: Accuracy | None
    leakage: Leakage | None
    up_bytes: float
    noise_ms: float = 0.0

    @property
    def label(self) -> str:
        """In words."""
        return way_label(self.bundle, self.mode, self.codec)


def candidates(
    cells: Sequence[Cell],
    link: str,
    network: Network,
    leakage: LeakageBook,
    percentile: Percentile,
    error: PredictionError | None = None,
) -> list[Candidate]:
    """Every way that has a cell over any link.

    Args:
        cells: Of one task and one scenario.
        link: Name of the link.
        network: The link's figures, for ways that were not measured over it.
        leakage: What eavesdroppers restore, and the fronts that say how accurate a way is.
        percentile: Of latency.
        error: How far predictions are off.
    """
    ways: dict[tuple[str, str, str, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.overloaded):
        ways.setdefault((cell.bundle, cell.digest, cell.mode, cell.codec), []).append(cell)
    spreads = [_spread_ms(cell, percentile) for cell in cells if cell.link.name == link]
    usual_ms = median(spreads) if spreads else 0.0
    made = []
    for way, group in ways.items():
        here = [cell for cell in group if cell.link.name == link]
        taken_ms, noise_ms = _latency(group, here, network, percentile, usual_ms, error)
        made.append(
            Candidate(
                *way,
                latency_ms=taken_ms,
                measured=bool(here),
                overloaded=bool(here) and here[0].overloaded,
                accuracy=accuracy_of(leakage.fronts, *way[1:], group),
                leakage=leakage.of_way(*way),
                up_bytes=_up_bytes((here or group)[0]),
                noise_ms=noise_ms,
            )
        )
    return made


def _latency(
    cells: Sequence[Cell],
    here: Sequence[Cell],
    network: Network,
    percentile: Percentile,
    usual_ms: float,
    error: PredictionError | None,
) -> tuple[float | None, float]:
    """A way's latency over a link, as measured or else as predicted, and its noise.

    Of a measured one that is the larger of the link's usual spread, for two repeats may agree by chance, and
    the way's own.
    """
    if here:
        noise_ms = max(usual_ms, *(_spread_ms(cell, percentile) for cell in here))
        return latency_ms(here[0], percentile), noise_ms
    predicted_ms = predict_ms(cells, network, percentile)
    return predicted_ms, 0.0 if error is None else error.median_share * (predicted_ms or 0.0)


def _spread_ms(cell: Cell, percentile: Percentile) -> float:
    """By how much a cell's repeats differ; a mean is taken to vary as the median does."""
    name = "p50" if percentile == "mean" else percentile
    each = [float(getattr(repeat, name)) for repeat in cell.per_repeat]
    return max(each) - min(each)


def _up_bytes(cell: Cell) -> float:
    layers = (cell.bytes.up.link, cell.bytes.up.tcp, cell.bytes.up.message, cell.bytes.up.payload)
    return next((value for value in layers if value is not None), 0.0)

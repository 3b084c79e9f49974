"""The ways there are over one link: bundle, mode and codec, each with its figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.cells.result import Cell
from bench.recommend.prediction import Network, Percentile, predict_ms
from bench.report.leakage import Leakage, LeakageBook
from bench.report.naming import link_name, way_label


@dataclass(frozen=True)
class Candidate:
    """One way over one link.

    Attributes:
        bundle, digest, mode, codec: What runs.
        latency_ms: At the percentile asked for; None where it is neither measured nor can be predicted.
        measured: Whether this very link was measured.
        overloaded: Whether the measured cell could not keep up.
        accuracy: On the answers of its cells; None where no label was known.
        leakage: What an eavesdropper restores; None where nobody measured it.
        up_bytes: On the link per frame, or of the lowest layer that was counted.
    """

    bundle: str
    digest: str
    mode: str
    codec: str
    latency_ms: float | None
    measured: bool
    overloaded: bool
    accuracy: float | None
    leakage: Leakage | None
    up_bytes: float

    @property
    def label(self) -> str:
        """In words."""
        return way_label(self.bundle, self.mode, self.codec)


def candidates(
    cells: Sequence[Cell],
    link: str | None,
    network: Network,
    leakage: LeakageBook,
    percentile: Percentile,
) -> list[Candidate]:
    """Every way that has a cell over any link.

    Args:
        cells: Of one task and one scenario.
        link: Name of the link; None for one that no cell can have.
        network: The link's figures, for ways that were not measured over it.
        leakage: What eavesdroppers restore.
        percentile: Of latency.
    """
    ways: dict[tuple[str, str, str, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.overloaded):
        ways.setdefault((cell.bundle, cell.digest, cell.mode, cell.codec), []).append(cell)
    return [
        _candidate(way, group, link, network, leakage.of_way(*way), percentile) for way, group in ways.items()
    ]


def _candidate(
    way: tuple[str, str, str, str],
    cells: Sequence[Cell],
    link: str | None,
    network: Network,
    leakage: Leakage | None,
    percentile: Percentile,
) -> Candidate:
    here = next((cell for cell in cells if link_name(cell) == link), None)
    if here is None:
        latency_ms = predict_ms(cells, network, percentile)
    else:
        latency_ms = float(getattr(here.latency_ms, percentile))
    shown = here or cells[0]
    return Candidate(
        *way,
        latency_ms=latency_ms,
        measured=here is not None,
        overloaded=here is not None and here.overloaded,
        accuracy=_accuracy(cells),
        leakage=leakage,
        up_bytes=_up_bytes(shown),
    )


def _accuracy(cells: Sequence[Cell]) -> float | None:
    """Over all links together: a link changes when answers come, not what they say."""
    judged = sum(cell.judged for cell in cells)
    return sum(cell.correct for cell in cells) / judged if judged else None


def _up_bytes(cell: Cell) -> float:
    layers = (cell.bytes_up.link, cell.bytes_up.tcp, cell.bytes_up.message, cell.bytes_up.payload)
    return next((value for value in layers if value is not None), 0.0)

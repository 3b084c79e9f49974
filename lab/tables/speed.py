"""How long trainings and attacks took: what a profile costs, and what a larger one would."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from siftfunnel.lab.tables.attack_sections import attack_label
from siftfunnel.lab.tables.cells import NONE, Cell, Document, Section, words
from siftfunnel.lab.tables.further import group_label, groups
from siftfunnel.lab.tables.lines import row_label
from siftfunnel.lab.tables.profiles import preamble
from siftfunnel.lab.tables.results import RowResult, Study, dig_number

_READING = (
    "Median over rows [least, most], as the study ran: other processes shared the machine, and the range "
    "shows how much that matters. Fitting is an inverter's training, or the choice of settings on auxiliary "
    "pictures; an attack that starts from another's result does not count that one's time."
)


def speed_table(study: Study) -> Document | None:
    """Training throughput per row, and each attack's time to fit and its restored pictures a second."""
    sections: list[Section] = []
    for group, rows in groups(study).items():
        name = "-".join(group)
        label = group_label(group)
        training = [cells for row in rows if (cells := _training(row)) is not None]
        if training:
            columns = ("Row", "Pictures/s", "Epochs", "Minutes")
            sections.append(Section(f"training-{name}", f"{label}: training", columns, tuple(training)))
        keys = dict.fromkeys(key for row in rows for key in row.attack_keys())
        attacks = [_attack(rows, key) for key in keys]
        if attacks:
            columns = ("Attack", "Rows", "Fit, s", "Pictures/s")
            sections.append(Section(f"attacks-{name}", f"{label}: attacks", columns, tuple(attacks)))
    if not sections:
        return None
    head = (*preamble(study, list(study.rows.values())), _READING)
    return Document(study.profile, "speed", "How long it took", head, tuple(sections))


def _training(row: RowResult) -> tuple[Cell, ...] | None:
    rate = dig_number(row.first, "training", "images_per_s_median")
    epochs = dig_number(row.first, "training", "epochs_done")
    seconds = dig_number(row.first, "training", "seconds")
    if rate is None:
        return None
    return (
        words(row_label(row)),
        Cell(f"{rate:,.0f}", rate),
        NONE if epochs is None else Cell(f"{epochs:.0f}", epochs),
        NONE if seconds is None else Cell(f"{seconds / 60:.1f}", seconds / 60),
    )


def _attack(rows: Sequence[RowResult], key: str) -> tuple[Cell, ...]:
    entries = [entry for row in rows for one in row.results if (entry := one["attacks"].get(key))]
    return (
        words(attack_label(rows, key)),
        Cell(str(len(entries)), float(len(entries))),
        _range(fit_seconds(entry) for entry in entries),
        _range(rate for entry in entries if (rate := pictures_per_s(entry)) is not None),
    )


def fit_seconds(entry: Mapping[str, Any]) -> float:
    """Time that fitting took, whether in one go or resumed.

    Example:
        >>> fit_seconds({"fit_seconds": 0.1, "fit": {"seconds": 40.0}})
        40.0
    """
    return max(dig_number(entry, "fit_seconds") or 0.0, dig_number(entry, "fit", "seconds") or 0.0)


def pictures_per_s(entry: Mapping[str, Any]) -> float | None:
    """Restored pictures a second; None where a result does not say.

    Example:
        >>> pictures_per_s({"details": {"seconds": 64}, "scores": {"pictures": 256}})
        4.0
    """
    seconds = max(
        dig_number(entry, "reconstruct_seconds") or 0.0, dig_number(entry, "details", "seconds") or 0.0
    )
    pictures = dig_number(entry, "scores", "pictures")
    return pictures / seconds if pictures and seconds else None


def _range(values: Iterable[float]) -> Cell:
    listed = sorted(values)
    if not listed:
        return NONE
    middle, least, most = median(listed), listed[0], listed[-1]
    ends = f" [{_short(least)}, {_short(most)}]" if len(listed) > 1 else ""
    return Cell(_short(middle) + ends, middle, least, most)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 or not value else f"{value:.1f}"

"""How long trainings and attacks took: what a profile costs, and what a larger one would."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from siftfunnel.lab.reports.study.further import page_of
from siftfunnel.lab.reports.study.lines import attack_label, attacks_of, group_label, groups, own_line
from siftfunnel.lab.reports.study.results import Result, RowResult, Study, dig_number
from siftfunnel.lab.reports.table import NONE, Cell, Column, Page, Table, number

_READING = (
    "Median over rows [least, most], as the study ran: other processes shared the machine, and the range "
    "shows how much that matters. Fitting is an inverter's training, or the choice of settings on auxiliary "
    "pictures; an attack that starts from another's result does not count that one's time."
)


def speed_table(study: Study) -> Page | None:
    """Training throughput per row, and each attack's time to fit and its restored pictures a second."""
    tables: list[Table] = []
    for group, rows in groups(study).items():
        name, label = "-".join(group), group_label(group)
        trained = [row for row in rows if dig_number(row.first, *_RATE) is not None]
        if trained:
            tables.append(Table.of(f"training-{name}", f"{label}: training", trained, _TRAINING))
        attacks = [
            (
                attack_label(rows, key),
                [found for row in rows for one in row.results if (found := one["attacks"].get(key))],
            )
            for key in attacks_of(rows)
        ]
        if attacks:
            tables.append(Table.of(f"attacks-{name}", f"{label}: attacks", attacks, _ATTACKS))
    return page_of(study, "speed", "How long it took", list(study.rows.values()), (_READING,), tables)


def _minutes(seconds: float | None) -> Cell:
    return NONE if seconds is None else number(seconds / 60, 1)


_RATE = ("training", "images_per_s_median")
_TRAINING: tuple[Column[RowResult], ...] = (
    ("Row", lambda row: own_line(row).label),
    ("Pictures/s", lambda row: number(dig_number(row.first, *_RATE))),
    ("Epochs", lambda row: number(dig_number(row.first, "training", "epochs_done"))),
    ("Minutes", lambda row: _minutes(dig_number(row.first, "training", "seconds"))),
)
_ATTACKS: tuple[Column[tuple[str, list[Result]]], ...] = (
    ("Attack", lambda attack: attack[0]),
    ("Rows", lambda attack: number(len(attack[1]))),
    ("Fit, s", lambda attack: _range(map(fit_seconds, attack[1]))),
    ("Pictures/s", lambda attack: _range(filter(None, map(pictures_per_s, attack[1])))),
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

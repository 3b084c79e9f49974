"""Beside the paper's tables: weights swept, parts switched off, other data sets, budgets of the suite."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from siftfunnel.lab.reports.study.attack_sections import identity_tables
from siftfunnel.lab.reports.study.further import CORRELATION, ROW, page_of
from siftfunnel.lab.reports.study.lines import (
    ACCURACY,
    BITS,
    PER_CENT,
    Line,
    group_label,
    groups,
    own_line,
    reference_lines,
    strongest_columns,
)
from siftfunnel.lab.reports.study.paper import PAPER_TABLES, defence_of, group_of, paper_rows
from siftfunnel.lab.reports.study.results import ONE, WEIGHT, RowResult, Study, dig
from siftfunnel.lab.reports.table import NONE, Cell, Column, Page, Table, number

PART = re.compile(r"(^|-)(without|only)-")
"""In the name of a row with a part of its defence switched off."""
MEASURED: tuple[Column[Line], ...] = (ROW, ACCURACY, *strongest_columns(), CORRELATION, BITS)
COMPARED = "siftfunnel"

Curve = Sequence[tuple[float, float]]


def ablations_table(study: Study) -> Page | None:
    """Rows with a part switched off, beside the whole defences and the network without any."""
    tables = []
    for group, rows in groups(study).items():
        parts = [row for row in rows if PART.search(defence_of(row.name))]
        whole = {str(dig(row.first, "defence", "name")) for row in parts} | {"none", "funnel-cross-entropy"}
        shown = [row for row in rows if row in parts or defence_of(row.name) in whole]
        if parts:
            name = f"ablations-{'-'.join(group)}"
            tables.append(Table.of(name, group_label(group), map(own_line, shown), MEASURED))
    return page_of(study, "ablations", "Ablations: parts switched off", list(study.rows.values()), (), tables)


def others_table(study: Study) -> Page | None:
    """Rows of data sets that no table of the paper is of: stand-ins for those that are not at hand."""
    papers = {group_of(row.row) for table in PAPER_TABLES for row in paper_rows(table)}
    found = {group: rows for group, rows in groups(study).items() if group not in papers}
    tables = []
    for group, rows in found.items():
        name, lines = "-".join(group), [own_line(row) for row in rows]
        shown = [*lines, *reference_lines(rows)]
        tables.append(Table.of(f"others-{name}", group_label(group), shown, MEASURED))
        tables += [replace(made, name=f"{made.name}-{name}") for made in identity_tables(lines) if made.rows]
    rows = [row for each in found.values() for row in each]
    return page_of(study, "others", "Other data sets, standing in for the paper's", rows, (), tables)


def front_table(study: Study) -> Page | None:
    """Each defence at several times its own weight, and all of them read at one accuracy."""
    tables = []
    for group, rows in groups(study).items():
        curves = curves_of(rows)
        swept = [row for row in rows if _base(row) in curves or defence_of(row.name) in ("none", COMPARED)]
        if not curves:
            continue
        name = f"front-{'-'.join(group)}"
        tables.append(Table.of(name, group_label(group), map(own_line, swept), MEASURED))
        reference = next((row for row in rows if defence_of(row.name) == COMPARED), None)
        accuracy = reference.figure("accuracy", "test") if reference else None
        if accuracy is not None:
            tables.append(_at_equal(f"{name}-equal", curves, accuracy.value))
    reading = (
        "A row named *weight 4* has four times the defence's own weight; everything else is as in its row. "
        "Between two weights the front is read along a straight line, and nowhere beyond them.",
    )
    return page_of(
        study, "front", "Fronts: each defence's own weight", list(study.rows.values()), reading, tables
    )


def _base(row: RowResult) -> str:
    return defence_of(row.name).split(WEIGHT)[0]


def curves_of(rows: Sequence[RowResult]) -> dict[str, list[tuple[float, float]]]:
    """Accuracy and dB from one frame of every defence that was run at more than one weight, by accuracy."""
    curves = {}
    for base, found in groupby(sorted(rows, key=_base), key=_base):
        figures = [(row.figure("accuracy", "test"), row.column(ONE, "psnr_db")) for row in found]
        points = sorted((one.value, psnr.value) for one, psnr in figures if one and psnr)
        if len(points) > 1:
            curves[base] = points
    return curves


def read_at(curve: Curve, accuracy: float) -> float | None:
    """The dB of a front at an accuracy; None beyond its ends.

    Example:
        >>> read_at([(0.5, 15.0), (0.7, 19.0)], 0.6), read_at([(0.5, 15.0), (0.7, 19.0)], 0.8)
        (17.0, None)
    """
    accuracies, levels = zip(*curve, strict=True)
    if not accuracies[0] <= accuracy <= accuracies[-1]:
        return None
    return float(np.interp(accuracy, accuracies, levels))


def _at_equal(name: str, curves: Mapping[str, Curve], accuracy: float) -> Table:
    columns: tuple[Column[tuple[str, Curve]], ...] = (
        ("Defence", lambda each: each[0]),
        ("Weights", lambda each: number(len(each[1]))),
        ("Accuracy %, from", lambda each: number(PER_CENT * each[1][0][0], 1)),
        ("to", lambda each: number(PER_CENT * each[1][-1][0], 1)),
        ("PSNR dB there", lambda each: _level(read_at(each[1], accuracy))),
    )
    title = f"Read at SiftFunnel's accuracy, {PER_CENT * accuracy:.1f} %"
    return Table.of(name, title, curves.items(), columns)


def _level(level: float | None) -> Cell:
    return NONE if level is None else number(level, 2)


def budgets_table(study: Study) -> Page | None:
    """The same rows under each budget of the suite."""
    several = [name for name in study.rows if sum(name in rows for rows in study.budgets.values()) > 1]
    shown = [
        (rows[name], budget) for name in several for budget, rows in study.budgets.items() if name in rows
    ]
    columns: tuple[Column[tuple[RowResult, str]], ...] = (
        ("Row", lambda each: own_line(each[0]).label),
        ("Budget", lambda each: each[1]),
        *((heading, _of_row(read)) for heading, read in strongest_columns()),
    )
    made = Table.of("budgets", "One row under several budgets", shown, columns, notes=study.agreement)
    rows = [row for row, _ in shown]
    return page_of(study, "budgets", "Budgets of AutoInvert", rows, (), [made] if shown else [])


def _of_row(read: Callable[[Line], Cell | str]) -> Callable[[tuple[RowResult, str]], Cell | str]:
    return lambda each: read(own_line(each[0]))

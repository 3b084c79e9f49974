"""What each defence was run with, and whose value it is."""

import json
from collections.abc import Sequence
from typing import Any

from siftfunnel.lab.tables.cells import NONE, NOT_RUN, Cell, Section, words
from siftfunnel.lab.tables.lines import Line
from siftfunnel.lab.tables.results import RowResult, dig


def settings_section(lines: Sequence[Line]) -> Section:
    """The paper's parameters as far as known, ours with their origin, and epsilon where there is one."""
    rows = []
    for line in lines:
        theirs = words(_paper_setting(line)) if line.paper else NONE
        ours = (NOT_RUN, NOT_RUN) if line.ours is None else (words(parameters(line.ours)), epsilon(line.ours))
        rows.append((words(line.label), theirs, *ours))
    return Section(
        "settings",
        "Settings",
        ("Defence", "Paper", "Ours (origin of each value)", "Epsilon"),
        tuple(rows),
    )


def _paper_setting(line: Line) -> str:
    assert line.paper is not None
    known = line.paper.setting or "-"
    return f"{known}; name of the row inferred" if line.paper.inferred else known


def parameters(row: RowResult) -> str:
    """Each parameter with its value and where the value comes from."""
    values = dig(row.first, "defence", "parameters") or {}
    origins = dig(row.first, "defence", "origins") or {}
    parts = [
        f"{name} {_value(value)} ({origins.get(name, 'origin unknown')})" for name, value in values.items()
    ]
    return ", ".join(parts) or "-"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def epsilon(row: RowResult) -> Cell:
    """The privacy budget of DPSGD; nothing elsewhere."""
    figure = row.figure("training", "epsilon")
    return NONE if figure is None else Cell(f"{figure.value:.2f}", figure.value)

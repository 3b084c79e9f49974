"""Which figures of a table cannot be taken at their word: the flags of its rows, beside the figures."""

from collections.abc import Sequence

from siftfunnel.lab.evaluation.flags import flags_of
from siftfunnel.lab.tables.attack_sections import attack_label
from siftfunnel.lab.tables.cells import NOT_RUN, Cell, Section, words
from siftfunnel.lab.tables.lines import Line
from siftfunnel.lab.tables.results import RowResult

COLUMNS = {
    "learned-nothing": "The network learned nothing",
    "lost-to-guessing": "Attacks no better than the mean picture",
    "edge-of-grid": "The best setting is the last tried",
    "not-converged": "More budget still helps",
}
"""Kinds of flags, as columns name them."""


def flags_section(lines: Sequence[Line]) -> Section:
    """What has to be said aloud of each row; no section where there is nothing to say."""
    rows = tuple((words(line.label), *_cells(line.ours)) for line in lines)
    said = any(cell.text not in ("-", NOT_RUN.text) for row in rows for cell in row[1:])
    return Section(
        "flags",
        "What these figures cannot be trusted with",
        ("Defence", *COLUMNS.values()),
        rows if said else (),
        intro="An attack that loses to the mean picture says nothing of a defence; one whose best setting is "
        "the last tried, or that more budget helps, gets less than there is to get.",
    )


def _cells(row: RowResult | None) -> tuple[Cell, ...]:
    if row is None:
        return (NOT_RUN,) * len(COLUMNS)
    found: dict[str, dict[str, None]] = {kind: {} for kind in COLUMNS}
    for result in row.results:
        for flag in flags_of(result):
            about = flag["about"]
            found[flag["kind"]][about if about == "training" else attack_label([row], about)] = None
    return tuple(words(", ".join(names) or "-") for names in found.values())

"""The lines of a table: a row of the paper, a row of ours, or a reference, each as cells for any column."""

from collections.abc import Sequence
from dataclasses import dataclass

from siftfunnel.lab.tables.cells import NONE, NOT_RUN, Cell, measured, printed, words
from siftfunnel.lab.tables.paper import EXTRA_DEFENCES, EXTRA_ROWS, PaperRow, Printed, defence_of, paper_rows
from siftfunnel.lab.tables.results import RowResult, Study, dig

REFERENCES = {
    "mean_image": "mean image",
    "image_mean_colour": "each picture's mean colour",
    "thumbnail_4x4": "thumbnail 4x4",
    "thumbnail_8x8": "thumbnail 8x8",
    "nearest_auxiliary": "nearest auxiliary picture",
    "clamp_noise": "noise cut to [0, 1]",
}
"""What one scores without any attack, in the order printed."""

PER_CENT = 100.0


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        label: Its name in the table.
        row: Name of our row.
        paper: The paper's figures, or None where the paper has no such row.
        ours: Our result, or None where the row was not run.
    """

    label: str
    row: str
    paper: PaperRow | None
    ours: RowResult | None

    def figure(
        self,
        *path: str,
        digits: int,
        scale: float = 1.0,
        ci95: tuple[str, ...] = (),
    ) -> Cell:
        """A number of our result; says *not run* where there is no result."""
        if self.ours is None:
            return NOT_RUN
        return measured(self.ours.figure(*path, ci95=ci95), digits, scale=scale)

    def figures_of_paper(self, scenario: str) -> tuple[Cell, Cell, Cell]:
        """MSE, PSNR and SSIM as printed: ``white_box``, ``black_box`` or ``gray_box``."""
        if self.paper is None:
            return NONE, NONE, NONE
        found: Printed | None = getattr(self.paper, scenario)
        if found is None:
            return NONE, NONE, NONE
        return printed(found.mse), printed(found.psnr), printed(found.ssim)


def table_lines(study: Study, table: str) -> tuple[Line, ...]:
    """The paper's rows of a table, then our two."""
    rows = paper_rows(table)
    several = len({row.model for row in rows}) > 1
    named = [(f"{row.method}, {row.model}" if several else row.method, row.row, row) for row in rows]
    extra = [(f"{EXTRA_DEFENCES[defence_of(name)]} (not in the paper)", name) for name in EXTRA_ROWS[table]]
    lines = [_line(study, label, name, paper) for label, name, paper in named]
    return (*lines, *(_line(study, label, name, None) for label, name in extra))


def _line(study: Study, label: str, name: str, paper: PaperRow | None) -> Line:
    ours = study.rows.get(name)
    return Line(label + seeds_note(ours), name, paper, ours)


def seeds_note(row: RowResult | None) -> str:
    """What follows a label where there is more than one seed."""
    return f", {len(row.results)} seeds" if row is not None and len(row.results) > 1 else ""


def run_rows(lines: Sequence[Line]) -> list[RowResult]:
    """The results among lines."""
    return [line.ours for line in lines if line.ours is not None]


SUFFIXES = {"source": "(its authors' weights)"}
"""What parts of a row's name after the defence's mean, where they do not speak for themselves."""


def row_label(row: RowResult) -> str:
    """A row's name for tables that are not the paper's: the defence's label, or what the row is called."""
    label = dig(row.first, "defence", "label")
    suffix = defence_of(row.name).removeprefix(str(dig(row.first, "defence", "name") or ""))
    if not label:
        return row.name + seeds_note(row)
    parts = [SUFFIXES.get(part, part) for part in suffix.split("-") if part]
    return " ".join((str(label), *parts)) + seeds_note(row)


def paper_scores(row: RowResult | None, *path: str) -> tuple[Cell, Cell, Cell]:
    """MSE, PSNR and SSIM by the paper's definition of what lies under a path."""
    if row is None:
        return NOT_RUN, NOT_RUN, NOT_RUN
    where = (*path, "paper")
    return (
        measured(row.figure(*where, "mse"), 4),
        measured(row.figure(*where, "psnr_db"), 2),
        measured(row.figure(*where, "ssim"), 3),
    )


def standard_scores(row: RowResult | None, *path: str) -> tuple[Cell, Cell, Cell, Cell]:
    """PSNR with interval, its worst 5 %, SSIM and retrieval rank-1, by the standard definitions."""
    if row is None:
        return NOT_RUN, NOT_RUN, NOT_RUN, NOT_RUN
    psnr, ssim = (*path, "standard", "psnr_db"), (*path, "standard", "ssim")
    return (
        measured(row.figure(*psnr, "mean", ci95=(*psnr, "ci95")), 2),
        measured(row.figure(*psnr, "worst_5pct_mean"), 2),
        measured(row.figure(*ssim, "mean"), 3),
        measured(row.figure(*path, "retrieval_rank1"), 1, scale=PER_CENT),
    )


def reference_rows(rows: Sequence[RowResult]) -> list[tuple[Cell, RowResult, tuple[str, str]]]:
    """For each reference its label, a row that has it, and the path to its scores."""
    found = []
    for name, label in REFERENCES.items():
        for row in rows:
            if dig(row.first, "references", name) is not None:
                found.append((words(f"Reference: {label}"), row, ("references", name)))
                break
    return found


def references_differ(rows: Sequence[RowResult]) -> bool:
    """Whether rows have other scores of the same reference: then they did not attack the same pictures."""
    for name in REFERENCES:
        seen = {
            round(float(mse), 9)
            for row in rows
            for result in row.results
            if (mse := dig(result, "references", name, "standard", "mse", "mean")) is not None
        }
        if len(seen) > 1:
            return True
    return False

"""The lines of a table: a row of the paper, a row of ours, or a reference, each as cells for any column."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from siftfunnel.lab.reports.study.paper import (
    FAMILIES,
    METHODS,
    PaperRow,
    Printed,
    defence_of,
    group_of,
    order_of,
    paper_rows,
)
from siftfunnel.lab.reports.study.results import MANY, ONE, Result, RowResult, Study, dig, dig_number
from siftfunnel.lab.reports.table import NONE, NOT_RUN, Cell, Column, Figure, measured

REFERENCES = {
    "mean_image": "mean image",
    "image_mean_colour": "each picture's mean colour",
    "thumbnail_4x4": "thumbnail 4x4",
    "thumbnail_8x8": "thumbnail 8x8",
    "nearest_auxiliary": "nearest auxiliary picture",
    "clamp_noise": "noise cut to [0, 1]",
}
"""What one scores without any attack, in the order printed."""

FAMILY_LABELS = {name: label for label, name in FAMILIES.items()}
LOST = Cell("lost in the paper")
PER_CENT = 100.0


def printed(text: str | None, *, lost: bool = True) -> Cell:
    """A figure as the paper prints it; empty is *lost in the paper*, or nothing where none can be.

    Example:
        >>> printed("1.74e-5").value, printed("").text, printed("", lost=False).text
        (1.74e-05, 'lost in the paper', '-')
    """
    if text:
        return Cell(text, float(text))
    return LOST if lost else NONE


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        label: Its name in the table.
        row: Name of our row.
        paper: The paper's figures, or None where the paper has no such row.
        ours: Our result, or None where the row was not run.
        reference: Name of the reference that the line shows, with scores but nothing else; empty for rows.
    """

    label: str
    row: str
    paper: PaperRow | None
    ours: RowResult | None
    reference: str = ""

    def figure(self, *path: str, digits: int, scale: float = 1.0, ci95: tuple[str, ...] = ()) -> Cell:
        """A number of our result; says *not run* where there is no result."""
        if self.reference or self.ours is None:
            return NONE if self.reference else NOT_RUN
        return measured(self.ours.figure(*path, ci95=ci95), digits, scale=scale)

    def of_paper(self, read: Callable[[PaperRow], str]) -> Cell:
        """A figure of the paper; nothing where it has no such row."""
        return printed(read(self.paper)) if self.paper else NONE

    def of_papers_attack(self, scenario: str, score: str) -> Cell:
        """``mse``, ``psnr`` or ``ssim`` as printed: ``white_box``, ``black_box`` or ``gray_box``."""
        found: Printed | None = getattr(self.paper, scenario, None)
        return NONE if found is None else printed(getattr(found, score))

    def score(
        self, key: str | None, *path: str, digits: int, scale: float = 1.0, interval: bool = False
    ) -> Cell:
        """A score of an attack, or of the reference that the line shows, whatever the attack.

        Args:
            key: The attack; None is the strongest.
            path: Within the scores.
            digits: Behind the point.
            scale: What it is multiplied by.
            interval: Whether with the interval that lies beside it.
        """
        if self.ours is None:
            return NOT_RUN
        where: tuple[str, ...] = ("references", self.reference)
        if not self.reference:
            key = self.ours.strongest() if key is None else key
            if key is None:
                return NONE
            where = ("attacks", key, "scores")
        ends = (*where, *path[:-1], "ci95") if interval else ()
        return measured(self.ours.figure(*where, *path, ci95=ends), digits, scale=scale)

    def column(self, frames: str, key: str, *, digits: int, scale: float = 1.0, ci95: str = "") -> Cell:
        """A figure of the strongest attack from one frame or from many; a reference's own, whatever looks."""
        if self.ours is None:
            return NOT_RUN
        if not self.reference:
            return measured(self.ours.column(frames, key, ci95=ci95), digits, scale=scale)
        if key != "identified":
            statistic = {"psnr_db": "mean", "worst_5pct_db": "worst_5pct_mean"}[key]
            return self.score("", "standard", "psnr_db", statistic, digits=digits, interval=bool(ci95))
        first, name = self.ours.first, self.reference
        shares = (
            dig_number(first, "references", name, "retrieval_rank1"),
            dig_number(first, "identity", "references", name, "reidentified_rank1"),
        )
        known = [share for share in shares if share is not None]
        return measured(Figure(max(known)), digits, scale=scale) if known else NONE

    def judged(self, frames: str, key: str, *, digits: int, scale: float = 1.0) -> Cell:
        """What the judge of identity says of the attack that betrays most, or of a reference."""
        if self.ours is None:
            return NOT_RUN
        attack = self.ours.chosen(frames, "identity_attack")
        if self.reference:
            return measured(
                self.ours.figure("identity", "references", self.reference, key), digits, scale=scale
            )
        where = ("attacks", attack or "", "scores", "identity", key)
        return measured(self.ours.figure(*where), digits, scale=scale)


ACCURACY: Column[Line] = (
    "Accuracy %",
    lambda line: line.figure("accuracy", "test", digits=1, scale=PER_CENT, ci95=("accuracy", "ci95")),
)
BITS: Column[Line] = (
    "Feature, bits",
    lambda line: line.figure("information", "entropy_coded_bits", "mean", digits=0),
)


def named(heading: str, column: Column[Line]) -> Column[Line]:
    """A column under another heading."""
    return heading, column[1]


def label_column(heading: str) -> Column[Line]:
    """The first column: what a line is called."""
    return heading, lambda line: line.label


def own(heading: str, *path: str, digits: int, scale: float = 1.0) -> Column[Line]:
    """A number of our results."""
    return heading, lambda line: line.figure(*path, digits=digits, scale=scale)


def information(heading: str, *path: str, digits: int, scale: float = 1.0) -> Column[Line]:
    """A number of what was measured at the cut."""
    return own(heading, "information", *path, digits=digits, scale=scale)


def paper_scores(key: str | None) -> tuple[Column[Line], Column[Line], Column[Line]]:
    """MSE, PSNR and SSIM of an attack by the paper's definition."""
    return (
        ("MSE†", lambda line: line.score(key, "paper", "mse", digits=4)),
        ("PSNR†", lambda line: line.score(key, "paper", "psnr_db", digits=2)),
        ("SSIM†", lambda line: line.score(key, "paper", "ssim", digits=3)),
    )


def standard_scores(key: str | None) -> tuple[Column[Line], Column[Line], Column[Line], Column[Line]]:
    """PSNR with interval, its worst 5 %, SSIM and rank-1 of an attack, by the standard definitions."""
    return (
        ("PSNR dB", lambda line: line.score(key, "standard", "psnr_db", "mean", digits=2, interval=True)),
        ("Worst 5 % dB", lambda line: line.score(key, "standard", "psnr_db", "worst_5pct_mean", digits=2)),
        ("SSIM", lambda line: line.score(key, "standard", "ssim", "mean", digits=3)),
        ("Rank-1 %", lambda line: line.score(key, "retrieval_rank1", digits=1, scale=PER_CENT)),
    )


def strongest_name(line: Line) -> Cell | str:
    """What the strongest attack on a line is called."""
    return _named(line, line.ours.strongest() if line.ours else None)


def _named(line: Line, key: str | None) -> Cell | str:
    if line.reference or line.ours is None:
        return NONE if line.reference else NOT_RUN
    return NONE if key is None else attack_label([line.ours], key)


def chosen_name(frames: str, key: str = "attack") -> Callable[[Line], Cell | str]:
    """What the attack of a column is called."""
    return lambda line: _named(line, line.ours.chosen(frames, key) if line.ours else None)


def strongest_columns() -> tuple[Column[Line], ...]:
    """The strongest attack from one frame and from sixteen, by decibels and by who is identified."""

    def of(frames: str, words: str) -> tuple[Column[Line], ...]:
        return (
            (f"PSNR dB, {words}", lambda line: line.column(frames, "psnr_db", digits=2, ci95="ci95")),
            (
                f"Identified %, {words}",
                lambda line: line.column(frames, "identified", digits=1, scale=PER_CENT),
            ),
        )

    worst = ("Worst 5 % dB", lambda line: line.column(ONE, "worst_5pct_db", digits=2))
    name: Column[Line] = ("Strongest attack, one frame", chosen_name(ONE))
    first, *others = of(ONE, "one frame")
    return (name, first, worst, *others, *of(MANY, "16 frames"))


def attack_label(rows: Sequence[RowResult], key: str) -> str:
    """An attack's label, with how many observations it averages."""
    for row in rows:
        for result in row.results:
            if entry := result["attacks"].get(key):
                frames = entry.get("frames", 1)
                label = str(entry.get("label") or key)
                return label if frames == 1 else f"{label}, {frames} averaged"
    return key


def attacks_of(rows: Sequence[RowResult]) -> list[str]:
    """Every attack that was run on any of the rows, in the order in which rows have them."""
    return list(dict.fromkeys(key for row in rows for key in row.attack_keys()))


def table_lines(study: Study, table: str) -> tuple[Line, ...]:
    """The paper's rows of a table, then those of defences that it lacks, in tables of one family."""
    rows = paper_rows(table)
    several = len({row.model for row in rows}) > 1
    lines = [
        _line(study, f"{row.method}, {row.model}" if several else row.method, row.row, row) for row in rows
    ]
    for row in () if several else groups(study).get(group_of(rows[0].row), ()):
        defence = dig(row.first, "defence") or {}
        if defence.get("name") == defence_of(row.name) and defence["name"] not in METHODS.values():
            lines.append(_line(study, f"{defence['label']} (not in the paper)", row.name, None))
    return tuple(lines)


def _line(study: Study, label: str, name: str, paper: PaperRow | None) -> Line:
    ours = study.rows.get(name)
    return Line(label + seeds_note(ours), name, paper, ours)


def own_line(row: RowResult) -> Line:
    """A row of ours where the paper has no part: the defence's label, or what the row is called."""
    label = dig(row.first, "defence", "label")
    suffix = defence_of(row.name).removeprefix(str(dig(row.first, "defence", "name") or ""))
    parts = [SUFFIXES.get(part, part) for part in suffix.split("-") if part]
    told = " ".join((str(label), *parts)) if label else row.name
    return Line(told + seeds_note(row), row.name, None, row)


SUFFIXES = {"source": "(its authors' weights)"}
"""What parts of a row's name after the defence's mean, where they do not speak for themselves."""


def seeds_note(row: RowResult | None) -> str:
    """What follows a label where there is more than one seed."""
    return f", {len(row.results)} seeds" if row is not None and len(row.results) > 1 else ""


def as_row(result: Result, point: Mapping[str, object]) -> RowResult:
    """A point of Figure 2 in the shape of a row, so that the same cells print it."""
    return RowResult(str(point["block"]), ({**point, "seed": result["seed"]},))


def run_rows(lines: Sequence[Line]) -> list[RowResult]:
    """The results among lines."""
    return [line.ours for line in lines if line.ours is not None]


def reference_lines(rows: Sequence[RowResult]) -> list[Line]:
    """A line for each reference, of the first row that has it."""
    found = []
    for name, label in REFERENCES.items():
        row = next((row for row in rows if dig(row.first, "references", name) is not None), None)
        if row is not None:
            found.append(Line(f"Reference: {label}", row.name, None, row, name))
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


def groups(study: Study) -> dict[tuple[str, str], list[RowResult]]:
    """Rows by data set and family, in the paper's order of defences."""
    found: dict[tuple[str, str], list[RowResult]] = {}
    for name in sorted(study.rows, key=order_of):
        found.setdefault(group_of(name), []).append(study.rows[name])
    return found


def group_label(group: tuple[str, str]) -> str:
    """As headings print it.

    Example:
        >>> group_label(("cifar10", "resnet18"))
        'cifar10, ResNet-18'
    """
    return f"{group[0]}, {FAMILY_LABELS[group[1]]}"

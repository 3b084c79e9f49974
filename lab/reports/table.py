"""The one table: cells in rows and columns, before they are Markdown, a terminal's text, CSV or JSON."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class Figure:
    """A measured number.

    Attributes:
        value: The number; the mean over seeds where there are several.
        low: Lower end of the 95 % interval over pictures; None with several seeds or where none is kept.
        high: Its upper end.
        seeds: Number of trainings behind it.
        spread: Standard deviation over seeds; None with one.
    """

    value: float
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    spread: float | None = None


@dataclass(frozen=True)
class Cell:
    """One cell: its text for readers, and the number behind it for programs.

    Attributes:
        text: As printed in Markdown.
        value: The number, or None.
        low: Lower end of its 95 % interval, or None.
        high: Upper end, or None.
        spread: Standard deviation over seeds, or None.
        seeds: Number of seeds, or None where it is no measured number.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    seeds: int | None = None


NONE = Cell("-")
NOT_RUN = Cell("not run")

Row = tuple[Cell, ...]
Item = TypeVar("Item")
Column = tuple[str, Callable[[Item], Cell | str]]
"""A column's heading, and what gives its cell of an item."""


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: Short and stable, for programs.
        title: For readers.
        columns: Headings; the first is the row's name.
        rows: Cells, as many per row as headings.
        intro: Paragraph before the table.
        notes: Lines after it.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    intro: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.name

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        items: Iterable[Item],
        columns: "Sequence[Column[Item]]",
        *,
        intro: str = "",
        notes: Iterable[str] = (),
    ) -> "Table":
        """A table of one row for each item: every column has its heading and what gives its cell.

        Example:
            >>> made = Table.of("squares", "Squares", [2, 3], [("n", str), ("n²", lambda n: number(n * n))])
            >>> [[cell.text for cell in row] for row in made.rows]
            [['2', '4'], ['3', '9']]
        """
        rows = tuple(tuple(_cell(read(item)) for _, read in columns) for item in items)
        return cls(name, title, tuple(heading for heading, _ in columns), rows, intro, tuple(notes))

    @property
    def is_right(self) -> tuple[bool, ...]:
        """Which columns stand to the right: those with a number."""
        if not self.rows:
            return (False,) * len(self.columns)
        return tuple(
            any(cell.value is not None for cell in column) for column in zip(*self.rows, strict=True)
        )


def _cell(made: Cell | str) -> Cell:
    return Cell(made) if isinstance(made, str) else made


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG, with its file name and what it shows in words."""

    file: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Page:
    """Tables and drawings that are read together.

    Attributes:
        profile: Which results it is of; those of two profiles never stand on one page.
        table: Its name, for files.
        title: For readers.
        preamble: Paragraphs before everything else.
        sections: Its tables.
        drawings: Shown where their files lie beside the page.
    """

    profile: str
    table: str
    title: str
    preamble: tuple[str, ...]
    sections: tuple[Table, ...]
    drawings: tuple[Drawing, ...] = ()


def number(value: float | None, digits: int = 0, scale: float = 1.0) -> Cell:
    """A number or a dash.

    Example:
        >>> number(1234.5, 1).text, number(None, 1).text
        ('1,234.5', '-')
    """
    return NONE if value is None else Cell(f"{scale * value:,.{digits}f}", scale * float(value))


def measured(figure: Figure | None, digits: int, *, scale: float = 1.0, sign: bool = False) -> Cell:
    """A number of ours with its interval over pictures, or with its spread over seeds.

    Example:
        >>> measured(Figure(0.5, 0.4, 0.6), 1, scale=100).text
        '50.0 [40.0, 60.0]'
        >>> measured(Figure(2.0, seeds=3, spread=0.25), 2).text
        '2.00 ± 0.25'
        >>> measured(None, 2).text
        '-'
    """
    if figure is None:
        return NONE
    value = scale * figure.value
    text = f"{value:{'+' if sign else ''},.{digits}f}"
    low, high, spread = (
        None if end is None else scale * end for end in (figure.low, figure.high, figure.spread)
    )
    if spread:
        text += f" ± {spread:,.{digits}f}"
    elif low is not None and high is not None:
        text += f" [{low:,.{digits}f}, {high:,.{digits}f}]"
    return Cell(text, value, low, high, spread, figure.seeds)

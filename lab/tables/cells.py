"""Cells, sections and documents: what a table says, before it is written as Markdown, CSV or JSON."""

from dataclasses import dataclass, field

from siftfunnel.lab.tables.results import Figure


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
LOST = Cell("lost in the paper")


@dataclass(frozen=True)
class Section:
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
    rows: tuple[tuple[Cell, ...], ...]
    intro: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.name


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG, with its file name and what it shows in words."""

    file: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Document:
    """Everything that one ``--table`` of one profile says."""

    profile: str
    table: str
    title: str
    preamble: tuple[str, ...]
    sections: tuple[Section, ...]
    drawings: tuple[Drawing, ...] = field(default=())


def words(text: str) -> Cell:
    """A cell of words.

    Example:
        >>> words("U-Net").text
        'U-Net'
    """
    return Cell(text)


def printed(text: str | None, *, lost: bool = True) -> Cell:
    """A figure as the paper prints it; empty is *lost in the paper*, or nothing where none can be.

    Example:
        >>> printed("1.74e-5").value, printed("").text, printed("", lost=False).text
        (1.74e-05, 'lost in the paper', '-')
    """
    if text:
        return Cell(text, float(text))
    return LOST if lost else NONE


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
    low = None if figure.low is None else scale * figure.low
    high = None if figure.high is None else scale * figure.high
    spread = None if figure.spread is None else scale * figure.spread
    if spread:
        text += f" ± {spread:,.{digits}f}"
    elif low is not None and high is not None:
        text += f" [{low:,.{digits}f}, {high:,.{digits}f}]"
    return Cell(text, value, low, high, spread, figure.seeds)

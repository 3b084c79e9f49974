"""The board's page: one HTML file that needs nothing but itself, sortable, filterable, with fronts drawn.

Figures of different suites, budgets, data sets or sizes never stand in one column: each such group has
a table of its own. Pictures that are sent themselves are in every group of their data set, and marked.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from siftfunnel.lab.reports.audit_charts import ACCENT, COOL, GOOD, THEME
from siftfunnel.lab.reports.charts import Panel, Point, Series, draw_panel
from siftfunnel.lab.reports.pages import ENVIRONMENT
from siftfunnel.lab.reports.sheet import FAINT, Sheet
from siftfunnel.shared.files import write_file

if TYPE_CHECKING:
    from siftfunnel.lab.board.entry import Entry, Leak

READING = "reading"
LEAST_DRAWN = 3
CHART_WIDTH, CHART_HEIGHT = 500.0, 260.0
MILLION = 1e6
USELESS = "learned-nothing"


@dataclass(frozen=True)
class Cell:
    """A cell: what it says, what stands small below it, and what it is sorted by."""

    text: str
    small: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """A column: its key for sorting, its heading, and whether small values are the good ones."""

    key: str
    heading: str
    rises: bool = True


COLUMNS = (
    Column("accuracy", "Accuracy", rises=False),
    Column("bytes", "Bytes a frame"),
    Column("one", "Leak, 1 frame"),
    Column("many", "Leak, 16 frames"),
    Column("retrieval", "Found again"),
    Column("best", "Best known attack"),
    Column("bound", "No attacker beats"),
    Column("macs", "Device, million multiply-adds"),
    Column("flags", "Flags"),
)


@dataclass(frozen=True)
class Group:
    """Entries that compare: one data set and size, one suite of one version and budget.

    Attributes:
        title: Of the data set.
        terms: Of the suite.
        entries: Its own, then pictures that are sent themselves.
        chart: The front as SVG, or None where there is too little to draw.
    """

    title: str
    terms: str
    entries: tuple["Entry", ...]
    chart: Markup | None


def write_page(entries: Sequence["Entry"], board: Path, out: Path) -> None:
    """Write the page of some entries; their sheets are looked for in ``board``."""
    sheets = {path.stem: _data_uri(path) for path in sorted((board / "sheets").glob("*.webp"))}
    write_file(out, render(entries, sheets))


def _data_uri(path: Path) -> str:
    return "data:image/webp;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def render(entries: Sequence["Entry"], sheets: Mapping[str, str]) -> str:
    """The page as text.

    Args:
        entries: All of them.
        sheets: Sheets of drawn faces as ``data:`` addresses, by the entry's name.
    """
    groups = groups_of(entries)
    styles = ("audit.css", "board.css")
    return ENVIRONMENT.get_template("board.html").render(
        groups=[{"about": group, "rows": _rows(group)} for group in groups],
        unattacked=[_row(entry, frozenset()) for entry in entries if entry.suite is None],
        entries=entries,
        columns=COLUMNS,
        sheets=sheets,
        datasets=sorted({entry.dataset for entry in entries}),
        css=Markup("\n".join(ENVIRONMENT.get_template(name).render() for name in styles)),
        script=Markup(ENVIRONMENT.get_template("board.js").render()),
    )


def groups_of(entries: Iterable["Entry"]) -> list[Group]:
    """Attacked entries in groups that compare, each with the pictures of its data set beside it."""
    found: dict[tuple[Any, ...], list[Entry]] = {}
    read: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        if (suite := entry.suite) is None:
            continue
        pictures = (entry.dataset, entry.network.input)
        if suite.name == READING:
            read.setdefault(pictures, []).append(entry)
        else:
            terms = (suite.name, suite.version, suite.budget, suite.attacked)
            found.setdefault((*pictures, *terms), []).append(entry)
    return [_group(key, each, read.get(key[:2], [])) for key, each in sorted(found.items(), key=_order)]


def _order(item: tuple[tuple[Any, ...], Sequence["Entry"]]) -> tuple[Any, ...]:
    """AutoInvert's tables first, the largest first."""
    key, entries = item
    return (not key[2].lower().startswith("autoinvert"), -len(entries), key)


def _group(key: tuple[Any, ...], own: list["Entry"], read: list["Entry"]) -> Group:
    dataset, (height, width), name, version, budget, attacked = key
    terms = f"Suite {name}, version {version}, budget {budget}; {attacked} pictures attacked"
    ranked = sorted(own, key=lambda entry: _leak(entry).psnr_db)
    title = f"{dataset}, {height}x{width}"
    return Group(title, terms, (*ranked, *read), _chart(title, ranked, read))


def _leak(entry: "Entry") -> "Leak":
    assert entry.suite is not None
    return entry.suite.from_16 or entry.suite.from_1


def _rows(group: Group) -> list[dict[str, Any]]:
    suites = [entry.suite for entry in group.entries if not is_read(entry)]
    tried = frozenset(name for suite in suites if suite for name in suite.attacks)
    return [_row(entry, tried) for entry in group.entries]


def is_read(entry: "Entry") -> bool:
    """Whether it is a picture that is sent itself, which nobody needs to attack."""
    return entry.suite is not None and entry.suite.name == READING


def _row(entry: "Entry", tried: frozenset[str]) -> dict[str, Any]:
    """An entry's line; what others of its group were attacked with and it was not is told."""
    ran = tried if entry.suite is None or is_read(entry) else frozenset(entry.suite.attacks)
    return {"entry": entry, "cells": _cells(entry, sorted(tried - ran)), "is_read": is_read(entry)}


def _cells(entry: "Entry", missing: Sequence[str]) -> list[Cell]:
    answers, suite, best = entry.answers, entry.suite, entry.best_known
    none = Cell("-")
    macs = entry.network.edge_macs
    share = suite and suite.from_1.retrieval
    flags = len(entry.flags) + bool(missing)
    return [
        none
        if answers is None
        else Cell(
            f"{100 * answers.value:.1f} %",
            " to ".join(f"{100 * end:.1f}" for end in answers.ci95)
            + ("" if answers.measure == "accuracy" else f", {answers.measure}"),
            answers.value,
        ),
        Cell(
            f"{entry.sent.mean:,.0f}",
            "estimate" if entry.sent.is_estimate else entry.sent.codec,
            entry.sent.mean,
        ),
        none if suite is None else _leak_cell(suite.from_1),
        none if suite is None else _leak_cell(suite.from_16) if suite.from_16 else _same(suite.from_1),
        none if share is None else Cell(f"{100 * share:.0f} %", "", share),
        none
        if best is None
        else Cell(
            f"{best.psnr_db:.1f} dB",
            f"{best.attack}, {best.by}" + ("" if best.is_reproduced else ", not reproduced yet"),
            best.psnr_db,
        ),
        _bound_cell(entry),
        none if macs is None else Cell(f"{macs / MILLION:,.1f}", "", macs),
        Cell(str(flags or "none"), f"not attacked by {', '.join(missing)}" if missing else "", flags),
    ]


def _leak_cell(leak: "Leak") -> Cell:
    return Cell(f"{leak.psnr_db:.1f} dB", leak.attack, leak.psnr_db)


def _same(leak: "Leak") -> Cell:
    return Cell(f"{leak.psnr_db:.1f} dB", "no noise, the same", leak.psnr_db)


def _bound_cell(entry: "Entry") -> Cell:
    known = [(bound.mse_db, bound) for bound in entry.certificate if bound.mse_db is not None]
    if not known:
        return Cell("-", "no certificate")
    value, bound = min(known, key=lambda pair: pair[0])
    return Cell(f"{value:.1f} dB", f"{bound.kind}, {bound.pictures} pictures", value)


def _chart(title: str, own: Sequence["Entry"], read: Sequence["Entry"]) -> Markup | None:
    """Accuracy, and bytes, against the leak; the line joins what nothing else beats in both."""
    drawn = [entry for entry in own if entry.answers is not None]
    if len(drawn) < LEAST_DRAWN:
        return None
    sheet = Sheet(f"Front of {title}", [CHART_HEIGHT] * 2, CHART_WIDTH, theme=THEME)
    shown = [*drawn, *(entry for entry in read if entry.answers is not None)]
    for axes, (x, label, rises, log) in zip(sheet.axes, AXES, strict=True):
        front = unbeaten(drawn, x, rises=rises)
        joined = tuple(Point(x(entry), _leak(entry).psnr_db, "", size=0) for entry in front)
        named = [
            Series("", _colour(entry, front), (_point(entry, x, is_named=entry in front),), is_joined=False)
            for entry in shown
        ]
        series = [Series("", ACCENT, joined), *named]
        draw_panel(sheet, axes, Panel(label, "PSNR of the strongest attack, dB", series, log_x=log))
    return Markup(sheet.svg())


def _accuracy(entry: "Entry") -> float:
    return 100 * entry.answers.value if entry.answers else 0.0


AXES = (
    (_accuracy, "accuracy, %", True, False),
    (lambda entry: entry.sent.mean, "bytes a frame", False, True),
)
"""What is drawn against the leak: how an entry gives it, its name, whether more is better, a log axis."""


def unbeaten(entries: Sequence["Entry"], x: Any, *, rises: bool) -> list["Entry"]:
    """Entries that no other beats in ``x`` while leaking less; what learned nothing takes no part."""
    working = [entry for entry in entries if USELESS not in {flag.kind for flag in entry.flags}]
    order = sorted(working, key=lambda entry: (-x(entry) if rises else x(entry), _leak(entry).psnr_db))
    found: list[Entry] = []
    for entry in order:
        if not found or _leak(entry).psnr_db < _leak(found[-1]).psnr_db:
            found.append(entry)
    return found


def _colour(entry: "Entry", front: Sequence["Entry"]) -> str:
    if is_read(entry):
        return GOOD
    return ACCENT if entry in front else FAINT if entry.flags else COOL


def _point(entry: "Entry", x: Any, *, is_named: bool) -> Point:
    leak = _leak(entry)
    tip = f"{entry.title}: {_accuracy(entry):.1f} %, {entry.sent.mean:,.0f} bytes, {leak.psnr_db:.1f} dB"
    return Point(x(entry), leak.psnr_db, tip, leak.psnr_ci95, entry.title if is_named else "", 7.0)

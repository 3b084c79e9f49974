"""The board's page: one HTML file that needs nothing but itself, sortable, filterable, with fronts drawn.

Figures of different suites, budgets, data sets or sizes never stand in one column: each such group has
a table of its own. Pictures that are sent themselves are in every group of their data set, and marked.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from siftfunnel.lab.reports.audit_charts import ACCENT, COOL, GOOD, THEME
from siftfunnel.lab.reports.charts import Panel, Point, Series, draw_panel
from siftfunnel.lab.reports.pages import ENVIRONMENT
from siftfunnel.lab.reports.sheet import FAINT, Sheet
from siftfunnel.shared.files import write_file

if TYPE_CHECKING:
    from siftfunnel.lab.board.entry import Entry, Leak

READING, US, USELESS = "reading", "siftfunnel", "learned-nothing"
LEAST_DRAWN = 3
CHART_WIDTH, CHART_HEIGHT = 380.0, 260.0


class Cell(NamedTuple):
    """What a cell says, what stands small below it, and what it is sorted by."""

    text: str = "-"
    small: str = ""
    value: float | None = None


class Column(NamedTuple):
    """A column: its key and heading, whether small values come first, and its cell of an entry."""

    key: str
    heading: str
    rises: bool
    cell: Callable[["Entry"], Cell]


class Axis(NamedTuple):
    """What is drawn against the leak: how an entry gives it, its name, whether more is better, log."""

    of: Callable[["Entry"], float]
    label: str
    rises: bool
    log: bool


def _leak(leak: "Leak | None", small: str = "") -> Cell:
    return Cell(f"{leak.psnr_db:.1f} dB", small or leak.attack, leak.psnr_db) if leak else Cell()


def _many(entry: "Entry") -> Cell:
    suite = entry.suite
    if suite is not None and suite.from_16 is None and suite.is_noisy:
        return Cell(small="not tried")
    return _leak(suite.leak if suite else None, "" if suite and suite.from_16 else "no noise: the same")


def _answers(entry: "Entry") -> Cell:
    if (answers := entry.answers) is None:
        return Cell()
    low, high = (f"{100 * end:.1f}" for end in answers.ci95)
    kind = "" if answers.measure == "accuracy" else f", {answers.measure}"
    return Cell(f"{100 * answers.value:.1f} %", f"{low}\u00a0to\u00a0{high}{kind}", answers.value)


def _found(entry: "Entry") -> Cell:
    leak = entry.suite.telling if entry.suite else None
    share = leak.identified if leak else None
    return Cell() if leak is None or share is None else Cell(f"{100 * share:.0f} %", leak.attack, share)


def _best(entry: "Entry") -> Cell:
    if (best := entry.best_known) is None:
        return Cell()
    marks = ["" if best.by == US else f", {best.by}", "" if best.is_reproduced else ", not reproduced yet"]
    return _leak(best.leak, best.leak.attack + "".join(marks))


def _bound(entry: "Entry") -> Cell:
    known = [(bound.mse_db, bound) for bound in entry.certificate if bound.mse_db is not None]
    if not known:
        return Cell(small="no certificate")
    value, bound = min(known, key=lambda pair: pair[0])
    return Cell(f"{value:.1f} dB", f"{bound.kind}, {bound.pictures} pictures", value)


def _bytes(entry: "Entry") -> Cell:
    small = "estimate" if entry.is_estimate else entry.codec
    return Cell(f"{entry.bytes_mean:,.0f}", small, entry.bytes_mean)


def _macs(entry: "Entry") -> Cell:
    macs = entry.edge_macs
    return Cell() if macs is None else Cell(f"{macs / 1e6:,.1f}", "", macs)


COLUMNS = (
    Column("accuracy", "Accuracy", False, _answers),
    Column("bytes", "Bytes a frame", True, _bytes),
    Column("one", "Leak, 1 frame", True, lambda entry: _leak(entry.suite.from_1 if entry.suite else None)),
    Column("many", "Leak, 16 frames", True, _many),
    Column("found", "Found again", True, _found),
    Column("best", "Best known attack", True, _best),
    Column("bound", "No attacker beats", True, _bound),
    Column("macs", "Device, million multiply-adds", True, _macs),
)
AXES = (
    Axis(lambda entry: 100 * entry.answers.value if entry.answers else 0.0, "accuracy, %", True, False),
    Axis(lambda entry: entry.bytes_mean, "bytes a frame", False, True),
)


class Group(NamedTuple):
    """Entries that compare: title of the data set, terms of the suite, entries, then pictures as they are."""

    title: str
    terms: str
    own: Sequence["Entry"]
    read: Sequence["Entry"] = ()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Each entry with what others here were attacked with and it was not."""
        tried = {name for entry in self.own if entry.suite for name in entry.suite.attacks}
        missing = [sorted(tried - set(entry.suite.attacks)) if entry.suite else [] for entry in self.own]
        return [
            {"entry": entry, "missing": lacks, "is_read": is_read}
            for entries, lacking, is_read in (
                (self.own, missing, False),
                (self.read, [[]] * len(self.read), True),
            )
            for entry, lacks in zip(entries, lacking, strict=True)
        ]

    @property
    def charts(self) -> list[Markup]:
        """The front by accuracy and by bytes; none where there is too little to draw."""
        drawn = [entry for entry in self.own if entry.answers and entry.suite]
        shown = [*drawn, *(entry for entry in self.read if entry.answers)]
        return [_chart(self.title, drawn, shown, axis) for axis in AXES if len(drawn) >= LEAST_DRAWN]


def write_page(entries: Sequence["Entry"], board: Path, out: Path) -> None:
    """Write the page of some entries; their sheets are looked for in ``board``."""
    paths = sorted((board / "sheets").glob("*.webp"))
    coded = {path.stem: base64.b64encode(path.read_bytes()).decode("ascii") for path in paths}
    write_file(out, render(entries, {name: f"data:image/webp;base64,{text}" for name, text in coded.items()}))


def render(entries: Sequence["Entry"], sheets: Mapping[str, str]) -> str:
    """The page as text.

    Args:
        entries: All of them.
        sheets: Sheets of drawn faces as ``data:`` addresses, by the entry's name.
    """
    style, script = (
        Markup("\n".join(ENVIRONMENT.get_template(name).render() for name in names))
        for names in (("audit.css", "board.css"), ("board.js",))
    )
    return ENVIRONMENT.get_template("board.html").render(
        groups=groups_of(entries),
        entries=entries,
        columns=COLUMNS,
        sheets=sheets,
        datasets=sorted({entry.dataset for entry in entries}),
        css=style,
        script=script,
    )


def groups_of(entries: Iterable["Entry"]) -> list[Group]:
    """Entries in groups that compare, AutoInvert's first, those that nobody attacked last."""
    found: dict[tuple[Any, ...], list[Entry]] = {}
    read: dict[tuple[Any, ...], list[Entry]] = {}
    unattacked: list[Entry] = []
    for entry in entries:
        suite, pictures = entry.suite, (entry.dataset, entry.input)
        if suite is None:
            unattacked.append(entry)
        elif suite.name == READING:
            read.setdefault(pictures, []).append(entry)
        else:
            terms = (suite.name, suite.version, suite.budget, suite.attacked)
            found.setdefault((*pictures, *terms), []).append(entry)
    order = sorted(found, key=lambda key: (not key[2].startswith("AutoInvert"), -len(found[key]), key))
    groups = [_group(key, found[key], read.get(key[:2], [])) for key in order]
    none = "Bytes and answers are measured, the leak is not, which says nothing about it"
    return [*groups, *([Group("Not attacked yet", none, unattacked)] if unattacked else [])]


def _group(key: tuple[Any, ...], own: list["Entry"], read: list["Entry"]) -> Group:
    dataset, (height, width), name, version, budget, attacked = key
    terms = (
        f"Suite {name}, version {version}, budget {budget}; {attacked} pictures attacked. Compare within "
        "this table only: another suite, budget or set of pictures gives other figures for the same network"
    )
    return Group(f"{dataset}, {height}x{width}", terms, sorted(own, key=_leak_db), read)


def _leak_db(entry: "Entry") -> float:
    assert entry.suite is not None
    return entry.suite.leak.psnr_db


def _chart(title: str, own: Sequence["Entry"], shown: Sequence["Entry"], axis: Axis) -> Markup:
    """An axis against the leak; the line joins what nothing else beats in both."""
    front = unbeaten(own, axis)
    joined = Series("", ACCENT, tuple(Point(axis.of(entry), _leak_db(entry), "", size=0) for entry in front))
    apart = [_dot(entry, axis, is_front=entry in front) for entry in shown]
    sheet = Sheet(f"{title}: {axis.label} against the leak", [CHART_HEIGHT], CHART_WIDTH, theme=THEME)
    panel = Panel(axis.label, "strongest attack, PSNR in dB", [joined, *apart], log_x=axis.log)
    draw_panel(sheet, sheet.axes[0], panel)
    return Markup(sheet.svg())


def unbeaten(entries: Sequence["Entry"], axis: Axis) -> list["Entry"]:
    """Entries that no other beats on an axis while leaking less; what learned nothing takes no part."""
    working = [entry for entry in entries if USELESS not in {flag.kind for flag in entry.flags}]
    sign = -1 if axis.rises else 1
    found: list[Entry] = []
    for entry in sorted(working, key=lambda entry: (sign * axis.of(entry), _leak_db(entry))):
        if not found or _leak_db(entry) < _leak_db(found[-1]):
            found.append(entry)
    return found


def _dot(entry: "Entry", axis: Axis, *, is_front: bool) -> Series:
    assert entry.suite is not None
    plain = GOOD if entry.suite.name == READING else FAINT if entry.flags else COOL
    told = [
        f"{entry.title}:",
        *(f"{one.of(entry):,.1f} {one.label}," for one in AXES),
        f"{_leak_db(entry):.1f} dB",
    ]
    leak = entry.suite.leak
    point = Point(axis.of(entry), leak.psnr_db, " ".join(told), leak.psnr_ci95, size=7.0)
    return Series(entry.title if is_front else "", ACCENT if is_front else plain, (point,), is_joined=False)

"""Drawing: where a frame's time goes, one panel per link, one bar of stacked stages per way."""

from collections.abc import Sequence

from siftfunnel.bench.cells.result import STAGES, Cell
from siftfunnel.bench.report.naming import cell_label, link_name
from siftfunnel.bench.report.tables import grouped, measured_link
from siftfunnel.lab.tables.cells import Drawing
from siftfunnel.lab.tables.svg import COLOURS, LETTER_WIDTH, Plot, ticks

STAGE_COLOURS = {
    "wait": "#C8C8C8",
    "capture": COLOURS[6],
    "edge": COLOURS[0],
    "encode": COLOURS[5],
    "wire": COLOURS[1],
    "queue": COLOURS[4],
    "decode": COLOURS[3],
    "cloud": COLOURS[2],
    "return": "#F0E442",
}
WIDTH, ROW, BAR = 800, 20, 13
_HEADER, _FOOTER, _LEGEND_TOP, _VALUE_WIDTH = 34, 34, 44, 150


def stages_drawing(cells: Sequence[Cell], task: str, scenario: str) -> Drawing | None:
    """All cells of a task in one scenario; None where there are none.

    Each link has its own scale: a slow one takes a thousand times as long as a fast one.
    """
    chosen = [cell for cell in cells if cell.scenario == scenario]
    if not chosen:
        return None
    groups = grouped(chosen)
    left = round(LETTER_WIDTH * max(len(_label(cell)) for cell in chosen)) + 24
    top: float = _LEGEND_TOP + 20 * _legend_rows(left)
    height = top + sum(_HEADER + ROW * len(group) + _FOOTER for group in groups) + 12
    title = f"{task}, {scenario}: where a frame's time goes, per link"
    plot = Plot((WIDTH, round(height)), (left, 0, _VALUE_WIDTH, 0), (0, 1), (0, 1), title)
    plot.text(16, 22, title)
    _legend(plot, left)
    for group in groups:
        top += _panel(plot, group, top)
    caption = (
        f"{task}, {scenario}: mean stage times, stacked, ms; the black mark is the 90th percentile of the "
        "end-to-end time. Each link has its own scale."
    )
    return Drawing(f"stages-{task}-{scenario.lower()}.svg", caption, plot.svg())


def _label(cell: Cell) -> str:
    return cell_label(cell) + (" ‡" if cell.overloaded else "")


def _legend_places(left: int) -> list[tuple[str, float, int]]:
    """Stage, its place from the left in pixels, and its row."""
    places, x, row = [], float(left), 0
    for stage in STAGES:
        extent = 24 + LETTER_WIDTH * len(stage) + 14
        if x + extent > WIDTH - 10 and x > left:
            x, row = float(left), row + 1
        places.append((stage, x, row))
        x += extent
    return places


def _legend_rows(left: int) -> int:
    return 1 + max(row for _, _, row in _legend_places(left))


def _legend(plot: Plot, left: int) -> None:
    for stage, x, row in _legend_places(left):
        y = _LEGEND_TOP + 20 * row
        plot.add(
            f"<rect x='{x:.1f}' y='{y - 10}' width='14' height='12' fill='{STAGE_COLOURS[stage]}' "
            "stroke='#444' stroke-width='0.5'/>"
        )
        plot.text(x + 19, y, stage)


def _panel(plot: Plot, group: Sequence[Cell], top: float) -> float:
    """Draw one link below ``top``; gives its height in pixels."""
    most = max(max(cell.latency_ms.p90, cell.stages_ms.total_ms()) for cell in group)
    marks = ticks(0.0, max(most, 1e-3), 5)
    first, last = top + _HEADER, top + _HEADER + ROW * len(group)
    panel = plot.panel(first, last, (0.0, marks[-1]), (0, 1))
    panel.text(16, top + 22, f"{link_name(group[0])}: {measured_link(group)}", colour="#000")
    for mark in marks:
        panel.line(panel.x(mark), first, panel.x(mark), last, "#e5e5e5")
        panel.text(panel.x(mark), last + 15, f"{mark:,g}", anchor="middle")
    for number, cell in enumerate(group):
        _bar(panel, cell, first + ROW * number + (ROW - BAR) / 2)
    panel.line(panel.left, first, panel.left, last, "#444")
    panel.text(panel.left - 8, last + 15, "ms", anchor="end")
    panel.text(panel.right + 14, top + 22, "p50 · p90, ms", colour="#666")
    return _HEADER + ROW * len(group) + _FOOTER


def _bar(panel: Plot, cell: Cell, y: float) -> None:
    panel.text(panel.left - 8, y + BAR - 2, _label(cell), anchor="end")
    start = 0.0
    for stage, time_ms in cell.stages_ms.to_json().items():
        if time_ms:
            tip = f"{cell_label(cell)}, {stage}: {time_ms:,.2f} ms"
            panel.bar(start, start + time_ms, y, BAR, STAGE_COLOURS[stage], tip)
            start += time_ms
    late = panel.x(cell.latency_ms.p90)
    panel.add(f"<rect x='{late - 1}' y='{y - 2}' width='2' height='{BAR + 4}' fill='#000'/>")
    told = f"{cell.latency_ms.p50:,.1f} · {cell.latency_ms.p90:,.1f}"
    panel.text(panel.right + 14, y + BAR - 2, told)

"""Drawing: where a frame's time goes, one panel per link, one bar of stacked stages per way."""

from collections.abc import Sequence

from siftfunnel.bench.cells.result import STAGES, Cell
from siftfunnel.bench.report.naming import cell_label, link_name
from siftfunnel.bench.report.tables import grouped, measured_link
from siftfunnel.lab.reports.bars import Stack, stacked_bars
from siftfunnel.lab.reports.sheet import COLOURS
from siftfunnel.lab.reports.table import Drawing

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


def stages_drawing(cells: Sequence[Cell], task: str, scenario: str) -> Drawing | None:
    """All cells of a task in one scenario; None where there are none.

    Each link has its own scale: a slow one takes a thousand times as long as a fast one.
    """
    chosen = [cell for cell in cells if cell.scenario == scenario]
    if not chosen:
        return None
    panels = [
        (f"{link_name(group[0])}: {measured_link(group)}", [_stack(cell) for cell in group])
        for group in grouped(chosen)
    ]
    title = f"{task}, {scenario}: where a frame's time goes, per link"
    colours = {stage: STAGE_COLOURS[stage] for stage in STAGES}
    caption = (
        f"{task}, {scenario}: mean stage times, stacked, ms; the black mark is the 90th percentile of the "
        "end-to-end time. Each link has its own scale."
    )
    svg = stacked_bars(title, panels, colours, "ms", "p50 · p90, ms")
    return Drawing(f"stages-{task}-{scenario.lower()}.svg", caption, svg)


def _stack(cell: Cell) -> Stack:
    latency = cell.latency_ms
    label = cell_label(cell) + (" ‡" if cell.overloaded else "")
    return Stack(label, cell.stages_ms.to_json(), latency.p90, f"{latency.p50:,.1f} · {latency.p90:,.1f}")

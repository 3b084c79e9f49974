"""Drawings of what was measured: stages of cells, throughput against streams, ours over each peer."""

from collections.abc import Mapping, Sequence
from typing import Any

from siftfunnel.bench.cells.result import STAGES, Cell
from siftfunnel.bench.peers.catalogue import OURS
from siftfunnel.bench.peers.table import ratio
from siftfunnel.bench.report.naming import cell_label
from siftfunnel.bench.report.tables import grouped, measured_link
from siftfunnel.bench.stored import as_json
from siftfunnel.lab.reports.bars import Stack, ratio_bars, stacked_bars
from siftfunnel.lab.reports.charts import Panel, Point, Series, lines
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
        (f"{group[0].link.name}: {measured_link(group)}", [_stack(cell) for cell in group])
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
    return Stack(label, as_json(cell.stages_ms), latency.p90, f"{latency.p50:,.1f} · {latency.p90:,.1f}")


def throughput_curves(document: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Streams and frames per second of everything that was served with several numbers of streams.

    Args:
        document: What `siftfunnel bench serving` wrote.
    """
    rows = [(f"throughput {row['layout']} {row['codec']}", row) for row in document["throughput"]]
    rows += [(f"null {row['what']}", row) for row in document["null"]]
    rows += [(f"growth {what}", row) for what in ("null", "model") for row in document["growth"][what]]
    found: dict[str, list[tuple[float, float]]] = {}
    for name, row in rows:
        found.setdefault(name, []).append((float(row["streams"]), float(row["frames_per_s"])))
    return {name: sorted(points) for name, points in found.items() if len(points) > 1}


def throughput_drawings(document: Mapping[str, Any]) -> tuple[Drawing, ...]:
    """Frames per second against the number of streams, both logarithmic; none without a series."""
    curves = throughput_curves(document)
    if not curves:
        return ()
    series = [
        Series(name, COLOURS[number % len(COLOURS)], tuple(_point(name, *each) for each in curve))
        for number, (name, curve) in enumerate(curves.items())
    ]
    panel = Panel("streams", "frames per second", series, log_x=True, log_y=True)
    caption = "Answered frames per second as streams grow; both axes logarithmic."
    return (Drawing("throughput.svg", caption, lines("Throughput against streams", [panel], (440, 300))),)


def _point(name: str, streams: float, speed: float) -> Point:
    return Point(streams, speed, f"{name}, {streams:,.0f} streams: {speed:,.1f} a second")


MODELS = {"real": "the cloud half", "null": "a null model"}


def peers_drawings(document: Mapping[str, Any]) -> tuple[Drawing, ...]:
    """One drawing per model that ours was measured with.

    Args:
        document: What `siftfunnel bench peers` wrote.
    """
    made = []
    for measured in document["models"]:
        ratios = ratios_of(measured, {each["peer"]: each["label"] for each in document["peers"]})
        if not ratios:
            continue
        about = MODELS.get(measured["model"], measured["model"])
        title = f"Ours over each, serving {about}"
        caption = (
            f"Serving {about}: our throughput over each server's, and its p99 over ours; medians of the "
            "rounds' ratios. Right of the dashed line ours is ahead."
        )
        svg = ratio_bars(title, ratios, "ratio, above 1 = ours ahead")
        made.append(Drawing(f"peers-{measured['model']}.svg", caption, svg))
    return tuple(made)


def ratios_of(measured: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Median over rounds of every ratio, by load and figure; empty where ours was not measured.

    Args:
        measured: One model's rows.
        labels: Names of peers for readers.
    """
    rows = {row["peer"]: row for row in measured["rows"]}
    ours = rows.pop(OURS.name, None)
    if ours is None:
        return {}
    made: dict[str, dict[str, float]] = {}
    for clients in sorted({cell["clients"] for cell in ours["cells"]}):
        for figure in ("throughput", "p99"):
            ratios = {labels.get(peer, peer): ratio(figure, ours, row, clients) for peer, row in rows.items()}
            group = {label: found.middle for label, found in ratios.items() if found is not None}
            if group:
                made[f"{figure}, {clients} client{'s' if clients > 1 else ''}"] = group
    return made

"""Drawings of what was measured: stages of cells, throughput against streams, ours over each peer."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from siftfunnel.bench.cells.result import STAGES, Cell
from siftfunnel.bench.peers.catalogue import OURS
from siftfunnel.bench.peers.table import tail_ratio, throughput_ratio
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


Curves = dict[str, list[tuple[float, float]]]


def curves_in(value: object, x: str, y: str) -> Curves:
    """Every series of objects that have a number under ``x`` and one under ``y``.

    A series is named by the keys that lead to its list and by the words in its objects, so that two engines
    in one list are two series. Points stand in the order of ``x``.

    Example:
        >>> curves_in({"null": [{"streams": 2, "fps": 9}, {"streams": 1, "fps": 5}]}, "streams", "fps")
        {'null': [(1.0, 5.0), (2.0, 9.0)]}
    """
    found: Curves = {}
    _walk(value, (), x, y, found)
    return {name: sorted(points) for name, points in found.items() if len(points) > 1}


def _walk(value: object, path: tuple[str, ...], x: str, y: str, found: Curves) -> None:
    if isinstance(value, Mapping):
        if _is_number(value.get(x)) and _is_number(value.get(y)):
            words = [str(each) for each in value.values() if isinstance(each, str)]
            name = " ".join([*path, *words]).replace("_", " ") or y.replace("_", " ")
            found.setdefault(name, []).append((float(value[x]), float(value[y])))
        for key, each in value.items():
            _walk(each, (*path, str(key)), x, y, found)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            _walk(each, path, x, y, found)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    )


def throughput_drawing(document: Mapping[str, Any]) -> Drawing | None:
    """Frames per second against the number of streams, both logarithmic; None without a series."""
    body = {key: value for key, value in document.items() if key != "provenance"}
    curves = curves_in(body, "streams", "frames_per_s")
    if not curves:
        return None
    series = [
        Series(name, COLOURS[number % len(COLOURS)], tuple(_point(name, *each) for each in curve))
        for number, (name, curve) in enumerate(curves.items())
    ]
    panel = Panel("streams", "frames per second", series, log_x=True, log_y=True)
    caption = "Answered frames per second as streams grow; both axes logarithmic."
    return Drawing("throughput.svg", caption, lines("Throughput against streams", [panel], (440, 300)))


def _point(name: str, streams: float, speed: float) -> Point:
    return Point(streams, speed, f"{name}, {streams:,.0f} streams: {speed:,.1f} a second")


MODELS = {"real": "the cloud half", "null": "a null model"}
FIGURES = {"throughput": throughput_ratio, "p99": tail_ratio}
"""Ratios to ours in which above 1 is ours ahead."""


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
    found: dict[str, dict[str, float]] = {}
    for clients in sorted({cell["clients"] for cell in ours["cells"]}):
        for figure, ratio_of in FIGURES.items():
            ratios = {labels.get(peer, peer): ratio_of(ours, row, clients) for peer, row in rows.items()}
            group = {label: ratio.middle for label, ratio in ratios.items() if ratio is not None}
            if group:
                found[f"{figure}, {clients} client{'s' if clients > 1 else ''}"] = group
    return found

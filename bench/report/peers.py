"""Drawings of a comparison of peers: ours over each of them, in throughput and in tail latency."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from siftfunnel.bench.report.curves import ratio_svg
from siftfunnel.lab.tables.cells import Drawing

OURS = "siftfunnel"
MODELS = {"real": "the cloud half", "null": "a null model"}
FIGURES: Mapping[str, tuple[str, Callable[[float, float], float]]] = {
    "throughput": ("frames_per_s", lambda ours, peer: ours / peer),
    "p99": ("p99_ms", lambda ours, peer: peer / ours),
}
"""Name, field of a cell, and the ratio in which above 1 is ours ahead."""


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
        svg = ratio_svg(ratios, title, "ratio, above 1 = ours ahead")
        made.append(Drawing(f"peers-{measured['model']}.svg", caption, svg))
    return tuple(made)


def ratios_of(measured: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Median over rounds of every ratio, by load and figure; empty where ours was not measured.

    Args:
        measured: One model's rows.
        labels: Names of peers for readers.
    """
    rows = {row["peer"]: row for row in measured["rows"]}
    ours = rows.pop(OURS, None)
    if ours is None:
        return {}
    loads = sorted({cell["clients"] for cell in ours["cells"]})
    found: dict[str, dict[str, float]] = {}
    for clients in loads:
        for figure in FIGURES:
            group = {
                labels.get(peer, peer): ratio
                for peer, row in rows.items()
                if (ratio := _ratio(ours, row, clients, figure)) is not None
            }
            if group:
                found[f"{figure}, {clients} client{'s' if clients > 1 else ''}"] = group
    return found


def _ratio(ours: Mapping[str, Any], peer: Mapping[str, Any], clients: int, figure: str) -> float | None:
    field, divide = FIGURES[figure]
    mine, other = _by_round(ours, clients, field), _by_round(peer, clients, field)
    rounds = [divide(mine[number], other[number]) for number in mine.keys() & other.keys()]
    return median(rounds) if rounds else None


def _by_round(row: Mapping[str, Any], clients: int, field: str) -> dict[int, float]:
    return {cell["round"]: float(cell[field]) for cell in row["cells"] if cell["clients"] == clients}

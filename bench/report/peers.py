"""Drawings of a comparison of peers: ours over each of them, in throughput and in tail latency."""

from collections.abc import Mapping
from typing import Any

from siftfunnel.bench.peers.catalogue import OURS
from siftfunnel.bench.peers.summary import tail_ratio, throughput_ratio
from siftfunnel.lab.reports.bars import ratio_bars
from siftfunnel.lab.reports.table import Drawing

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

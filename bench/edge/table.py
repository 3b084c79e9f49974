"""The edge's figures as a page of Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

from siftfunnel.bench.pages import render

VARIANTS = {
    "plain": "as `torch.onnx.export` writes it",
    "ours": "as `siftfunnel lab export` writes it",
    "int8": "that, static 8 bits",
}
SHOWN = ("cnn-unprotected/ours", "cnn-siftfunnel/plain", "cnn-siftfunnel/ours")
OPERATORS_SHOWN = 12

Row = Mapping[str, Any]


def render_edge(result: Mapping[str, Any]) -> str:
    """Markdown of what `siftfunnel bench edge` has measured.

    Args:
        result: its JSON object.
    """
    return render("edge", **result, variants=VARIANTS, operators=_operators(result["networks"][0]))


def _operators(network: Mapping[str, Any]) -> list[list[str]]:
    """A row for each of the operators that take longest anywhere, one for all others, one for all."""
    columns = [{row["operator"]: row for row in network["operators"][name]} for name in SHOWN]
    names = dict.fromkeys(name for column in columns for name in column)
    most_us = {name: max(column[name]["us"] for column in columns if name in column) for name in names}
    kept = sorted(most_us, key=lambda name: -most_us[name])[:OPERATORS_SHOWN]
    groups = {**{name: {name} for name in kept}, "others": names.keys() - kept, "**all**": names.keys()}
    return [
        [title, *(_cell([column[name] for name in column if name in group]) for column in columns)]
        for title, group in groups.items()
    ]


def _cell(rows: Iterable[Row]) -> str:
    listed = list(rows)
    nodes = sum(row["nodes"] for row in listed)
    return f"{sum(row['us'] for row in listed):.0f} ({nodes})" if nodes else "-"

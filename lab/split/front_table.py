"""One network's front, agreement against bytes at several cuts beside JPEG and WebP, as page and drawing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from siftfunnel.lab.split.table import PER_CENT, at_equal_agreement
from siftfunnel.lab.tables.cells import Cell, Document, Drawing, Section, measured, words
from siftfunnel.lab.tables.rendering import to_markdown
from siftfunnel.lab.tables.results import Figure
from siftfunnel.lab.tables.svg import COLOURS, LETTER_WIDTH, Plot, spread_labels, ticks

COLUMNS = (
    "sent",
    "work on the device, %",
    "bytes a frame",
    "agreement, %",
    "JPEG at equal agreement, bytes",
    "WebP at equal agreement, bytes",
)
_SIZE, _MARGINS, _ROW = (860, 460), (70, 24, 230, 60), 16.0
_ROUND_BYTES = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


@dataclass(frozen=True)
class _Line:
    """One way of sending: its name and its points (bytes, agreement, low, high), by rising bytes."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]


def render_front(result: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        result: What `python -m tests.own_networks.front` has written.
    """
    machine = result["provenance"]["machine"]
    preamble = (
        f"{result['network']}, cut at several places, a funnel at each cut, fitted without labels; on "
        f"{machine['processor']} ({machine['cores']} cores). Agreement is with the uncut network. Pictures "
        "were neither fitted to nor trained on; brackets and bars are 95 % intervals, of which two that "
        "overlap say little. *Linear* is the closed form, *trained* the same gone on by distillation."
    )
    sections = tuple(
        Section(
            of_set["name"],
            f"{of_set['pictures']} pictures of {of_set['name']}",
            COLUMNS,
            tuple(row for funnel in of_set["funnels"] for row in _rows(funnel)),
        )
        for of_set in result["sets"]
    )
    return to_markdown(Document("own-front", "own-front", "Bytes and agreement", (preamble,), sections))


def best_points(result: Mapping[str, Any], wanted: float = 0.9) -> str:
    """A short table: of each funnel the fewest bytes that agree in the share wanted, or its best point.

    Args:
        result: What `python -m tests.own_networks.front` has written.
        wanted: Share of pictures.
    """
    lines = [
        f"| {result['network']}, {wanted:.0%} agreement or the best there is | device's share | bytes | "
        "agreement | JPEG needs | WebP needs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for of_set in result["sets"]:
        for funnel in of_set["funnels"]:
            points = funnel["points"]
            enough = [point for point in points if point["agreement"] >= wanted]
            best = (
                min(enough, key=lambda point: point["payload_bytes_mean"])
                if enough
                else max(points, key=lambda point: point["agreement"])
            )
            lines.append(_line(of_set, funnel, best))
    return "\n".join(lines) + "\n"


def _line(of_set: Mapping[str, Any], funnel: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    low, high = point["agreement_ci95"]
    needed = [at_equal_agreement(point["equal"].get(kind)).text for kind in ("jpeg", "webp")]
    return (
        f"| {of_set['name']}, {funnel['funnel']} funnel, {funnel['cut']} | {funnel['edge_mac_share']:.0%} | "
        f"{point['payload_bytes_mean']:,.0f} | {point['agreement']:.1%} ({low:.0%} to {high:.0%}) | "
        f"{' | '.join(needed)} |"
    )


def draw_front(result: Mapping[str, Any]) -> list[Drawing]:
    """A drawing for each set of pictures."""
    return [
        Drawing(
            f"own-front-{of_set['name']}.svg",
            f"Agreement with the uncut {result['network']} against bytes a frame, {of_set['name']}",
            _drawn(f"{result['network']}: agreement against bytes, {of_set['name']}", list(_lines(of_set))),
        )
        for of_set in result["sets"]
    ]


def _rows(funnel: Mapping[str, Any]) -> Iterator[tuple[Cell, ...]]:
    for point in funnel["points"]:
        low, high = point["agreement_ci95"]
        yield (
            words(f"{funnel['funnel']} funnel, {funnel['cut']}"),
            measured(Figure(funnel["edge_mac_share"]), 1, scale=PER_CENT),
            measured(Figure(point["payload_bytes_mean"]), 0),
            measured(Figure(point["agreement"], low, high), 1, scale=PER_CENT),
            *(at_equal_agreement(point["equal"].get(kind)) for kind in ("jpeg", "webp")),
        )


def _lines(of_set: Mapping[str, Any]) -> Iterator[_Line]:
    named = [(kind.upper(), points, "bytes_mean") for kind, points in of_set["picture_codecs"].items()]
    named += [
        (f"{f['funnel']}, {f['cut']}, {f['edge_mac_share']:.0%}", f["points"], "payload_bytes_mean")
        for f in of_set["funnels"]
    ]
    for name, points, size in named:
        placed = sorted((point[size], point["agreement"], *point["agreement_ci95"]) for point in points)
        yield _Line(name, tuple((found[0], *(PER_CENT * value for value in found[1:])) for found in placed))


def _drawn(title: str, lines: Sequence[_Line]) -> str:
    sizes = [point[0] for line in lines for point in line.points]
    heights = ticks(min(point[2] for line in lines for point in line.points), PER_CENT)
    plot = Plot(
        _SIZE,
        _MARGINS,
        (math.log10(min(sizes)) - 0.05, math.log10(max(sizes)) + 0.05),
        (heights[0], heights[-1]),
        title,
    )
    plot.y_axis("agreement with the uncut network, %", heights)
    for value in _ROUND_BYTES:
        if min(sizes) <= value <= max(sizes):
            x = plot.x(math.log10(value))
            plot.line(x, plot.top, x, plot.bottom, "#e5e5e5")
            plot.text(x, plot.bottom + 18, f"{value:,}", anchor="middle")
    plot.line(plot.left, plot.bottom, plot.right, plot.bottom, "#444")
    plot.text((plot.left + plot.right) / 2, plot.bottom + 38, "bytes a frame", anchor="middle")
    ends = [plot.y(line.points[-1][1]) for line in lines]
    labels = spread_labels(ends, _ROW, plot.top, plot.bottom)
    for line, colour, height in zip(lines, COLOURS, labels, strict=False):
        plot.polyline([(math.log10(size), share) for size, share, *_ in line.points], colour)
        for size, share, low, high in line.points:
            plot.interval(math.log10(size), low, high, colour)
            plot.point(math.log10(size), share, colour, f"{line.name}: {size:,.0f} bytes, {share:.1f} %")
        plot.text(plot.right + LETTER_WIDTH, height + 4, line.name, colour=colour)
    return plot.svg()

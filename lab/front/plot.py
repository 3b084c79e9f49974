"""A front as a drawing: accuracy above, what the strongest attack restores below, over bytes per frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from siftfunnel.lab.front.points import Front, Kind, Point
from siftfunnel.lab.front.table import bundles_of, title_of
from siftfunnel.lab.tables.svg import COLOURS, Plot, ticks

WIDTH, ACCURACY_HEIGHT, LEAKAGE_HEIGHT = 980, 430, 340
LEFT, PLOT_WIDTH = 66, 620
LINE_HEIGHT = 18
LEAST_GAP = 22
"""Pixels between the names of two points of a series."""
MOST_DB = 50.0
"""Pictures that arrive as they are have 100 dB; they are drawn at the upper edge."""
PICTURE_COLOURS: dict[Kind, str] = {"jpeg": COLOURS[4], "webp": COLOURS[3], "raw": COLOURS[6]}
BUNDLE_COLOURS = (COLOURS[1], COLOURS[2], COLOURS[5])
RATE_COLOUR = COLOURS[0]
KIND_LABELS: dict[Kind, str] = {
    "rate-trained": "trained for its rate",
    "post-training": "quantised after training",
    "jpeg": "JPEG",
    "webp": "WebP",
    "raw": "raw pixels",
}
Placed = tuple[Point, float]
"""A point and its height on the upright axis."""


def _star(outer: float, inner: float) -> tuple[tuple[float, float], ...]:
    turns = [(math.pi * step / 5 - math.pi / 2, inner if step % 2 else outer) for step in range(10)]
    return tuple((radius * math.cos(angle), radius * math.sin(angle)) for angle, radius in turns)


MARKERS: dict[Kind, tuple[tuple[float, float], ...]] = {
    "rate-trained": _star(9, 3.8),
    "post-training": tuple(
        (5 * math.cos(math.pi * step / 8), 5 * math.sin(math.pi * step / 8)) for step in range(16)
    ),
    "jpeg": ((0, -6), (6, 5), (-6, 5)),
    "webp": ((0, -6.5), (6.5, 0), (0, 6.5), (-6.5, 0)),
    "raw": ((-5, -5), (5, -5), (5, 5), (-5, 5)),
}
"""Corners of the sign of each kind, in pixels from its middle."""


@dataclass(frozen=True)
class Series:
    """Points that are joined: those trained for a rate, one bundle's others, or one way of sending pictures.

    Attributes:
        label: For the legend.
        kind: Shape of the marker.
        colour: Of the bundle, or of the file format.
        points: By rising bytes.
        field: Which bytes: ``payload_bytes_mean`` or ``abbreviated_bytes_mean``.
        is_hollow: Whether the marker is only an outline.
    """

    label: str
    kind: Kind
    colour: str
    points: tuple[Point, ...]
    field: str = "payload_bytes_mean"
    is_hollow: bool = False

    def log_bytes(self, point: Point) -> float:
        """Place on the axis."""
        return math.log10(point[self.field])


def plot_front(front: Front) -> str:
    """The drawing as SVG; the same front gives the same text.

    Raises:
        ValueError: the front has no point.
    """
    if not front["points"]:
        raise ValueError("a front without points cannot be drawn")
    series = all_series(front)
    x_range = _x_range(series)
    accuracy = _accuracy_plot(front, series, x_range)
    if all(point["leakage"] is None for point in front["points"]):
        return accuracy.svg()
    leakage = _leakage_plot(series, x_range)
    total = accuracy.height + leakage.height
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{total}' "
        f"viewBox='0 0 {WIDTH} {total}' role='img'>"
    )
    lower = f"<g transform='translate(0 {accuracy.height})'>\n{leakage.svg()}</g>"
    return f"{head}\n{accuracy.svg()}{lower}\n</svg>\n"


def all_series(front: Front) -> list[Series]:
    """What is joined by a line: rate points of all bundles together, as each may be a network of its own."""
    trained = _sorted(front, "rate-trained")
    made = [Series(KIND_LABELS["rate-trained"].capitalize(), "rate-trained", RATE_COLOUR, trained)]
    for number, bundle in enumerate(bundles_of(front)):
        colour = BUNDLE_COLOURS[number % len(BUNDLE_COLOURS)]
        points = tuple(point for point in _sorted(front, "post-training") if point["bundle"] == bundle)
        made.append(Series(f"{bundle}, {KIND_LABELS['post-training']}", "post-training", colour, points))
    for kind, colour in PICTURE_COLOURS.items():
        points = _sorted(front, kind)
        made.append(Series(f"{KIND_LABELS[kind]} of the picture", kind, colour, points))
        if kind != "raw":
            label = f"{KIND_LABELS[kind]}, abbreviated"
            made.append(Series(label, kind, colour, points, "abbreviated_bytes_mean", is_hollow=True))
    return [one for one in made if one.points]


def _sorted(front: Front, kind: Kind) -> tuple[Point, ...]:
    found = [point for point in front["points"] if point["kind"] == kind]
    return tuple(sorted(found, key=lambda point: float(point["payload_bytes_mean"])))


def _x_range(series: Sequence[Series]) -> tuple[float, float]:
    places = [one.log_bytes(point) for one in series for point in one.points]
    return min(places) - 0.08, max(places) + 0.08


def byte_ticks(low: float, high: float) -> list[int]:
    """1, 2 and 5 times the powers of ten between two logarithms.

    Example:
        >>> byte_ticks(1.3, 2.8)
        [20, 50, 100, 200, 500]
    """
    powers = range(math.floor(low), math.ceil(high) + 1)
    every = [factor * 10**power for power in powers if power >= 0 for factor in (1, 2, 5)]
    return [value for value in every if low <= math.log10(value) <= high]


def _byte_axis(plot: Plot) -> None:
    for value in byte_ticks(*plot.x_range):
        place = plot.x(math.log10(value))
        plot.line(place, plot.top, place, plot.bottom, "#e5e5e5")
        plot.text(place, plot.bottom + 18, f"{value:,}", anchor="middle")
    plot.line(plot.left, plot.bottom, plot.right, plot.bottom, "#444")
    plot.text((plot.left + plot.right) / 2, plot.bottom + 38, "bytes per frame, mean", anchor="middle")


def _accuracy_plot(front: Front, series: Sequence[Series], x_range: tuple[float, float]) -> Plot:
    ends = [100 * end for point in front["points"] for end in point["accuracy_interval"]]
    y_ticks = ticks(min(ends), max(ends))
    plot = _plot(ACCURACY_HEIGHT, x_range, y_ticks, title_of(front))
    plot.text(plot.left, 22, title_of(front))
    plot.y_axis("test accuracy, %", y_ticks)
    for one in series:
        placed = [(point, 100 * float(point["accuracy"])) for point in one.points]
        low_high = [[100 * end for end in point["accuracy_interval"]] for point in one.points]
        _draw(plot, one, placed, low_high)
        _name(plot, one, placed)
    _legend(plot, series)
    return plot


def _leakage_plot(series: Sequence[Series], x_range: tuple[float, float]) -> Plot:
    attacked = [replace(one, points=tuple(p for p in one.points if p["leakage"])) for one in series]
    every = [_decibels(point) for one in attacked for point in one.points]
    y_ticks = ticks(min(every), max(every))
    plot = _plot(LEAKAGE_HEIGHT, x_range, y_ticks, "Leakage against bytes per frame")
    plot.y_axis("PSNR of what is restored, dB", y_ticks)
    for one in attacked:
        placed = [(point, _decibels(point)) for point in one.points]
        low_high = [[min(end, MOST_DB) for end in point["leakage"]["psnr_interval"]] for point in one.points]
        _draw(plot, one, placed, low_high)
        _name(plot, one, placed, decibels=True)
    notes = (
        "Mean PSNR of the strongest attack on features",
        "that went through the codec, or of the picture",
        "that is read; higher leaks more.",
        f"What arrives as it was is drawn at {MOST_DB:g} dB.",
    )
    for number, note in enumerate(notes):
        plot.text(plot.right + 20, plot.top + 12 + number * LINE_HEIGHT, note, colour="#444")
    return plot


def _plot(height: int, x_range: tuple[float, float], y_ticks: Sequence[float], title: str) -> Plot:
    margins = (LEFT, 40, WIDTH - LEFT - PLOT_WIDTH, 52)
    plot = Plot((WIDTH, height), margins, x_range, (y_ticks[0], y_ticks[-1]), title)
    _byte_axis(plot)
    return plot


def _decibels(point: Point) -> float:
    return min(float(point["leakage"]["psnr_db"]), MOST_DB)


def _draw(plot: Plot, one: Series, placed: Sequence[Placed], low_high: Sequence[Sequence[float]]) -> None:
    """Line, intervals and markers of a series."""
    line = [(one.log_bytes(point), height) for point, height in placed]
    if len(line) > 1:
        joined = " ".join(f"{plot.x(x)},{plot.y(y)}" for x, y in line)
        dash = " stroke-dasharray='4 3'" if one.is_hollow else ""
        plot.add(
            f"<polyline points='{joined}' fill='none' stroke='{one.colour}' stroke-opacity='0.6'{dash}/>"
        )
    for (point, height), (low, high) in zip(placed, low_high, strict=True):
        plot.interval(one.log_bytes(point), low, high, one.colour)
        x, y = plot.x(one.log_bytes(point)), plot.y(height)
        plot.add(marker(one.kind, x, y, one.colour, _tip(one, point), is_hollow=one.is_hollow))


def marker(kind: Kind, x: float, y: float, colour: str, tip: str, *, is_hollow: bool = False) -> str:
    """The sign of a kind at pixels: star, circle, square, triangle or diamond."""
    corners = " ".join(f"{round(x + dx, 1)},{round(y + dy, 1)}" for dx, dy in MARKERS[kind])
    fill, stroke = ("white", colour) if is_hollow else (colour, "white")
    look = f"fill='{fill}' stroke='{stroke}'"
    return f"<polygon points='{corners}' {look}><title>{escape(tip)}</title></polygon>"


def _tip(one: Series, point: Point) -> str:
    text = f"{one.label}, {point['codec']}: {point[one.field]:.1f} bytes, {100 * point['accuracy']:.1f} %"
    leakage = point["leakage"]
    if leakage is None:
        return text
    return f"{text}, {leakage['psnr_db']:.2f} dB ({leakage['all'][leakage['attack']]['label']})"


def _name(plot: Plot, one: Series, placed: Sequence[Placed], *, decibels: bool = False) -> None:
    """Codecs by name, or by what they leak; of a file format the ends only, and nothing where it is tight."""
    if one.is_hollow or not placed:
        return
    is_codec = one.points[0]["bundle"] is not None
    last = -math.inf
    for point, height in placed if is_codec or len(placed) < 3 else (placed[0], placed[-1]):
        name = point["codec"].removeprefix(f"{one.kind}-")
        x, below = plot.x(one.log_bytes(point)), one.kind == "post-training"
        if x - last < LEAST_GAP:
            continue
        text = f"{height:.1f}" if decibels and is_codec else name
        plot.text(x, plot.y(height) + (20 if below else -12), text, anchor="middle", colour=one.colour)
        last = x


def _legend(plot: Plot, series: Sequence[Series]) -> None:
    for number, one in enumerate(series):
        y = plot.top + 10 + number * LINE_HEIGHT
        plot.add(marker(one.kind, plot.right + 26, y - 4, one.colour, one.label, is_hollow=one.is_hollow))
        plot.text(plot.right + 40, y, one.label)

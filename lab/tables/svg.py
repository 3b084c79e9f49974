"""A small SVG plot: two axes, points, lines and boxes. The same figures give the same text.

Colours are those of Okabe and Ito (2008), which remain apart for colour-blind readers; a white ground keeps
them legible on dark pages.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
FONT = "font-family='Helvetica,Arial,DejaVu Sans,sans-serif'"
LETTER_WIDTH = 6.4


@dataclass(frozen=True)
class Box:
    """Five numbers of a distribution, for a box with whiskers."""

    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Round numbers that span an interval.

    Example:
        >>> ticks(0.3, 9.2)
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    span = high - low
    if span < 1e-6 * max(1.0, abs(low)):
        span = 1.0
    raw = span / max(1, wanted - 1)
    power: float = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * k, 10) for k in range(first, max(last, first + 1) + 1)]


def number_text(value: float) -> str:
    """A tick's label.

    Example:
        >>> number_text(20.0), number_text(0.25)
        ('20', '0.25')
    """
    return f"{value:g}"


class Plot:
    """One pair of axes. Data coordinates in; ``svg`` gives the document."""

    def __init__(
        self,
        size: tuple[int, int],
        margins: tuple[int, int, int, int],
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        title: str,
    ) -> None:
        """``margins`` are left, top, right and bottom, in pixels."""
        self.width, self.height = size
        self.left, self.top, right, bottom = margins
        self.right, self.bottom = self.width - right, self.height - bottom
        self.x_range, self.y_range = x_range, y_range
        self.title = title
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self.x_range
        return round(self.left + (value - low) / (high - low) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self.y_range
        return round(self.bottom - (value - low) / (high - low) * (self.bottom - self.top), 1)

    def panel(
        self, top: float, bottom: float, x_range: tuple[float, float], y_range: tuple[float, float]
    ) -> "Plot":
        """Another pair of axes in the same picture, between two heights in pixels."""
        made = copy.copy(self)
        made.top, made.bottom, made.x_range, made.y_range = int(top), int(bottom), x_range, y_range
        return made

    def add(self, element: str) -> None:
        """Append an element as it stands."""
        self._parts.append(element)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "start",
        colour: str = "#222",
        turn: bool = False,
    ) -> None:
        """Text at pixels, with a white halo where it crosses lines."""
        x, y = round(x, 1), round(y, 1)
        look = f"text-anchor='{anchor}' fill='{colour}' paint-order='stroke' stroke='white' stroke-width='3'"
        rotated = f" transform='rotate(-90 {x} {y})'" if turn else ""
        self.add(f"<text x='{x}' y='{y}' {look}{rotated}>{escape(text)}</text>")

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str = "#ccc", *, dashed: bool = False
    ) -> None:
        """A straight line between pixels."""
        x1, y1, x2, y2 = (round(value, 1) for value in (x1, y1, x2, y2))
        dash = " stroke-dasharray='5 4'" if dashed else ""
        self.add(f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='{colour}'{dash}/>")

    def x_axis(self, label: str, values: Sequence[float]) -> None:
        """Grid lines, numbers and a name."""
        for value in values:
            self.line(self.x(value), self.top, self.x(value), self.bottom, "#e5e5e5")
            self.text(self.x(value), self.bottom + 18, number_text(value), anchor="middle")
        self.line(self.left, self.bottom, self.right, self.bottom, "#444")
        self.text((self.left + self.right) / 2, self.bottom + 38, label, anchor="middle")

    def y_axis(self, label: str, values: Sequence[float]) -> None:
        """Grid lines, numbers and a name."""
        for value in values:
            self.line(self.left, self.y(value), self.right, self.y(value), "#e5e5e5")
            self.text(self.left - 8, self.y(value) + 4, number_text(value), anchor="end")
        self.line(self.left, self.top, self.left, self.bottom, "#444")
        self.text(18, (self.top + self.bottom) / 2, label, anchor="middle", turn=True)

    def point(self, x: float, y: float, colour: str, tip: str, *, radius: float = 5) -> None:
        """A dot at data coordinates, with a tip for the mouse."""
        self.add(
            f"<circle cx='{self.x(x)}' cy='{self.y(y)}' r='{radius}' fill='{colour}' stroke='white'>"
            f"<title>{escape(tip)}</title></circle>"
        )

    def interval(self, x: float, low: float, high: float, colour: str) -> None:
        """An upright bar between two values."""
        self.line(self.x(x), self.y(low), self.x(x), self.y(high), colour)

    def polyline(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """Data coordinates joined."""
        joined = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)
        self.add(f"<polyline points='{joined}' fill='none' stroke='{colour}' stroke-width='2'/>")

    def box(self, y_pixel: float, box: Box, colour: str, tip: str) -> None:
        """A horizontal box with whiskers at a height in pixels."""
        left, right = self.x(box.quarter), self.x(box.three_quarters)
        self.line(self.x(box.low), y_pixel, self.x(box.high), y_pixel, "#444")
        self.add(
            f"<rect x='{left}' y='{y_pixel - 7}' width='{round(max(right - left, 1), 1)}' height='14' "
            f"fill='{colour}' fill-opacity='0.55' stroke='#444'><title>{escape(tip)}</title></rect>"
        )
        self.line(self.x(box.median), y_pixel - 7, self.x(box.median), y_pixel + 7, "#000")

    def bar(self, x1: float, x2: float, y_pixel: float, height: float, colour: str, tip: str) -> None:
        """A horizontal bar between two values, its upper edge at a height in pixels."""
        left, right = self.x(x1), self.x(x2)
        self.add(
            f"<rect x='{left}' y='{round(y_pixel, 1)}' width='{round(right - left, 1)}' height='{height}' "
            f"fill='{colour}'><title>{escape(tip)}</title></rect>"
        )

    def svg(self) -> str:
        """The document."""
        head = (
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{self.width}' height='{self.height}' "
            f"viewBox='0 0 {self.width} {self.height}' role='img' {FONT} font-size='12'>"
        )
        ground = f"<rect width='{self.width}' height='{self.height}' fill='white'/>"
        title = f"<title>{escape(self.title)}</title>"
        return "\n".join((head, title, ground, *self._parts, "</svg>")) + "\n"


def spread_labels(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights as near as possible to those wanted, at least ``gap`` apart, within bounds where they fit.

    Example:
        >>> spread_labels([10.0, 11.0, 50.0], 14.0, 0.0, 100.0)
        [3.5, 17.5, 50.0]
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    clusters: list[list[int]] = []
    for index in order:
        clusters.append([index])
        while len(clusters) > 1 and _start(clusters[-1], wanted, gap, low, high) < _end(
            clusters[-2], wanted, gap, low, high
        ):
            last = clusters.pop()
            clusters[-1] += last
    places = [0.0] * len(wanted)
    for cluster in clusters:
        start = _start(cluster, wanted, gap, low, high)
        for position, index in enumerate(cluster):
            places[index] = start + position * gap
    return places


def _start(cluster: Sequence[int], wanted: Sequence[float], gap: float, low: float, high: float) -> float:
    middle = sum(wanted[index] for index in cluster) / len(cluster)
    extent = gap * (len(cluster) - 1)
    return max(low, min(middle - extent / 2, high - extent))


def _end(cluster: Sequence[int], wanted: Sequence[float], gap: float, low: float, high: float) -> float:
    return _start(cluster, wanted, gap, low, high) + gap * len(cluster)

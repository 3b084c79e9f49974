"""Charts as inline SVG: no script, colours from the page's style sheet, words for screen readers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH = 720


@dataclass(frozen=True)
class Bar:
    """A line of the comparison: mean with interval, and the mean of the worst 1 %."""

    label: str
    mean: float
    low: float
    high: float
    worst: float
    is_strongest: bool = False
    is_paper: bool = False


def _document(width: float, height: float, label: str, body: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label, quote=True)}">'
        f"<title>{escape(label)}</title>{''.join(body)}</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def nice_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers from within a range.

    Example:
        >>> nice_ticks(0, 10, 5)
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    rough = max(high - low, 1e-9) / count
    power = 10 ** np.floor(np.log10(rough))
    step = float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough))
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [round(step * index, 9) for index in range(first, last + 1)]


@dataclass(frozen=True)
class Scale:
    """A linear axis from values to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Position in pixels."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def spread_labels(wanted: Mapping[str, float], least: float, last: float) -> dict[str, float]:
    """Positions near the wanted ones that keep a distance and end at ``last``.

    Example:
        >>> spread_labels({"b": 95.0, "a": 90.0}, 20, 100)
        {'b': 95.0, 'a': 75.0}
    """
    placed: dict[str, float] = {}
    limit = last
    for name, x in sorted(wanted.items(), key=lambda item: -item[1]):
        placed[name] = min(x, limit)
        limit = placed[name] - least
    return placed


def comparison_chart(bars: Sequence[Bar], references: Mapping[str, float]) -> str:
    """One line per attack: mean PSNR with interval, worst 1 %; the reference rows as dashed lines."""
    left, row, top = 190.0, 30.0, 46.0
    bottom = top + row * len(bars)
    values = [value for bar in bars for value in (bar.mean, bar.low, bar.worst)] + list(references.values())
    scale = Scale(min(values) - 1, max(values) + 1, left, WIDTH - 16)
    body: list[str] = []
    for tick in nice_ticks(scale.low, scale.high):
        x = scale(tick)
        body += [_line(x, top - 4, x, bottom, "grid"), _text(x, bottom + 16, f"{tick:g}", "tick", "middle")]
    body.append(_text(WIDTH - 16, bottom + 32, "PSNR in dB; further right is more leak", "axis", "end"))
    labels = spread_labels({name: scale(value) for name, value in references.items()}, 98, WIDTH - 42)
    for name, value in references.items():
        x = scale(value)
        body += [
            _line(x, top - 8, x, bottom, "reference"),
            _line(x, top - 8, labels[name], top - 20, "reference"),
            _text(labels[name], top - 26, name, "mark", "middle"),
        ]
    for index, bar in enumerate(bars):
        y = top + row * (index + 0.5)
        kind = "strong" if bar.is_strongest else "paper" if bar.is_paper else "plain"
        body += [
            _text(left - 12, y + 4, bar.label, f"row {kind}", "end"),
            _line(scale(bar.mean), y, scale(bar.worst), y, "reach"),
            _line(scale(bar.low), y, scale(bar.high), y, f"interval {kind}"),
            f'<circle cx="{scale(bar.mean):.1f}" cy="{y:.1f}" r="5" class="dot {kind}"/>',
            f'<circle cx="{scale(bar.worst):.1f}" cy="{y:.1f}" r="4" class="ring {kind}"/>',
        ]
    spoken = ", ".join(f"{bar.label} {bar.mean:.1f} dB" for bar in bars)
    return _document(WIDTH, bottom + 40, f"Mean PSNR of the attacks: {spoken}", body)


def histogram(values_N: Sequence[float], references: Mapping[str, float], label: str) -> str:
    """How PSNR spreads over the pictures, with the reference rows as lines."""
    left, top, base = 44.0, 46.0, 200.0
    low = min(*values_N, *references.values()) - 0.5
    high = max(*values_N, *references.values()) + 0.5
    counts, edges = np.histogram(values_N, bins=min(36, max(8, len(values_N) // 4)), range=(low, high))
    across = Scale(low, high, left, WIDTH - 16)
    up = Scale(0, max(int(counts.max()), 1), base, top)
    body: list[str] = []
    for tick in nice_ticks(0, up.high, 3):
        body += [
            _line(left, up(tick), WIDTH - 16, up(tick), "grid"),
            _text(left - 8, up(tick) + 4, f"{tick:g}", "tick", "end"),
        ]
    for count, start, stop in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            body.append(
                f'<rect x="{across(start) + 0.5:.1f}" y="{up(count):.1f}" class="bin" '
                f'width="{across(stop) - across(start) - 1:.1f}" height="{base - up(count):.1f}"/>'
            )
    placed = spread_labels({name: across(value) for name, value in references.items()}, 98, WIDTH - 42)
    for name, value in references.items():
        body += [
            _line(across(value), top - 8, across(value), base, "reference"),
            _line(across(value), top - 8, placed[name], top - 20, "reference"),
            _text(placed[name], top - 26, name, "mark", "middle"),
        ]
    for tick in nice_ticks(low, high):
        body.append(_text(across(tick), base + 16, f"{tick:g}", "tick", "middle"))
    body += [
        _line(left, base, WIDTH - 16, base, "floor"),
        _text(WIDTH - 16, base + 32, "PSNR of single pictures in dB", "axis", "end"),
        _text(0, top - 14, "pictures", "axis"),
    ]
    return _document(WIDTH, base + 40, label, body)


def curves(
    lines: Mapping[str, Sequence[float]], *, across: str, upward: str, logarithmic: bool = False
) -> str:
    """Curves over the course of each attack, every one stretched over the whole width.

    Args:
        lines: Values by label; a logarithmic axis leaves out values that are not positive.
        across: Name of the horizontal axis.
        upward: Name of the vertical axis.
        logarithmic: Draw the values' decimal logarithm.
    """
    left, top, base = 64.0, 26.0, 220.0
    drawn = {name: _points(values, logarithmic) for name, values in lines.items()}
    levels = [level for points in drawn.values() for _, level in points]
    low, high = min(levels), max(levels)
    margin = 0.06 * max(high - low, 0.1)
    up = Scale(low - margin, high + margin, base, top)
    along = Scale(0, 1, left, WIDTH - 16)
    body: list[str] = []
    for tick in nice_ticks(up.low, up.high, 4):
        shown = f"{10**tick:.2g}" if logarithmic else f"{tick:g}"
        body += [
            _line(left, up(tick), WIDTH - 16, up(tick), "grid"),
            _text(left - 8, up(tick) + 4, shown, "tick", "end"),
        ]
    for index, points in enumerate(drawn.values()):
        path = " ".join(f"{along(x):.1f},{up(level):.1f}" for x, level in points)
        body.append(f'<polyline points="{path}" class="curve series-{index % 6}"/>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        body.append(_text(along(share), base + 16, f"{share:.0%}", "tick", "middle"))
    body += [
        _line(left, base, WIDTH - 16, base, "floor"),
        _text(WIDTH - 16, base + 32, across, "axis", "end"),
        _text(left, top - 10, upward, "axis"),
    ]
    return _document(WIDTH, base + 40, f"{upward}: {', '.join(lines)}", body)


def _points(values: Sequence[float], logarithmic: bool) -> list[tuple[float, float]]:
    last = max(len(values) - 1, 1)
    kept = [
        (index / last, float(value)) for index, value in enumerate(values) if value > 0 or not logarithmic
    ]
    return [(x, float(np.log10(value)) if logarithmic else value) for x, value in kept]

"""Drawings inside an audit's report, in the page's own colours, light or dark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from siftfunnel.lab.reports.bars import label_rows, upright_levels
from siftfunnel.lab.reports.charts import Panel, Point, Series, draw_panel
from siftfunnel.lab.reports.sheet import FAINT, INK, PAPER, RULE, SOFT, Sheet, number_axis

ACCENT, COOL, GOOD, BIN = "#9a3412", "#1f5f8b", "#2f6b3a", "#c9b8a5"
THEME = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    FAINT: "var(--faint)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    ACCENT: "var(--accent)",
    COOL: "var(--cool)",
    GOOD: "var(--good)",
    BIN: "var(--bin)",
}
"""What the page's style sheet calls these colours."""
SERIES = (ACCENT, COOL, GOOD, "#8a6bb8", "#b08b1e", FAINT)
"""Colours of curves, which the page's legends share by ``series-0`` and so on."""
_WIDTH = 500.0


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

    @property
    def colour(self) -> str:
        """The strongest stands out, what repeats the paper stands back."""
        return ACCENT if self.is_strongest else FAINT if self.is_paper else INK


def comparison_chart(bars: Sequence[Bar], references: Mapping[str, float]) -> str:
    """One line per attack: mean PSNR with interval, worst 1 %; the reference rows as dashed lines."""
    spoken = ", ".join(f"{bar.label} {bar.mean:.1f} dB" for bar in bars)
    sheet = Sheet(f"Mean PSNR of the attacks: {spoken}", [28.0 * len(bars)], _WIDTH, theme=THEME)
    (axes,) = sheet.axes
    label_rows(axes, [bar.label for bar in bars], [bar.colour for bar in bars])
    ends = [end for bar in bars for end in (bar.mean, bar.low, bar.worst)]
    number_axis(axes, "x", [*ends, *references.values()], "PSNR in dB; further right is more leak")
    upright_levels(sheet, axes, references, COOL)
    for place, bar in enumerate(bars):
        axes.hlines(place, bar.mean, bar.worst, color=FAINT, linewidth=1.2)
        axes.hlines(place, bar.low, bar.high, color=bar.colour, linewidth=5, alpha=0.35)
        axes.plot(bar.mean, place, "o", color=bar.colour, markersize=9)
        axes.plot(
            bar.worst, place, "o", markersize=8, markerfacecolor=PAPER, markeredgecolor=bar.colour, mew=1.5
        )
    return sheet.svg()


def histogram(values_N: Sequence[float], references: Mapping[str, float], label: str) -> str:
    """How PSNR spreads over the pictures, with the reference rows as lines."""
    sheet = Sheet(label, [150.0], _WIDTH, theme=THEME)
    (axes,) = sheet.axes
    ends = (min(*values_N, *references.values()) - 0.5, max(*values_N, *references.values()) + 0.5)
    counts, edges = np.histogram(values_N, bins=min(36, max(8, len(values_N) // 4)), range=ends)
    number_axis(axes, "x", ends, "PSNR of single pictures in dB")
    number_axis(axes, "y", [0.0, float(counts.max())], "pictures")
    upright_levels(sheet, axes, references, COOL)
    for count, start, stop in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            (bar,) = axes.bar(start, count, 0.94 * (stop - start), align="edge", color=BIN)
            sheet.tip(bar, f"{start:.1f} to {stop:.1f} dB: {count} pictures")
    return sheet.svg()


def curves(
    lines: Mapping[str, Sequence[float]], *, across: str, upward: str, logarithmic: bool = False
) -> str:
    """Curves over the course of each attack, every one stretched over the whole width.

    Args:
        lines: Values by label; a logarithmic axis leaves out values that are not positive.
        across: Name of the horizontal axis.
        upward: Name of the vertical axis.
        logarithmic: Whether that is logarithmic.
    """
    series = [
        Series("", SERIES[index % len(SERIES)], _stretched(values, logarithmic))
        for index, values in enumerate(lines.values())
    ]
    sheet = Sheet(f"{upward}: {', '.join(lines)}", [180.0], _WIDTH, theme=THEME)
    draw_panel(sheet, sheet.axes[0], Panel(f"{across}, %", upward, series, log_y=logarithmic))
    return sheet.svg()


def _stretched(values: Sequence[float], logarithmic: bool) -> tuple[Point, ...]:
    last = max(len(values) - 1, 1)
    return tuple(
        Point(100 * index / last, float(value), "", size=0)
        for index, value in enumerate(values)
        if value > 0 or not logarithmic
    )

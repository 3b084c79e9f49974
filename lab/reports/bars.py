"""Rows along one axis: stacked bars, bars of ratios, boxes of distributions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from siftfunnel.lab.reports.sheet import COLOURS, INK, LETTER, SOFT, Sheet, number_axis, spread

ROW = 20.0
"""Pixels from row to row."""


def label_rows(axes: Axes, labels: Sequence[str], colours: Sequence[str] | None = None) -> None:
    """Name the rows 0, 1, ... from the top; nothing else stands on the upright axis."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), list(labels))
    for text, colour in zip(axes.get_yticklabels(), colours or [INK] * len(labels), strict=True):
        text.set_color(colour)
        text.set_parse_math(False)


@dataclass(frozen=True)
class Stack:
    """One row of stacked parts.

    Attributes:
        label: Left of it.
        parts: Lengths by what they are of; those of 0 or None are not drawn.
        mark: Where a black mark stands.
        told: Right of it.
    """

    label: str
    parts: Mapping[str, float | None]
    mark: float
    told: str


def stacked_bars(
    title: str,
    panels: Sequence[tuple[str, Sequence[Stack]]],
    colours: Mapping[str, str],
    unit: str,
    told: str,
) -> str:
    """Panels of stacked bars, each with a scale of its own, as SVG.

    Args:
        title: Above all.
        panels: What heads each, and its rows.
        colours: Of the parts, in the order of the legend.
        unit: Of the lengths.
        told: What stands right of the rows.
    """
    sheet = Sheet(title, [ROW * len(rows) for _, rows in panels], 480.0, gap=64.0)
    for axes, (heading, rows) in zip(sheet.axes, panels, strict=True):
        label_rows(axes, [row.label for row in rows])
        ends = [end for row in rows for end in (row.mark, sum(part or 0.0 for part in row.parts.values()))]
        number_axis(axes, "x", [0.0, *ends], "")
        for place, row in enumerate(rows):
            _stack(sheet, axes, place, row, colours, unit)
        sheet.text(axes, (0, 1), heading, (0, 8), at="axes fraction")
        sheet.text(axes, (1, 1), told, (14, 8), at="axes fraction", colour=SOFT)
        sheet.text(axes, (0, 0), unit, (-8, -12), at="axes fraction", align="right")
    sheet.head(78.0)
    sheet.axes[0].legend(
        handles=[Patch(facecolor=colour, edgecolor=SOFT, linewidth=0.5) for colour in colours.values()],
        labels=list(colours),
        loc="lower left",
        bbox_to_anchor=(0, 1, 0, 0),
        bbox_transform=sheet.axes[0].transAxes,
        borderaxespad=2.4,
        ncols=5,
        frameon=False,
        fontsize=LETTER,
        labelcolor=INK,
        handlelength=1.2,
        columnspacing=1.4,
        borderpad=0,
    )
    return sheet.svg()


def _stack(sheet: Sheet, axes: Axes, place: int, row: Stack, colours: Mapping[str, str], unit: str) -> None:
    start = 0.0
    for name, length in row.parts.items():
        if length:
            (bar,) = axes.barh(place, length, 0.65, left=start, color=colours[name])
            sheet.tip(bar, f"{row.label}, {name}: {length:,.2f} {unit}")
            start += length
    axes.plot(row.mark, place, "|", color="#000000", markersize=15, markeredgewidth=2, clip_on=False)
    sheet.text(axes, (1, place), row.told, (14, 0), at=("axes fraction", "data"))


def ratio_bars(title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Bars of ratios in groups, a dashed line at 1, as SVG.

    Args:
        title: Above the bars.
        groups: Group to name to ratio.
        unit: What a ratio is of, below the axis.
    """
    labels = [label for group, members in groups.items() for label in (f"{group}:", *members)]
    sheet = Sheet(title, [ROW * len(labels)], 480.0)
    (axes,) = sheet.axes
    label_rows(axes, labels)
    ratios = [ratio for group in groups.values() for ratio in group.values()]
    number_axis(axes, "x", [0.0, 1.0, *ratios], unit)
    top = 0
    for number, (group, members) in enumerate(groups.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.get_yticklabels()[top].set(color=colour, weight="bold")
        for place, (name, ratio) in enumerate(members.items(), top + 1):
            (bar,) = axes.barh(place, ratio, 0.65, color=colour)
            sheet.tip(bar, f"{group}, {name}: {ratio:.3f}")
            sheet.text(axes, (ratio, place), f"{ratio:.2f}", (6, 0))
        top += 1 + len(members)
    axes.axvline(1.0, color=SOFT, linewidth=1, dashes=(5, 4))
    sheet.head()
    return sheet.svg()


@dataclass(frozen=True)
class Spread:
    """One row of a distribution: its label, its colour and its values."""

    label: str
    colour: str
    values: Sequence[float]


def boxes(title: str, label: str, rows: Sequence[Spread]) -> str:
    """Boxes from quartile to quartile, whiskers from the 5th to the 95th percentile, a ring at the most."""
    sheet = Sheet(title, [26.0 * len(rows)], 520.0)
    (axes,) = sheet.axes
    label_rows(axes, [row.label for row in rows], [row.colour for row in rows])
    number_axis(axes, "x", [value for row in rows for value in row.values], label)
    drawn = axes.boxplot(
        [row.values for row in rows],
        positions=range(len(rows)),
        orientation="horizontal",
        whis=(5, 95),
        widths=0.5,
        showfliers=False,
        showcaps=False,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"color": "#000000"},
        whiskerprops={"color": SOFT},
        boxprops={"edgecolor": SOFT, "alpha": 0.6},
    )
    for place, (row, box) in enumerate(zip(rows, drawn["boxes"], strict=True)):
        box.set_facecolor(row.colour)
        most, middle = max(row.values), float(np.median(row.values))
        sheet.tip(box, f"{row.label}: median {middle:.2f} dB, worst picture {most:.2f} dB")
        axes.plot(most, place, "o", markersize=6, markerfacecolor="none", markeredgecolor=SOFT)
    sheet.head()
    return sheet.svg()


def upright_levels(sheet: Sheet, axes: Axes, levels: Mapping[str, float], colour: str) -> None:
    """Dashed lines at values along the axis; their names stand above, apart from one another."""
    low, high = (float(end) for end in axes.transAxes.transform([(0, 0), (1, 1)])[:, 0])
    wanted = [float(axes.transData.transform((value, 0))[0]) for value in levels.values()]
    widest = 0.62 * LETTER * max(map(len, levels))
    for (name, value), place in zip(
        levels.items(), spread(wanted, widest, low, high - widest / 2), strict=True
    ):
        axes.axvline(value, color=colour, linewidth=1, dashes=(3, 3))
        axes.annotate(
            name,
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=((place - low) / (high - low), 1 + 18 / (axes.bbox.height)),
            textcoords="axes fraction",
            color=colour,
            size=LETTER,
            ha="center",
            va="bottom",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 1, "linestyle": (0, (3, 3))},
        )

"""Lines over numbers: points with their intervals, joined to series whose names stand at their right end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes

from siftfunnel.lab.reports.sheet import FAINT, INK, LETTER, LINE, PAPER, Sheet, number_axis, spread


@dataclass(frozen=True)
class Point:
    """One measured place.

    Attributes:
        x, y: Where.
        tip: What the mouse is told.
        interval: Lower and upper end of an upright bar, or None.
        mark: Stands above it.
        size: Of the dot, in pixels across.
    """

    x: float
    y: float
    tip: str
    interval: tuple[float, float] | None = None
    mark: str = ""
    size: float = 8.0


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes:
        name: Stands right of the axes; empty where a legend names it.
        colour: Of all.
        points: In the order in which they are joined.
        is_joined: Whether by a line.
    """

    name: str
    colour: str
    points: tuple[Point, ...]
    is_joined: bool = True


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        x, y: What the axes are called.
        series: What is drawn.
        log_x, log_y: Whether an axis is logarithmic.
        levels: Dashed level lines, by name.
        x_names: Instead of numbers, names of the places 0, 1, ...
        x_reaches: Values that the horizontal axis reaches besides those of its points.
    """

    x: str
    y: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False
    levels: Mapping[str, float] = field(default_factory=dict)
    x_names: Sequence[str] = ()
    x_reaches: Sequence[float] = ()


def lines(title: str, panels: Sequence[Panel], size: tuple[float, float] = (520.0, 340.0)) -> str:
    """Panels one below the other as SVG.

    Args:
        title: Above them.
        panels: One or more, each with a point at least.
        size: Of each, in pixels, without what stands around it.
    """
    sheet = Sheet(title, [size[1]] * len(panels), size[0])
    for axes, panel in zip(sheet.axes, panels, strict=True):
        draw_panel(sheet, axes, panel)
    sheet.head()
    return sheet.svg()


def draw_panel(sheet: Sheet, axes: Axes, panel: Panel) -> None:
    """One panel on axes of a sheet."""
    points = [point for series in panel.series for point in series.points]
    ends = [end for point in points for end in (point.y, *(point.interval or ()))]
    number_axis(axes, "y", [*ends, *panel.levels.values()], panel.y, log=panel.log_y)
    if panel.x_names:
        axes.set_xticks(range(len(panel.x_names)), list(panel.x_names), color=INK)
        axes.set_xlim(-0.3, len(panel.x_names) - 0.7)
    else:
        number_axis(axes, "x", [*panel.x_reaches, *(point.x for point in points)], panel.x, log=panel.log_x)
    for name, level in panel.levels.items():
        axes.axhline(level, color=FAINT, linewidth=1, dashes=(5, 4))
        sheet.text(axes, (0, level), name, (6, 2), at=("axes fraction", "data"), colour=FAINT)
    for series in panel.series:
        _draw_series(sheet, axes, series)
    _name_ends(sheet, axes, [series for series in panel.series if series.name])


def _draw_series(sheet: Sheet, axes: Axes, series: Series) -> None:
    if series.is_joined and len(series.points) > 1:
        axes.plot(
            [point.x for point in series.points],
            [point.y for point in series.points],
            color=series.colour,
            linewidth=1.8,
        )
    for point in series.points:
        if point.interval is not None:
            axes.vlines(point.x, *point.interval, color=series.colour, linewidth=1)
        if point.size:
            (dot,) = axes.plot(
                point.x,
                point.y,
                "o",
                color=series.colour,
                markersize=point.size,
                markeredgecolor=PAPER,
                clip_on=False,
            )
            sheet.tip(dot, point.tip)
        if point.mark:
            top = (point.x, max(point.y, *(point.interval or (point.y,))))
            sheet.text(axes, top, point.mark, (0, 3), colour=series.colour, align="center")


def _name_ends(sheet: Sheet, axes: Axes, named: Sequence[Series]) -> None:
    """Names right of the axes, as near to their series' last point as they go without touching."""
    if not named:
        return
    (_, low), (_, high) = axes.transAxes.transform([(0, 0), (1, 1)])
    ends = [(series.points[-1].x, series.points[-1].y) for series in named]
    wanted = [float(axes.transData.transform(end)[1]) for end in ends]
    for series, end, place in zip(named, ends, spread(wanted, LINE, low, high), strict=True):
        axes.annotate(
            series.name,
            end,
            xytext=(1 + 16 / sheet.width, (place - low) / (high - low)),
            textcoords="axes fraction",
            color=series.colour,
            size=LETTER,
            va="center",
            annotation_clip=False,
            parse_math=False,
            arrowprops={
                "arrowstyle": "-",
                "color": "#cccccc",
                "linewidth": 0.8,
                "relpos": (0, 0.5),
                "shrinkB": 3,
            },
        )

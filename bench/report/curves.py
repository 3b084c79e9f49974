"""Drawing: throughput against streams, from any JSON that holds such points."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from siftfunnel.lab.tables.cells import Drawing
from siftfunnel.lab.tables.svg import COLOURS, LETTER_WIDTH, Plot, spread_labels, ticks

Curves = dict[str, list[tuple[float, float]]]


def curves_in(value: object, x: str, y: str) -> Curves:
    """Every series of objects that have a number under ``x`` and one under ``y``.

    A series is named by the keys that lead to its list and by the words in its objects, so that two engines
    in one list are two series. Points stand in the order of ``x``.

    Example:
        >>> curves_in({"null": [{"streams": 2, "fps": 9}, {"streams": 1, "fps": 5}]}, "streams", "fps")
        {'null': [(1.0, 5.0), (2.0, 9.0)]}
    """
    found: Curves = {}
    _walk(value, (), x, y, found)
    return {name: sorted(points) for name, points in found.items() if len(points) > 1}


def _walk(value: object, path: tuple[str, ...], x: str, y: str, found: Curves) -> None:
    if isinstance(value, Mapping):
        if _is_number(value.get(x)) and _is_number(value.get(y)):
            words = [str(each) for each in value.values() if isinstance(each, str)]
            name = " ".join([*path, *words]).replace("_", " ") or y.replace("_", " ")
            found.setdefault(name, []).append((float(value[x]), float(value[y])))
        for key, each in value.items():
            _walk(each, (*path, str(key)), x, y, found)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            _walk(each, path, x, y, found)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    )


def throughput_drawing(document: Mapping[str, Any]) -> Drawing | None:
    """Frames per second against the number of streams, both logarithmic; None without a series."""
    body = {key: value for key, value in document.items() if key != "provenance"}
    curves = curves_in(body, "streams", "frames_per_s")
    if not curves:
        return None
    title = "Throughput against streams"
    svg = _curves_svg(curves, title, "streams", "frames per second")
    return Drawing(
        "throughput.svg", "Answered frames per second as streams grow; both axes logarithmic.", svg
    )


def _curves_svg(curves: Curves, title: str, x_label: str, y_label: str) -> str:
    xs = sorted({x for curve in curves.values() for x, _ in curve})
    y_marks = _decades([y for curve in curves.values() for _, y in curve])
    x_range = (math.log10(xs[0]), math.log10(max(xs[-1], xs[0] * 2)))
    y_range = (math.log10(y_marks[0]), math.log10(y_marks[-1]))
    right = round(LETTER_WIDTH * max(map(len, curves))) + 40
    plot = Plot((480 + right, 400), (72, 40, right, 60), x_range, y_range, title)
    plot.text(20, 22, title)
    _log_axes(plot, _apart(plot, xs), y_marks, x_label, y_label)
    ends = spread_labels([plot.y(math.log10(c[-1][1])) for c in curves.values()], 15, plot.top, plot.bottom)
    for number, ((name, curve), end) in enumerate(zip(curves.items(), ends, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        drawn = [(math.log10(x), math.log10(y)) for x, y in curve]
        plot.polyline(drawn, colour)
        for (x, y), (streams, speed) in zip(drawn, curve, strict=True):
            plot.point(x, y, colour, f"{name}, {streams:,.0f} streams: {speed:,.1f} a second", radius=4)
        last_x, last_y = drawn[-1]
        plot.line(plot.x(last_x), plot.y(last_y), plot.right + 10, end, "#ccc")
        plot.text(plot.right + 14, end + 4, name, colour=colour)
    return plot.svg()


def _log_axes(plot: Plot, xs: Sequence[float], y_marks: Sequence[float], x_label: str, y_label: str) -> None:
    for mark in xs:
        place = plot.x(math.log10(mark))
        plot.line(place, plot.top, place, plot.bottom, "#e5e5e5")
        plot.text(place, plot.bottom + 18, f"{mark:,.0f}", anchor="middle")
    for mark in y_marks:
        place = plot.y(math.log10(mark))
        plot.line(plot.left, place, plot.right, place, "#e5e5e5")
        plot.text(plot.left - 8, place + 4, f"{mark:,g}", anchor="end")
    plot.line(plot.left, plot.bottom, plot.right, plot.bottom, "#444")
    plot.line(plot.left, plot.top, plot.left, plot.bottom, "#444")
    plot.text((plot.left + plot.right) / 2, plot.bottom + 40, x_label, anchor="middle")
    plot.text(18, (plot.top + plot.bottom) / 2, y_label, anchor="middle", turn=True)


def _apart(plot: Plot, xs: Sequence[float]) -> list[float]:
    """Those of the values whose labels have room beside one another."""
    kept: list[float] = []
    for x in xs:
        if not kept or plot.x(math.log10(x)) - plot.x(math.log10(kept[-1])) > 36:
            kept.append(x)
    return kept


def _decades(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 of every power of ten around some values."""
    low, high = min(values), max(values)
    steps = [place * 10.0**power for power in range(-3, 10) for place in (1, 2, 5)]
    first = max(step for step in steps if step <= low)
    last = min(step for step in steps if step >= high and step > first)
    return [step for step in steps if first <= step <= last]


def ratio_svg(ratios: Mapping[str, Mapping[str, float]], title: str, unit: str) -> str:
    """Bars of ratios in groups, a dashed line at 1.

    Args:
        ratios: Group to name to ratio.
        title: Above the bars.
        unit: What a ratio is of, below the axis.
    """
    every = [ratio for group in ratios.values() for ratio in group.values()]
    marks = ticks(0.0, max([1.0, *every]))
    names = [name for group in ratios.values() for name in group]
    left = round(LETTER_WIDTH * max(map(len, names))) + 30
    rows = sum(len(group) for group in ratios.values())
    height = 50 + 20 * rows + 34 * len(ratios) + 60
    plot = Plot((left + 480, height), (left, 40, 70, 60), (0.0, marks[-1]), (0, 1), title)
    plot.text(20, 22, title)
    plot.x_axis(unit, marks)
    _ratio_rows(plot, ratios)
    plot.line(plot.x(1.0), plot.top, plot.x(1.0), plot.bottom, "#444", dashed=True)
    return plot.svg()


def _ratio_rows(plot: Plot, ratios: Mapping[str, Mapping[str, float]]) -> None:
    y = float(plot.top)
    for number, (group, members) in enumerate(ratios.items()):
        plot.text(16, y + 20, group, colour="#000")
        y += 30
        for name, ratio in members.items():
            plot.text(plot.left - 8, y + 11, name, anchor="end")
            plot.bar(0.0, ratio, y, 13, COLOURS[number % len(COLOURS)], f"{group}, {name}: {ratio:.3f}")
            plot.text(plot.x(ratio) + 6, y + 11, f"{ratio:.2f}")
            y += 20
        y += 4

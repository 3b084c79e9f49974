"""Drawing: throughput against streams, from any JSON that holds such points."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from siftfunnel.lab.reports.charts import Panel, Point, Series, lines
from siftfunnel.lab.reports.sheet import COLOURS
from siftfunnel.lab.reports.table import Drawing

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
    series = [
        Series(name, COLOURS[number % len(COLOURS)], tuple(_point(name, *each) for each in curve))
        for number, (name, curve) in enumerate(curves.items())
    ]
    panel = Panel("streams", "frames per second", series, log_x=True, log_y=True)
    caption = "Answered frames per second as streams grow; both axes logarithmic."
    return Drawing("throughput.svg", caption, lines("Throughput against streams", [panel], (440, 300)))


def _point(name: str, streams: float, speed: float) -> Point:
    return Point(streams, speed, f"{name}, {streams:,.0f} streams: {speed:,.1f} a second")

"""The front of accuracy, bytes and leakage: a table, and a drawing of two panels over the same bytes."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from siftfunnel.bench.report.naming import machine_line
from siftfunnel.bench.report.sources import Front
from siftfunnel.bench.report.tables import number
from siftfunnel.lab.tables.cells import NONE, Cell, Document, Drawing, Section, words
from siftfunnel.lab.tables.svg import COLOURS, LETTER_WIDTH, Plot, spread_labels, ticks

Point = Mapping[str, Any]
KIND_NAMES = {
    "rate-trained": "rate-trained",
    "post-training": "post-training",
    "jpeg": "JPEG of the picture",
    "webp": "WebP of the picture",
    "raw": "raw pixels",
    "jpeg-tuned": "JPEG of the picture, network trained on it",
    "webp-tuned": "WebP of the picture, network trained on it",
    "raw-tuned": "raw pixels, network trained on JPEG and WebP",
}
WIDTH, PANEL, GAP = 760, 300, 70
FLOOR = 0.15
"""Points whose accuracy lies this far below the best are not drawn: they would squeeze all others."""
TOP_DB = 45.0
"""Levels above are drawn here: to the eye that is the picture, and they would squeeze all others."""
MORE_HELPS, NOT_TRIED, OTHER_PICTURES = "↑", "?", "‡"
MARKS = {
    MORE_HELPS: "training the attack on through the codec, for as long again, gained 0.1 dB or may have",
    NOT_TRIED: "nobody tried whether a longer training of the attack gets more",
    OTHER_PICTURES: "other test pictures of the set were attacked than in most rows",
}
"""What stands beside a PSNR that is not the last word."""
_PLACES = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


def front_document(front: Front) -> Document:
    """A front as a page with its drawing."""
    dataset = str(front["dataset"])
    usual = usual_pictures(front["points"])
    points = sorted(front["points"], key=lambda point: (series_of(point), -point["payload_bytes_mean"]))
    columns = (
        "what is sent",
        "codec",
        "payload, bytes",
        "99 %",
        "most",
        "of the fp32 feature",
        "accuracy",
        "of a network trained on such files",
        "leakage: PSNR, dB",
        "retrieved",
        "strongest attack",
    )
    rows = tuple(_row(point, usual) for point in points)
    used = {mark for point in points for mark in marks_of(point, usual)}
    notes = tuple(f"{mark} {told}." for mark, told in MARKS.items() if mark in used)
    section = Section("front", "Points", columns, rows, notes=notes)
    drawing = front_drawing(front)
    preamble = (
        f"Measured on {machine_line(front.get('provenance'))}.",
        "Payload bytes per frame, checksum included where there is one. Intervals are 95 % over pictures. "
        "A picture that is sent itself is read, not attacked: its leakage is how near it comes. The "
        "strongest attack is the one of all that were run on that codec.",
    )
    title = f"Accuracy, bytes and leakage: {dataset}"
    return Document("front", dataset, title, preamble, (section,), (drawing,) if drawing else ())


def usual_pictures(points: Sequence[Point]) -> str | None:
    """SHA-256 of the pictures that most points' strongest attacks were measured on."""
    seen = Counter(found for point in points if (found := _attacked(point)) is not None)
    return seen.most_common(1)[0][0] if seen else None


def _attacked(point: Point) -> str | None:
    leak = point.get("leakage")
    found = leak["all"].get(leak["attack"], {}).get("attacked_sha256") if leak else None
    return None if found is None else str(found)


def marks_of(point: Point, usual: str | None) -> str:
    """The ``MARKS`` that hold for a point's leakage; a picture that is read needs no training."""
    leak = point.get("leakage")
    if not leak:
        return ""
    marks = OTHER_PICTURES if _attacked(point) not in (None, usual) else ""
    if not point.get("bundle"):
        return marks
    convergence = leak.get("convergence")
    if convergence is None:
        return NOT_TRIED + marks
    return (MORE_HELPS if convergence["more_helps"] else "") + marks


def _row(point: Point, usual: str | None) -> tuple[Cell, ...]:
    full = point.get("feature_bytes_fp32")
    share = NONE
    if full:
        share = Cell(f"1/{full / point['payload_bytes_mean']:.1f}", point["payload_bytes_mean"] / full)
    return (
        words(series_of(point)),
        words(point["codec"]),
        number(point["payload_bytes_mean"], 1),
        number(point.get("payload_bytes_p99"), 0),
        number(point.get("payload_bytes_max"), 0),
        share,
        _accuracy(point),
        _accuracy(point["fine_tuned"]) if point.get("fine_tuned") else NONE,
        *_leak_cells(point, marks_of(point, usual)),
    )


def _accuracy(fields: Mapping[str, Any]) -> Cell:
    accuracy = float(fields["accuracy"])
    low, high = fields["accuracy_interval"]
    return Cell(f"{100 * accuracy:.2f} % [{100 * low:.1f}, {100 * high:.1f}]", accuracy, low, high)


def _leak_cells(point: Point, marks: str) -> tuple[Cell, Cell, Cell]:
    leak = point.get("leakage")
    if not leak:
        return NONE, NONE, NONE
    low, high = leak["psnr_interval"]
    found = leak.get("retrieved")
    return (
        Cell(f"{leak['psnr_db']:.2f} [{low:.2f}, {high:.2f}] {marks}".rstrip(), leak["psnr_db"], low, high),
        NONE if found is None else Cell(f"{found:.0%}", found),
        words(f"{leak['attack']}, {leak['pictures']:,} pictures"),
    )


def series_of(point: Point) -> str:
    """What points are joined by a line: one bundle's codecs of one kind, or one picture format."""
    kind = str(KIND_NAMES.get(point["kind"], point["kind"]))
    return kind if not point.get("bundle") else f"{point['bundle'].partition('-')[2]}, {kind}"


def front_drawing(front: Front) -> Drawing | None:
    """Accuracy above, leakage below, payload bytes across on a logarithmic scale; None below two points."""
    best = max((point["accuracy"] for point in front["points"]), default=0.0)
    points = [point for point in with_tuned(front["points"]) if point["accuracy"] >= best - FLOOR]
    if len(points) < 2:
        return None
    series: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda one: one["payload_bytes_mean"]):
        series.setdefault(series_of(point), []).append(point)
    leaks = [point for point in points if point.get("leakage")]
    dataset = front["dataset"]
    title = f"{dataset}: accuracy and leakage against bytes per frame"
    right = round(LETTER_WIDTH * max(map(len, series))) + 40
    height = 40 + PANEL + GAP + ((PANEL + GAP) if leaks else 0)
    marks = log_ticks([point["payload_bytes_mean"] for point in points])
    plot = Plot((WIDTH, height), (66, 40, right, GAP), _logs(marks), (0, 1), title)
    plot.text(20, 22, title)
    # the same files, answered by another network, keep their colour
    sent = sorted({name.partition(", network")[0] for name in series})
    colour_of = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(sent)}
    colours = {name: colour_of[name.partition(", network")[0]] for name in series}
    _panel(plot, series, colours, 40, "accuracy", "test accuracy, %", marks)
    if leaks:
        axis = "PSNR of the strongest attack, dB (higher = leaks more)"
        _panel(plot, series, colours, 40 + PANEL + GAP, "leakage", axis, marks)
    caption = (
        f"{dataset}: test accuracy and mean PSNR of the strongest attack against mean payload bytes per "
        f"frame (logarithmic); bars are 95 % intervals over pictures. Points {100 * FLOOR:.0f} or more "
        f"percentage points below the best stand in the table only; PSNR above {TOP_DB:.0f} dB is drawn at "
        f"{TOP_DB:.0f}. {MORE_HELPS}: more training of the attack helps; {NOT_TRIED}: nobody tried."
    )
    return Drawing(f"front-{dataset}.svg", caption, plot.svg())


def with_tuned(points: Sequence[Point]) -> list[Point]:
    """The points, and those of pictures again as a network trained on such files answers them."""
    tuned = [
        {**point, **point["fine_tuned"], "kind": f"{point['kind']}-tuned", "leakage": None}
        for point in points
        if point.get("fine_tuned")
    ]
    return [*points, *tuned]


def _logs(marks: Sequence[float]) -> tuple[float, float]:
    return math.log10(marks[0]), math.log10(marks[-1])


def log_ticks(values: Sequence[float]) -> list[float]:
    """Round numbers that span some on a logarithmic scale, seven at most.

    Example:
        >>> log_ticks([60.0, 12_000.0])
        [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 15000.0]
    """
    low, high = min(values), max(values)
    steps = [place * 10.0**power for power in range(-3, 13) for place in _PLACES]
    first = max(step for step in steps if step <= low)
    last = min(step for step in steps if step >= high and step > first)
    between = [10.0**power * place for power in range(-3, 13) for place in (1, 2, 5)]
    if last / first > 1000:
        between = [10.0**power for power in range(-3, 13)]
    inner = [step for step in between if first * 1.3 < step < last / 1.6]
    return [first, *inner, last]


def _value(point: Point, what: str) -> tuple[float, float, float] | None:
    """Level with its interval, in the panel's unit."""
    if what == "accuracy":
        low, high = point["accuracy_interval"]
        return 100 * point["accuracy"], 100 * low, 100 * high
    if not point.get("leakage"):
        return None
    leak = point["leakage"]
    level, low, high = (min(value, TOP_DB) for value in (leak["psnr_db"], *leak["psnr_interval"]))
    return level, low, high


def _panel(
    plot: Plot,
    series: Mapping[str, Sequence[Point]],
    colours: Mapping[str, str],
    top: int,
    what: str,
    axis: str,
    marks: Sequence[float],
) -> None:
    known = {
        name: [(point, found) for point in points if (found := _value(point, what)) is not None]
        for name, points in series.items()
    }
    known = {name: points for name, points in known.items() if points}
    levels = [level for points in known.values() for _, found in points for level in found]
    steps = ticks(min(levels), max(levels))
    panel = plot.panel(top, top + PANEL, _logs(marks), (steps[0], steps[-1]))
    panel.y_axis(axis, steps)
    for mark in marks:
        x = panel.x(math.log10(mark))
        panel.line(x, panel.top, x, panel.bottom, "#e5e5e5")
        panel.text(x, panel.bottom + 18, f"{mark:,g}", anchor="middle")
    panel.line(panel.left, panel.bottom, panel.right, panel.bottom, "#444")
    panel.text((panel.left + panel.right) / 2, panel.bottom + 38, "payload bytes per frame", anchor="middle")
    wanted = [panel.y(points[-1][1][0]) for points in known.values()]
    places = spread_labels(wanted, 15, panel.top + 4, panel.bottom)
    for (name, points), place in zip(known.items(), places, strict=True):
        _series(panel, name, points, colours[name], place, is_leakage=what == "leakage")


def _series(
    panel: Plot,
    name: str,
    points: Sequence[tuple[Point, tuple[float, float, float]]],
    colour: str,
    place: float,
    *,
    is_leakage: bool,
) -> None:
    """One line with its points and intervals; its name stands right of the panel at a height in pixels."""
    drawn = [(math.log10(point["payload_bytes_mean"]), found[0]) for point, found in points]
    panel.line(panel.x(drawn[-1][0]), panel.y(drawn[-1][1]), panel.right + 12, place, "#ccc")
    if len(drawn) > 1:
        panel.polyline(drawn, colour)
    for (x, y), (point, (_, low, high)) in zip(drawn, points, strict=True):
        panel.interval(x, low, high, colour)
        tip = f"{name}, {point['codec']}: {point['payload_bytes_mean']:,.1f} bytes, {y:.2f}"
        panel.point(x, y, colour, tip, radius=4)
        if is_leakage and (marks := marks_of(point, None).strip(OTHER_PICTURES)):
            panel.text(panel.x(x), panel.y(high) - 4, marks, anchor="middle", colour=colour)
    panel.text(panel.right + 16, place + 4, name, colour=colour)

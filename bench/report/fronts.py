"""The front of accuracy, bytes and leakage: a table, and a drawing of two panels over the same bytes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from siftfunnel.bench.report.naming import machine_line
from siftfunnel.bench.report.sources import Front
from siftfunnel.lab.reports.charts import Panel, Series, lines
from siftfunnel.lab.reports.charts import Point as Place
from siftfunnel.lab.reports.sheet import COLOURS
from siftfunnel.lab.reports.table import NONE, Cell, Column, Drawing, Page, Table, number

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


def front_page(front: Front) -> Page:
    """A front as a page with its drawing."""
    dataset = str(front["dataset"])
    usual = usual_pictures(front["points"])
    points = sorted(front["points"], key=lambda point: (series_of(point), -point["payload_bytes_mean"]))
    columns: tuple[Column[Point], ...] = (
        ("what is sent", series_of),
        ("codec", lambda point: str(point["codec"])),
        ("payload, bytes", lambda point: number(point["payload_bytes_mean"], 1)),
        ("99 %", lambda point: number(point.get("payload_bytes_p99"))),
        ("most", lambda point: number(point.get("payload_bytes_max"))),
        ("of the fp32 feature", _share_of_feature),
        ("accuracy", _accuracy),
        ("of a network trained on such files", lambda point: _accuracy(point.get("fine_tuned"))),
        ("leakage: PSNR, dB", lambda point: _leak(point, marks_of(point, usual))),
        ("retrieved", _retrieved),
        ("strongest attack", _attack),
    )
    used = {mark for point in points for mark in marks_of(point, usual)}
    notes = (f"{mark} {told}." for mark, told in MARKS.items() if mark in used)
    drawing = front_drawing(front)
    preamble = (
        f"Measured on {machine_line(front.get('provenance'))}.",
        "Payload bytes per frame, checksum included where there is one. Intervals are 95 % over pictures. "
        "A picture that is sent itself is read, not attacked: its leakage is how near it comes. The "
        "strongest attack is the one of all that were run on that codec.",
    )
    title = f"Accuracy, bytes and leakage: {dataset}"
    table = Table.of("front", "Points", points, columns, notes=notes)
    return Page("front", dataset, title, preamble, (table,), (drawing,) if drawing else ())


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


def _share_of_feature(point: Point) -> Cell:
    full = point.get("feature_bytes_fp32")
    if not full:
        return NONE
    return Cell(f"1/{full / point['payload_bytes_mean']:.1f}", point["payload_bytes_mean"] / full)


def _accuracy(fields: Mapping[str, Any] | None) -> Cell:
    if not fields:
        return NONE
    accuracy, (low, high) = float(fields["accuracy"]), fields["accuracy_interval"]
    return Cell(f"{100 * accuracy:.2f} % [{100 * low:.1f}, {100 * high:.1f}]", accuracy, low, high)


def _leak(point: Point, marks: str) -> Cell:
    leak = point.get("leakage")
    if not leak:
        return NONE
    level, (low, high) = leak["psnr_db"], leak["psnr_interval"]
    return Cell(f"{level:.2f} [{low:.2f}, {high:.2f}] {marks}".rstrip(), level, low, high)


def _retrieved(point: Point) -> Cell:
    found = (point.get("leakage") or {}).get("retrieved")
    return NONE if found is None else Cell(f"{found:.0%}", found)


def _attack(point: Point) -> Cell | str:
    leak = point.get("leakage")
    return f"{leak['attack']}, {leak['pictures']:,} pictures" if leak else NONE


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
    dataset = front["dataset"]
    # the same files, answered by another network, keep their colour
    sent = sorted({name.partition(", network")[0] for name in series})
    colour_of = {name: COLOURS[sent.index(name.partition(", network")[0]) % len(COLOURS)] for name in series}

    sizes = [point["payload_bytes_mean"] for point in points]

    def panel(label: str, read: Callable[[str, Point], Place | None]) -> Panel:
        drawn = [
            Series(name, colour_of[name], placed)
            for name, points in series.items()
            if (placed := tuple(place for point in points if (place := read(name, point)) is not None))
        ]
        return Panel("payload bytes per frame", label, drawn, log_x=True, x_reaches=sizes)

    panels = (
        panel("test accuracy, %", _place_of_accuracy),
        panel("PSNR of the strongest attack, dB (higher = leaks more)", _place_of_leak),
    )
    svg = lines(
        f"{dataset}: accuracy and leakage against bytes per frame",
        [panel for panel in panels if panel.series],
        (480, 300),
    )
    caption = (
        f"{dataset}: test accuracy and mean PSNR of the strongest attack against mean payload bytes per "
        f"frame (logarithmic); bars are 95 % intervals over pictures. Points {100 * FLOOR:.0f} or more "
        f"percentage points below the best stand in the table only; PSNR above {TOP_DB:.0f} dB is drawn at "
        f"{TOP_DB:.0f}. {MORE_HELPS}: more training of the attack helps; {NOT_TRIED}: nobody tried."
    )
    return Drawing(f"front-{dataset}.svg", caption, svg)


def _place_of_accuracy(name: str, point: Point) -> Place:
    level, (low, high) = point["accuracy"], point["accuracy_interval"]
    return _place(name, point, 100 * level, 100 * low, 100 * high)


def _place_of_leak(name: str, point: Point) -> Place | None:
    leak = point.get("leakage")
    if not leak:
        return None
    level, low, high = (min(value, TOP_DB) for value in (leak["psnr_db"], *leak["psnr_interval"]))
    return _place(name, point, level, low, high, mark=marks_of(point, None).strip(OTHER_PICTURES))


def _place(name: str, point: Point, level: float, low: float, high: float, mark: str = "") -> Place:
    size = point["payload_bytes_mean"]
    tip = f"{name}, {point['codec']}: {size:,.1f} bytes, {level:.2f}"
    return Place(size, level, tip, (low, high), mark, size=6.5)


def with_tuned(points: Sequence[Point]) -> list[Point]:
    """The points, and those of pictures again as a network trained on such files answers them."""
    tuned = [
        {**point, **point["fine_tuned"], "kind": f"{point['kind']}-tuned", "leakage": None}
        for point in points
        if point.get("fine_tuned")
    ]
    return [*points, *tuned]

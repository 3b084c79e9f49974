"""A front as a page: one table per way of sending, and what to know when reading it. Needs no PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any

from siftfunnel.lab.front.points import Front, Kind, Point, unpack_answers
from siftfunnel.lab.metrics.intervals import paired_difference
from siftfunnel.lab.tables.cells import NONE, NOT_RUN, Cell, Document, Section, measured, words
from siftfunnel.lab.tables.rendering import to_markdown
from siftfunnel.lab.tables.results import Figure

PER_CENT = 100.0
SAME_PICTURE_DB = 60.0
"""Mean PSNR above which a lossy file is, to the eye and to any network, the picture that went in."""
PICTURE_KINDS: tuple[Kind, ...] = ("jpeg", "webp", "raw")
REFERENCE_DEFENCE, REFERENCE_CODEC = "siftfunnel", "fp32"

CEILING_NOTE = (
    "*Max* is the longest payload of these pictures; *ceiling* the longest that the codec makes of anything."
)

CODEC_COLUMNS = (
    "codec",
    "bytes, mean",
    "p99",
    "max",
    "ceiling",
    "fp32 feature / bytes",
    "accuracy, %",
    "against SiftFunnel fp32, points",
    "encode + decode, µs",
    "share of the edge half",
    "strongest attack",
    "PSNR, dB",
    "against SiftFunnel fp32, dB",
    "SSIM",
    "found in the gallery, %",
)
PICTURE_COLUMNS = (
    "picture as",
    "bytes, mean",
    "p99",
    "max",
    "abbreviated, mean",
    "p99 abbreviated",
    "accuracy, %",
    "encode + decode, µs",
    "PSNR of what is read, dB",
    "SSIM",
)


def render_front(front: Front, drawing: str | None = None) -> str:
    """The page as Markdown.

    Args:
        front: As ``siftfunnel.lab.front.points.read_front`` reads it.
        drawing: File name of the drawing beside the page, or None.

    Example:
        >>> empty = {"dataset": "cifar10", "pictures": 0, "picture_shape": [32, 32, 3], "points": []}
        >>> render_front(empty).splitlines()[0]
        '# Accuracy against bytes per frame: cifar10'
    """
    document = Document("front", "front", title_of(front), tuple(_preamble(front, drawing)), _sections(front))
    return to_markdown(document)


def title_of(front: Mapping[str, Any]) -> str:
    """What page and drawing are called."""
    return f"Accuracy against bytes per frame: {front['dataset']}"


def bundles_of(front: Front) -> list[str]:
    """Names of the bundles, in the order of the file."""
    return list(dict.fromkeys(point["bundle"] for point in front["points"] if point["bundle"] is not None))


def reference_of(front: Front) -> Point | None:
    """The point that others are compared with: SiftFunnel's fp32 feature."""
    wanted = (REFERENCE_DEFENCE, REFERENCE_CODEC)
    return next((p for p in front["points"] if (p["defence"], p["codec"]) == wanted), None)


def _preamble(front: Front, drawing: str | None) -> list[str]:
    height, width, _ = front["picture_shape"]
    parts = [
        f"Bytes, accuracy and time over {front['pictures']:,} test pictures of {height}x{width}; bytes are "
        "those of one frame's payload, with its checksum of 4 bytes. Written from the front's JSON file; "
        "change that, not this page."
    ]
    if drawing is not None:
        parts.append(f"![{title_of(front)}]({drawing})")
    return parts


def _sections(front: Front) -> tuple[Section, ...]:
    reference = reference_of(front)
    made = [_bundle_section(front, name, reference) for name in bundles_of(front)]
    pictures = [point for point in front["points"] if point["kind"] in PICTURE_KINDS]
    return (*made, _picture_section(pictures)) if pictures else tuple(made)


def _bundle_section(front: Front, name: str, reference: Point | None) -> Section:
    points = [point for point in front["points"] if point["bundle"] == name]
    first = points[0]
    intro = (
        f"Defence `{first['defence']}`, `{first['architecture']}`, digest {first['digest'][:12]}. The edge "
        f"half takes {first['edge_us']:,.0f} µs a frame on one thread."
    )
    ordered = sorted(points, key=lambda point: -point["payload_bytes_mean"])
    rows = tuple(_codec_row(point, reference) for point in ordered)
    notes = (CEILING_NOTE, *_balance_notes(points), *_attack_notes(points))
    return Section(name, f"{name}: its codecs", CODEC_COLUMNS, rows, intro, notes)


def _codec_row(point: Point, reference: Point | None) -> tuple[Cell, ...]:
    mean_bytes, coding_us = point["payload_bytes_mean"], point["encode_us"] + point["decode_us"]
    trained = ", trained for its rate" if point["kind"] == "rate-trained" else ""
    leakage = point["leakage"]
    return (
        words(f"`{point['codec']}`{trained}"),
        *_bytes(point, "payload_bytes"),
        _number(point["payload_bytes_ceiling"], 0),
        _number(point["feature_bytes_fp32"] / mean_bytes, 1),
        _accuracy(point),
        _accuracy_difference(point, reference),
        _number(coding_us, 0),
        _number(coding_us / point["edge_us"], 3),
        NOT_RUN if leakage is None else words(_label(leakage)),
        _leak(leakage, "psnr_db", 2, interval="psnr_interval"),
        _leak_difference(leakage, reference),
        _leak(leakage, "ssim", 3),
        _leak(leakage, "retrieved", 1, scale=PER_CENT),
    )


def _picture_section(points: Sequence[Point]) -> Section:
    network = points[0]["network"]["bundle"]
    intro = (
        f"The cloud runs the whole unprotected network, `{network}`, on the decoded picture, and whoever "
        "overhears the file sees that picture. *Bytes* are the file as Pillow writes it (JPEG with optimised "
        "Huffman tables and 4:2:0, WebP with method 6); *abbreviated* is what is left if both sides agree "
        "beforehand on all that repeats: for JPEG header, quantisation and Huffman tables, these optimised "
        "over the pictures together; for WebP container and size. No checksum is counted."
    )
    ordered = sorted(points, key=lambda point: (PICTURE_KINDS.index(point["kind"]), _quality(point)))
    rows = tuple(_picture_row(point) for point in ordered)
    notes = (*_balance_notes(ordered), *_picture_notes(points))
    return Section("pictures", "Sending the picture", PICTURE_COLUMNS, rows, intro, notes)


def _picture_row(point: Point) -> tuple[Cell, ...]:
    mean, p99, _ = _bytes(point, "abbreviated_bytes")
    return (
        words(f"`{point['codec']}`"),
        *_bytes(point, "payload_bytes"),
        mean,
        p99,
        _accuracy(point),
        _number(point["encode_us"] + point["decode_us"], 0),
        _leak(point["leakage"], "psnr_db", 2, interval="psnr_interval"),
        _leak(point["leakage"], "ssim", 3),
    )


def _quality(point: Point) -> int:
    return int(point["codec"].rpartition("q")[2] or 0) if "-q" in point["codec"] else 0


def _number(value: float, digits: int) -> Cell:
    return measured(Figure(value), digits)


def _bytes(point: Point, prefix: str) -> tuple[Cell, Cell, Cell]:
    mean, p99, most = (float(point[f"{prefix}_{part}"]) for part in ("mean", "p99", "max"))
    return _number(mean, 1), _number(p99, 0), _number(most, 0)


def _accuracy(point: Point) -> Cell:
    low, high = point["accuracy_interval"]
    return measured(Figure(point["accuracy"], low, high), 1, scale=PER_CENT)


def accuracy_difference(point: Point, reference: Point | None) -> Figure | None:
    """Accuracy less the reference's over the same pictures, a share, with a paired interval."""
    if reference is None or point["pictures"] != reference["pictures"] or point is reference:
        return None
    own, other = (unpack_answers(one["right_bits"], one["pictures"]) for one in (point, reference))
    return _as_figure(paired_difference(own, other))


def leak_difference(leakage: Mapping[str, Any] | None, reference: Point | None) -> Figure | None:
    """PSNR of the strongest attack less that on the reference, in dB, with a paired interval.

    None where either was not attacked, or on other pictures or with other attacks.
    """
    other = None if reference is None else reference["leakage"]
    if leakage is None or other is None or other is leakage or {*leakage["all"]} != {*other["all"]}:
        return None
    a, b = (one["all"][one["attack"]] for one in (leakage, other))
    if a["attacked_sha256"] != b["attacked_sha256"]:
        return None
    return _as_figure(paired_difference(a["psnr_db_per_image"], b["psnr_db_per_image"]))


def _as_figure(difference: Mapping[str, Any]) -> Figure:
    return Figure(difference["mean"], *difference["ci95"])


def _accuracy_difference(point: Point, reference: Point | None) -> Cell:
    return measured(accuracy_difference(point, reference), 2, scale=PER_CENT, sign=True)


def _leak_difference(leakage: Mapping[str, Any] | None, reference: Point | None) -> Cell:
    return measured(leak_difference(leakage, reference), 2, sign=True)


def _label(leakage: Mapping[str, Any]) -> str:
    return str(leakage["all"][leakage["attack"]]["label"])


def _leak(
    leakage: Mapping[str, Any] | None,
    key: str,
    digits: int,
    *,
    scale: float = 1.0,
    interval: str | None = None,
) -> Cell:
    if leakage is None:
        return NONE
    low, high = leakage[interval] if interval else (None, None)
    return measured(Figure(leakage[key], low, high), digits, scale=scale)


def _balance_notes(points: Sequence[Point]) -> tuple[str, ...]:
    """Accuracy balanced over classes, where classes differ in size and so it is another number."""
    if all(abs(point["accuracy"] - point["balanced_accuracy"]) < 1e-9 for point in points):
        return ()
    told = ", ".join(f"`{point['codec']}` {PER_CENT * point['balanced_accuracy']:.1f}" for point in points)
    return (f"Classes differ in size; mean accuracy over classes, %: {told}.",)


def _attack_notes(points: Sequence[Point]) -> tuple[str, ...]:
    attacked = [point["leakage"] for point in points if point["leakage"] is not None]
    if not attacked:
        return ()
    every = {name: entry for leakage in attacked for name, entry in leakage["all"].items()}
    told = ", ".join(
        f"{entry['label']} ({entry['access']}, {entry['auxiliary_pictures']:,} own pictures)"
        for entry in every.values()
    )
    return (
        f"Attacks, fitted on features that went through the codec: {told}; {attacked[0]['pictures']} "
        "attacked pictures, 95 % intervals over them. Differences are paired: the same pictures in both.",
    )


def _picture_notes(points: Sequence[Point]) -> tuple[str, ...]:
    same = [
        f"`{point['codec']}`"
        for point in points
        if point["kind"] == "jpeg"
        and point["leakage"] is not None
        and point["leakage"]["psnr_db"] > SAME_PICTURE_DB
    ]
    if not same:
        return ()
    return (
        f"{', '.join(same)} gives back almost exactly the picture that went in: the pictures of this data "
        "set were JPEG files of that quality before, which favours JPEG here.",
    )

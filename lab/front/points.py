"""The JSON file of a front: its points, how they are told apart, and the statistics that need no PyTorch.

    {"schema": 1, "kind": "front", "provenance", "dataset", "pictures_sha256", "points": [POINT, ...]}

A point is one way to send a picture of the data set. Bundle, digest, feature size and edge time are null for
a picture that is sent itself; ``leakage`` is null until an attack has run.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.metrics.intervals import accuracy_interval, paired_difference
from siftfunnel.shared.files import write_file

SCHEMA = 1
FRONT = "front"
DOUBLED = "doubled"
ENOUGH_DB = 0.1
"""A doubling of an inverter's training that gains less than this says that it was trained for long enough."""

Kind = Literal["rate-trained", "post-training", "jpeg", "webp", "raw"]
KINDS: tuple[Kind, ...] = ("rate-trained", "post-training", "jpeg", "webp", "raw")
Point = dict[str, Any]
Front = dict[str, Any]


class FrontError(ValueError):
    """A front's file that cannot be used: says what is wrong with it and what to do."""


def kind_of_codec(codec: str, defence: str) -> Kind:
    """Whether a bundle's codec was trained for its rate.

    Example:
        >>> kind_of_codec("r2", "siftfunnel-rate"), kind_of_codec("q4", "siftfunnel-rate")
        ('rate-trained', 'post-training')
    """
    return "rate-trained" if re.match(r"r\d", codec) and "rate" in defence else "post-training"


def last_doubling(attacks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a doubled inverter gained over the one it goes on from, on the same attacked pictures.

    Args:
        attacks: Entries of a point by attack.

    Returns:
        ``gain_db`` with its 95 % ``interval_db``, and ``more_helps``: whether the interval reaches
        ``ENOUGH_DB``, so that still longer training may get more. None where nothing was doubled.
    """
    doubled = attacks.get(DOUBLED)
    start = None if doubled is None else attacks.get(doubled["budget"]["start"]["name"])
    if doubled is None or start is None or doubled["attacked_sha256"] != start["attacked_sha256"]:
        return None
    gain = paired_difference(np.asarray(doubled["psnr_db_per_image"]), np.asarray(start["psnr_db_per_image"]))
    more_helps = gain["ci95"][1] >= ENOUGH_DB
    return {"gain_db": gain["mean"], "interval_db": gain["ci95"], "more_helps": more_helps}


def pack_answers(right_N: NDArray[np.bool_]) -> str:
    """Which pictures were answered rightly, one bit each, as base64: for paired comparisons."""
    return base64.b64encode(np.packbits(right_N).tobytes()).decode()


def unpack_answers(packed: str, pictures: int) -> NDArray[np.bool_]:
    """The inverse of ``pack_answers``.

    Example:
        >>> unpack_answers(pack_answers(np.array([True, False, True])), 3).tolist()
        [True, False, True]
    """
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed, validate=True), dtype=np.uint8))
    return bits[:pictures].astype(bool)


def accuracy_fields(right_N: NDArray[np.bool_], labels_N: NDArray[np.int64]) -> Point:
    """The fields of a point that say how many pictures were answered rightly.

    The balanced accuracy is the mean over classes of the share that is right in each.

    Example:
        >>> answers = accuracy_fields(np.array([True, True, True, False]), np.array([0, 0, 0, 1]))
        >>> answers["accuracy"], answers["balanced_accuracy"]
        (0.75, 0.5)
    """
    right, total = int(right_N.sum()), len(right_N)
    return {
        "accuracy": right / total,
        "balanced_accuracy": float(np.mean([right_N[labels_N == k].mean() for k in np.unique(labels_N)])),
        "accuracy_interval": accuracy_interval(right, total),
        "pictures": total,
        "right_bits": pack_answers(right_N),
    }


def byte_fields(sizes: Sequence[int], prefix: str = "payload_bytes") -> Point:
    """Mean, 99th percentile and maximum of sizes; the percentile is a size that occurred.

    Example:
        >>> byte_fields([10, 20, 30])
        {'payload_bytes_mean': 20.0, 'payload_bytes_p99': 30, 'payload_bytes_max': 30}
    """
    return {
        f"{prefix}_mean": round(float(np.mean(sizes)), 2),
        f"{prefix}_p99": int(np.percentile(sizes, 99, method="higher")),
        f"{prefix}_max": max(sizes),
    }


def key_of(point: Mapping[str, Any]) -> tuple[str | None, str]:
    """What tells points of one front apart: bundle name and codec."""
    return point["bundle"], point["codec"]


def find_point(front: Mapping[str, Any], bundle: str | None, codec: str) -> Point | None:
    """The point of a bundle's codec, or None."""
    found = (point for point in front["points"] if key_of(point) == (bundle, codec))
    return next(found, None)


def put_point(front: Front, point: Point) -> None:
    """Add a point, or replace the one of the same bundle and codec.

    Leakage that was measured of the same bundle (the same digest) is kept, and so are a trained-on
    network's answers where it went on from the same one.
    """
    old = find_point(front, point["bundle"], point["codec"])
    if old is None:
        front["points"].append(point)
        return
    if old["digest"] == point["digest"] and point["leakage"] is None:
        point = {**point, "leakage": old["leakage"]}
    tuned = old.get("fine_tuned")
    if tuned is not None and tuned["network"]["digest"] == point["network"]["digest"]:
        point = {"fine_tuned": tuned, **point}
    front["points"][front["points"].index(old)] = point


def read_front(path: Path) -> Front:
    """The front in a file.

    Raises:
        FrontError: no file, no JSON, or not a front of this schema.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FrontError(f"{path}: cannot be read as a front ({error})") from None
    if not isinstance(stored, dict) or stored.get("kind") != FRONT:
        raise FrontError(f"{path}: is not a front; `siftfunnel lab front` writes one")
    if stored.get("schema") != SCHEMA:
        raise FrontError(f"{path}: has schema {stored.get('schema')!r}, this program reads {SCHEMA}")
    return stored


def write_front(path: Path, front: Mapping[str, Any]) -> None:
    """Replace a front's file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(front, indent=1, allow_nan=False) + "\n")

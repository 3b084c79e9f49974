"""What an eavesdropper of a cell restores, from the nearest measurement there is.

Looked for in this order; the row says which it was:

1. The lab's front: the strongest attack on what the codec of that very bundle (its digest) puts on the wire.
   In cloud-only the picture itself is on the wire, so the "attack" is to read it, and the figure is how near
   the decoded picture is to the original; where no front has it, that is measured on the spot on pictures of
   the task.
2. The report of the inverter that ships with the bundle: what that one attack restores of what this codec
   left.
3. Nothing: unknown, which is not the same as nothing leaks.

In edge-only no picture or feature leaves the device. Figures compare within one basis, and there by the
attacks that both have met; nothing sent leaks less than anything.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from siftfunnel.bench.cells.picture_codec import as_file, is_picture_codec
from siftfunnel.bench.cells.result import Cell
from siftfunnel.bench.report.naming import task_of
from siftfunnel.bench.report.sources import Front
from siftfunnel.shared.pictures import is_picture_name, open_image
from siftfunnel.shared.similarity import psnr

Basis = Literal["nothing sent", "through this codec", "shipped inverter alone", "picture on the wire"]

MOST_PICTURES = 100
LOSSLESS_DB = 99.0
"""What a picture counts as that lost nothing."""
READING, STORED = "reading", "stored-inverter"
"""Names of attacks, as the lab's fronts have them."""


@dataclass(frozen=True)
class Leakage:
    """A restored picture against the original.

    Attributes:
        basis: What was measured.
        attack: Its name.
        psnr_db: Mean PSNR over pictures; higher leaks more. None where nothing is sent.
        psnr_interval_db: 95 % interval over pictures.
        retrieved: Share of pictures that the restored one finds among the attacked; None where unmeasured.
        pictures: How many.
        attacks: Mean PSNR of every attack that was run, by name.
    """

    basis: Basis
    attack: str
    psnr_db: float | None
    psnr_interval_db: tuple[float, float] | None = None
    retrieved: float | None = None
    pictures: int | None = None
    attacks: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """For a table."""
        if self.psnr_db is None:
            return "none: nothing sent"
        text = f"{self.psnr_db:.1f} dB"
        if self.retrieved is not None:
            text += f", {self.retrieved:.0%} retrieved"
        return text + (" (shipped inverter alone)" if self.basis == "shipped inverter alone" else "")


def more_leaked_db(one: Leakage, other: Leakage) -> float | None:
    """By how much ``one`` leaks more than ``other``: the strongest of the attacks that both have met.

    Infinite against nothing sent; None where the two do not compare.

    Example:
        >>> weak, strong = {"a": 18.0}, {"a": 17.0, "b": 21.0}
        >>> kinds = [Leakage("through this codec", "a", max(x.values()), attacks=x) for x in (weak, strong)]
        >>> more_leaked_db(*kinds)
        1.0
    """
    silent = [each.basis == "nothing sent" for each in (one, other)]
    if any(silent):
        return 0.0 if all(silent) else (-math.inf if silent[0] else math.inf)
    common = one.attacks.keys() & other.attacks.keys()
    if one.basis != other.basis or not common:
        return None
    return max(one.attacks[name] for name in common) - max(other.attacks[name] for name in common)


class LeakageBook:
    """Joins cells with the lab's results.

    Args:
        fronts: What ``read_fronts`` gave.
        inverters: What ``read_inverters`` gave.
        pictures: Holds a folder of pictures per task, to read picture codecs on; None reads none.
    """

    def __init__(
        self,
        fronts: Iterable[Front],
        inverters: Mapping[str, Mapping[str, Any]],
        pictures: Path | None = None,
    ) -> None:
        self.fronts = tuple(fronts)
        self._inverters = inverters
        self._pictures = pictures
        self._read: dict[tuple[str, str], Leakage | None] = {}

    def of(self, cell: Cell) -> Leakage | None:
        """What is known of a cell; None where nothing was measured."""
        return self.of_way(cell.bundle, cell.digest, cell.mode, cell.codec)

    def of_way(self, bundle: str, digest: str, mode: str, codec: str) -> Leakage | None:
        """The same by what a cell is made of."""
        if mode == "edge-only":
            return Leakage("nothing sent", "", None)
        point = find_point(self.fronts, digest, mode, codec)
        if point is not None and point.get("leakage"):
            is_picture = mode == "cloud-only"
            return _of_front(point["leakage"], "picture on the wire" if is_picture else "through this codec")
        if mode == "cloud-only":
            return self._reading(task_of(bundle), codec)
        return self._of_inverter(digest, codec)

    def _reading(self, task: str, codec: str) -> Leakage | None:
        if self._pictures is None or not (self._pictures / task).is_dir():
            return None
        if (task, codec) not in self._read:
            found = reading_psnr_db(self._pictures / task, codec)
            self._read[task, codec] = found and Leakage(
                "picture on the wire", READING, found[0], pictures=found[1], attacks={READING: found[0]}
            )
        return self._read[task, codec]

    def _of_inverter(self, digest: str, codec: str) -> Leakage | None:
        report = self._inverters.get(digest, {}).get("report", {}).get("codecs", {}).get(codec)
        if not report:
            return None
        level = float(report["psnr_mean"])
        attacks = {STORED: level}
        return Leakage("shipped inverter alone", STORED, level, pictures=report["pictures"], attacks=attacks)


def find_point(fronts: Iterable[Front], digest: str, mode: str, codec: str) -> Mapping[str, Any] | None:
    """The point of a way: a bundle's codec, or in cloud-only the picture as that network answers it.

    What never leaves the device is answered as through ``fp32``, which changes nothing.
    """

    def is_it(point: Mapping[str, Any]) -> bool:
        if mode != "cloud-only":
            return point.get("digest") == digest and point["codec"] == (codec or "fp32")
        return point.get("digest") is None and picture_codec(point["codec"]) == picture_codec(codec)

    shown = [front for front in fronts if mode != "cloud-only" or digest in _digests(front)]
    return next((point for front in shown for point in front["points"] if is_it(point)), None)


def _digests(front: Front) -> set[str]:
    """Bundles whose pictures a front shows: those with features in it, and the network that got pictures."""
    points = front["points"]
    found = {point.get("digest") for point in points}
    found |= {(point.get("network") or {}).get("digest") for point in points}
    return {digest for digest in found if digest}


def _of_front(leakage: Mapping[str, Any], basis: Basis) -> Leakage:
    interval = leakage.get("psnr_interval")
    return Leakage(
        basis,
        str(leakage["attack"]),
        float(leakage["psnr_db"]),
        None if interval is None else (float(interval[0]), float(interval[1])),
        leakage.get("retrieved"),
        leakage.get("pictures"),
        {name: float(entry["psnr_db"]) for name, entry in leakage["all"].items()},
    )


def picture_codec(name: str) -> str:
    """A picture codec's name without the quality's letter.

    Example:
        >>> picture_codec("jpeg-q75"), picture_codec("webp-75"), picture_codec("raw")
        ('jpeg-75', 'webp-75', 'raw')
    """
    return re.sub(r"-q(\d+)$", r"-\1", name)


def reading_psnr_db(folder: Path, codec: str) -> tuple[float, int] | None:
    """Mean PSNR of decoded pictures against their originals, and how many there were.

    Files are written as the cells write them, at the size in which they lie in the folder.

    Args:
        folder: Pictures, also in its folders; evenly spread ones of more than ``MOST_PICTURES``.
        codec: ``jpeg-75``, ``webp-50``.

    Returns:
        None for another codec, or a folder without pictures.

    Raises:
        ImageError: a file that is no picture.
    """
    files = sorted(path for path in folder.rglob("*") if is_picture_name(path.name))
    if not is_picture_codec(codec) or not files:
        return None
    chosen = [files[round(place)] for place in np.linspace(0, len(files) - 1, min(len(files), MOST_PICTURES))]
    levels = []
    for original in map(open_image, chosen):
        pair = (np.asarray(one) / 255 for one in (original, open_image(as_file(original, codec))))
        levels.append(min(psnr(*pair), LOSSLESS_DB))
    return round(float(np.mean(levels)), 2), len(levels)

"""What an eavesdropper of a cell restores, from the nearest measurement there is.

Looked for in this order; the row says which it was:

1. The lab's front: the strongest attack on what the codec of that very bundle (its digest) puts on the wire.
   In cloud-only the picture itself is on the wire, so the "attack" is to read it, and the figure is how near
   the decoded picture is to the original; where no front has it, that is measured on the spot on pictures of
   the task.
2. The report of the inverter that ships with the bundle, which restores from features *before the codec*.
   A codec that only quantises takes something away from that, so it is close to an upper bound of this
   inverter, not of a stronger attack.
3. Nothing: unknown, which is not the same as nothing leaks.

In edge-only no picture or feature leaves the device.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.cells.result import Cell
from bench.report.naming import task_of
from bench.report.reading import reading_psnr_db
from bench.report.sources import Front

Basis = Literal["nothing sent", "through this codec", "picture on the wire", "before the codec"]


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
    """

    basis: Basis
    attack: str
    psnr_db: float | None
    psnr_interval_db: tuple[float, float] | None = None
    retrieved: float | None = None
    pictures: int | None = None

    def __str__(self) -> str:
        """For a table."""
        if self.psnr_db is None:
            return "none: nothing sent"
        text = f"{self.psnr_db:.1f} dB"
        if self.retrieved is not None:
            text += f", {self.retrieved:.0%} retrieved"
        return text + (" (before the codec)" if self.basis == "before the codec" else "")


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
        self._fronts = tuple(fronts)
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
        if mode == "cloud-only":
            return self._picture(digest, codec) or self._reading(task_of(bundle), codec)
        for front in self._fronts:
            for point in front["points"]:
                if point.get("digest") == digest and point.get("codec") == codec and point.get("leakage"):
                    return _of_front(point["leakage"], "through this codec")
        return self._before_codec(digest)

    def _picture(self, digest: str, codec: str) -> Leakage | None:
        for front in self._fronts:
            if digest not in _digests(front):
                continue
            for point in front["points"]:
                same = point.get("digest") is None and picture_codec(point["codec"]) == picture_codec(codec)
                if same and point.get("leakage"):
                    return _of_front(point["leakage"], "picture on the wire")
        return None

    def _reading(self, task: str, codec: str) -> Leakage | None:
        if self._pictures is None or not (self._pictures / task).is_dir():
            return None
        if (task, codec) not in self._read:
            found = reading_psnr_db(self._pictures / task, codec)
            self._read[task, codec] = found and Leakage(
                "picture on the wire", "reading", found[0], pictures=found[1]
            )
        return self._read[task, codec]

    def _before_codec(self, digest: str) -> Leakage | None:
        report = self._inverters.get(digest, {}).get("report", {}).get("held_out")
        if not report:
            return None
        return Leakage(
            "before the codec", "shipped inverter", float(report["psnr_mean"]), pictures=report["pictures"]
        )


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
    )


def picture_codec(name: str) -> str:
    """A picture codec's name without the quality's letter.

    Example:
        >>> picture_codec("jpeg-q75"), picture_codec("webp-75"), picture_codec("raw")
        ('jpeg-75', 'webp-75', 'raw')
    """
    return re.sub(r"-q(\d+)$", r"-\1", name)

"""Which pictures a report shows, and how everything that was tried restored them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.audit.equal_bytes import best_within
from siftfunnel.lab.audit.measures import reference_auxiliary
from siftfunnel.lab.audit.subject import AuditSubject
from siftfunnel.lab.evaluation.ranking import by_strength
from siftfunnel.lab.evaluation.scores import reference_row
from siftfunnel.lab.evaluation.steps import kept_pictures
from siftfunnel.lab.reports.audit_page import PICTURE_CODECS, Shown, Strip
from siftfunnel.shared.similarity import psnr

COLUMNS = 8
SHOWN_REFERENCES = ("mean_image", "thumbnail_4x4", "thumbnail_8x8", "nearest_auxiliary")


@dataclass(frozen=True)
class Choice:
    """Indices of the pictures that a report shows.

    Attributes:
        typical: Around the median PSNR, one above the other.
        most_exposed: The worst cases: restored best, best first.
        least_exposed: Restored worst, worst first.
    """

    typical: tuple[int, ...]
    most_exposed: tuple[int, ...]
    least_exposed: tuple[int, ...]


def choose_pictures(psnr_N: Sequence[float], count: int = COLUMNS) -> Choice:
    """Typical, most and least exposed pictures of an attack.

    Example:
        >>> choose_pictures([10.0, 30.0, 20.0], count=1)
        Choice(typical=(2,), most_exposed=(1,), least_exposed=(0,))
    """
    rising = np.argsort(np.asarray(psnr_N), kind="stable")
    count = min(count, len(rising))
    start = (len(rising) - count) // 2
    return Choice(
        tuple(int(index) for index in rising[start : start + count]),
        tuple(int(index) for index in rising[::-1][:count]),
        tuple(int(index) for index in rising[:count]),
    )


def shown_pictures(report: Mapping[str, Any], subject: AuditSubject, choice: Choice, out: Path) -> Shown:
    """What the page shows; reads the reconstructions that ``out`` keeps."""
    originals = _pixels(subject.x_NCHW)
    best = report["strongest"]

    def attack(key: str, indices: Sequence[int]) -> Strip:
        decibels = report["attacks"][key]["scores"]["psnr_db_per_image"]
        pixels = kept_pictures(out, f"attack-{key}")[list(indices)].permute(0, 2, 3, 1).numpy()
        return Strip("attack", key, pixels, [float(decibels[index]) for index in indices])

    galleries = {
        name: (Strip("original", "", originals[list(indices)]), attack(best, indices))
        for name, indices in vars(choice).items()
    }
    first = Strip("original", "", originals[list(choice.typical)])
    attacks = [attack(key, choice.typical) for key in by_strength(report["attacks"])]
    sent = _sent_pictures(int(report["picture_codecs"]["payload_bytes"]), first.pixels_NHWC)
    return Shown(galleries, [first, *attacks, *_references(report, subject, choice.typical), *sent])


def _pixels(x_NCHW: Tensor) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = (x_NCHW.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pixels


def _references(report: Mapping[str, Any], subject: AuditSubject, indices: Sequence[int]) -> list[Strip]:
    made = []
    for name in SHOWN_REFERENCES:
        pictures = reference_row(name, subject.x_NCHW[list(indices)], reference_auxiliary(subject))
        decibels = report["references"][name]["psnr_db_per_image"]
        levels = [float(decibels[index]) for index in indices]
        made.append(Strip("reference", name, _pixels(pictures), levels))
    return made


def _sent_pictures(limit: int, originals_NHWC: NDArray[np.uint8]) -> list[Strip]:
    """The same pictures as a picture codec has them in the feature's bytes, where all of them fit."""
    made = []
    for name in PICTURE_CODECS:
        found = [best_within(pixels, name, limit) for pixels in originals_NHWC]
        arrived = [sent[1] for sent in found if sent is not None]
        if len(arrived) == len(originals_NHWC):
            pairs = zip(originals_NHWC / 255, np.stack(arrived) / 255, strict=True)
            made.append(Strip("codec", name, np.stack(arrived), [psnr(*pair) for pair in pairs]))
    return made

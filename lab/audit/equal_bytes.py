"""What a picture codec makes of the same bytes: the picture that an eavesdropper would see of JPEG or WebP.

The best of every quality and of every size to which the picture may be shrunk first, each picture for itself:
so many bytes as the feature takes on average, and no more.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.audit.subject import AuditSubject
from siftfunnel.lab.data.picture_coding import PictureCoding
from siftfunnel.lab.metrics.pictures import score_pictures, summarise

FORMATS = ("jpeg", "webp")
HIGHEST_QUALITY = 95
SHRUNK = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125)


def picture_codec_figures(subject: AuditSubject, payload_bytes: float) -> dict[str, Any]:
    """Standard scores of the attacked pictures sent in so many bytes.

    Returns:
        ``payload_bytes``: the limit; ``formats``: by format the pictures that could be sent in it, and, where
        all could, their mean size and standard scores.
    """
    limit = int(payload_bytes)
    return {
        "payload_bytes": payload_bytes,
        "formats": {name: _format_figures(subject, name, limit) for name in FORMATS},
    }


def _format_figures(subject: AuditSubject, name: str, limit: int) -> dict[str, Any]:
    pictures = subject.attacked.images_NHWC
    found = [best_within(picture, name, limit) for picture in pictures]
    reached = [each for each in found if each is not None]
    figures: dict[str, Any] = {"sent": len(reached), "pictures": len(pictures)}
    if len(reached) < len(pictures):
        return figures
    arrived = np.stack([picture for _, picture in reached])
    made = torch.from_numpy(arrived).permute(0, 3, 1, 2).float() / 255
    return {
        **figures,
        "payload_bytes_mean": float(np.mean([size for size, _ in reached])),
        "standard": summarise(score_pictures(subject.x_NCHW, made)),
    }


def best_within(
    picture_HWC: NDArray[np.uint8], name: str, limit: int
) -> tuple[int, NDArray[np.uint8]] | None:
    """Size and pixels of the nearest file of at most ``limit`` bytes; None without one."""
    best: tuple[float, int, NDArray[np.uint8]] | None = None
    for share in SHRUNK:
        small = _resized(picture_HWC, share)
        payload = _largest_within(small, name, limit)
        if payload is None:
            continue
        arrived = PictureCoding(name, 1).decode(payload, small.shape)  # type: ignore[arg-type]
        height, width = picture_HWC.shape[:2]
        whole = np.asarray(Image.fromarray(arrived).resize((width, height), Image.Resampling.BICUBIC))
        error = float(np.square(whole.astype(np.float32) - picture_HWC).mean())
        if best is None or error < best[0]:
            best = (error, len(payload), whole)
    return None if best is None else best[1:]


def _resized(picture_HWC: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    height, width = (max(1, round(side * share)) for side in picture_HWC.shape[:2])
    return np.asarray(Image.fromarray(picture_HWC).resize((width, height), Image.Resampling.LANCZOS))


def _largest_within(picture_HWC: NDArray[np.uint8], name: str, limit: int) -> bytes | None:
    """The file of the highest quality that fits, by bisection: size rises with quality."""
    low, high, found = 1, HIGHEST_QUALITY, None
    while low <= high:
        quality = (low + high) // 2
        payload = PictureCoding(name, quality).encode(picture_HWC)  # type: ignore[arg-type]
        if len(payload) <= limit:
            found, low = payload, quality + 1
        else:
            high = quality - 1
    return found

"""Which pictures a report shows, and pictures as text that stands inside a page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLUMNS = 8
LONGEST_SIDE = 160
"""Larger pictures are shown at this size, so that a report stays a few megabytes."""


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


def data_uri(picture_CHW: NDArray[Any]) -> str:
    """A ``uint8`` picture as a PNG in a ``data:`` address.

    Example:
        >>> data_uri(np.zeros((3, 2, 2), np.uint8))[:22]
        'data:image/png;base64,'
    """
    image = Image.fromarray(np.ascontiguousarray(picture_CHW.transpose(1, 2, 0)))
    if max(image.size) > LONGEST_SIDE:
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    stored = io.BytesIO()
    image.save(stored, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode("ascii")

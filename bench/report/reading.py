"""What an eavesdropper reads where the picture itself is sent: the decoded file against the original."""

import io
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.shared.pictures import is_picture_name, open_image

MOST_PICTURES = 100
LOSSLESS_DB = 99.0
"""What a picture counts as that lost nothing."""

_NAME = re.compile(r"(jpeg|webp)-(\d{1,3})")


def reading_psnr_db(folder: Path, codec: str) -> tuple[float, int] | None:
    """Mean PSNR of decoded pictures against their originals, and how many there were.

    Files are written with Pillow's defaults apart from the quality and Huffman tables of their own, as the
    cells write them, at the size in which they lie in the folder.

    Args:
        folder: Pictures, also in its folders; evenly spread ones of more than ``MOST_PICTURES``.
        codec: ``jpeg-75``, ``webp-50``.

    Returns:
        None for another codec, or a folder without pictures.

    Raises:
        ImageError: a file that is no picture.
    """
    found = _NAME.fullmatch(codec)
    files = sorted(path for path in folder.rglob("*") if is_picture_name(path.name))
    if found is None or not files:
        return None
    chosen = [files[round(place)] for place in np.linspace(0, len(files) - 1, min(len(files), MOST_PICTURES))]
    levels = [_psnr_db(open_image(path), found[1].upper(), int(found[2])) for path in chosen]
    return round(float(np.mean(np.minimum(levels, LOSSLESS_DB))), 2), len(levels)


def _psnr_db(picture: Image.Image, kind: str, quality: int) -> float:
    stored = io.BytesIO()
    picture.save(stored, kind, quality=quality, optimize=True)
    stored.seek(0)
    with Image.open(stored, formats=(kind,)) as opened:
        return psnr_db(np.asarray(picture), np.asarray(opened.convert("RGB")))


def psnr_db(one_HWC: NDArray[np.uint8], other_HWC: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two 8-bit pictures; infinite for equal ones.

    Example:
        >>> black = np.zeros((2, 2, 3), np.uint8)
        >>> psnr_db(black, black + 255), psnr_db(black, black)
        (0.0, inf)
    """
    apart = one_HWC.astype(np.float64) - other_HWC.astype(np.float64)
    error = float(np.mean(apart**2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)

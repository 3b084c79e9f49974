"""What an eavesdropper reads where the picture itself is sent: the decoded file against the original."""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from siftfunnel.shared.pictures import is_picture_name, open_image
from siftfunnel.shared.similarity import psnr

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
        pair = (np.asarray(one, dtype=np.float64) / 255 for one in (picture, opened.convert("RGB")))
        return psnr(*pair)

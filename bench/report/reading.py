"""What an eavesdropper reads where the picture itself is sent: the decoded file against the original."""

from pathlib import Path

import numpy as np

from siftfunnel.bench.cells.picture_codec import as_file, is_picture_codec
from siftfunnel.shared.pictures import is_picture_name, open_image
from siftfunnel.shared.similarity import psnr

MOST_PICTURES = 100
LOSSLESS_DB = 99.0
"""What a picture counts as that lost nothing."""


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

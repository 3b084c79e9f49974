"""What a JPEG would cost if everything that repeats from picture to picture were agreed beforehand.

A 32x32 JPEG is mostly header: markers, quantisation and Huffman tables. Two sides that agree on size,
quality and tables need to send the entropy-coded bytes alone (the abbreviated format of ITU-T T.81, without
its markers too). Pillow takes no Huffman tables, so the pictures are laid in one tall picture whose Huffman
tables are optimised over all of them, with a restart after each: between two restart markers stand exactly
the bytes of one picture, coded by itself under shared tables. That the tables were fitted to the very
pictures that they code favours JPEG a little.
"""

import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BLOCK = 16
"""Pixels per side of a coded block at 4:2:0."""
MAX_SIDE = 65_500
SUBSAMPLING = "4:2:0"

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_START_OF_SCAN, _END = b"\xff\xda", b"\xff\xd9"


def shared_table_sizes(images_NHWC: NDArray[np.uint8], quality: int) -> list[int]:
    """Entropy-coded bytes of each picture under Huffman tables that all of them share.

    Args:
        images_NHWC: ``uint8`` pictures of one size, whose height is a multiple of 16.
        quality: Of the quantisation tables, 1 to 95.

    Raises:
        ValueError: another height, at which two pictures would share a block.
    """
    height = images_NHWC.shape[1]
    if height % BLOCK:
        raise ValueError(
            f"abbreviated JPEG is measured at heights that are multiples of {BLOCK}, not {height}"
        )
    at_once = MAX_SIDE // height
    sizes: list[int] = []
    for start in range(0, len(images_NHWC), at_once):
        sizes += _sizes_of_one_file(images_NHWC[start : start + at_once], quality)
    return sizes


def _sizes_of_one_file(images_NHWC: NDArray[np.uint8], quality: int) -> list[int]:
    count, height, width, _ = images_NHWC.shape
    stored = io.BytesIO()
    Image.fromarray(images_NHWC.reshape(count * height, width, 3)).save(
        stored,
        format="JPEG",
        quality=quality,
        optimize=True,
        subsampling=SUBSAMPLING,
        restart_marker_rows=height // BLOCK,
    )
    parts = _RESTART.split(scan_of(stored.getvalue()))
    assert len(parts) == count, (len(parts), count)
    return [len(part) for part in parts]


def scan_of(file: bytes) -> bytes:
    """The entropy-coded bytes of a baseline JPEG file, restart markers included."""
    start = file.index(_START_OF_SCAN)
    header_bytes = int.from_bytes(file[start + 2 : start + 4], "big")
    return file[start + 2 + header_bytes : file.rindex(_END)]

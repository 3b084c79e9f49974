"""Rows of pictures under one another, each with its name if it has one, as one file."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

LEAST_SIDE, GAP, LINE = 64, 4, 16


def contact_sheet(rows: Sequence[tuple[str, NDArray[np.uint8]]], quality: int | None = None) -> bytes:
    """A picture of some rows.

    Args:
        rows: Each a name, which may be empty, and pictures, N x H x W x 3; small ones are enlarged by whole
            factors.
        quality: Of a WebP; None makes a PNG.
    """
    line = LINE if any(name for name, _ in rows) else 0
    height, width = rows[0][1].shape[1:3]
    factor = max(1, -(-LEAST_SIDE // max(height, width)))
    tile_w, tile_h = width * factor + GAP, height * factor + GAP
    columns = max(len(pictures) for _, pictures in rows)
    sheet = Image.new("RGB", (columns * tile_w + GAP, len(rows) * (tile_h + line) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for down, (name, pictures) in enumerate(rows):
        top = GAP + down * (tile_h + line)
        pen.text((GAP, top), name, fill="black")
        for across, picture in enumerate(pictures):
            tile = Image.fromarray(picture).resize(
                (width * factor, height * factor), Image.Resampling.NEAREST
            )
            sheet.paste(tile, (GAP + across * tile_w, top + line))
    stored = io.BytesIO()
    if quality is None:
        sheet.save(stored, format="PNG", optimize=True)
    else:
        sheet.save(stored, format="WEBP", quality=quality, method=6)
    return stored.getvalue()

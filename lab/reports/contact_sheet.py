"""Rows of pictures under one another, each with its name, as a PNG."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

LEAST_SIDE, GAP, LINE = 64, 4, 16


def contact_sheet(rows: Sequence[tuple[str, NDArray[np.uint8]]]) -> bytes:
    """A PNG of some rows.

    Args:
        rows: Each a name and pictures, N x H x W x 3; small ones are enlarged by whole factors.
    """
    height, width = rows[0][1].shape[1:3]
    factor = max(1, -(-LEAST_SIDE // max(height, width)))
    tile_w, tile_h = width * factor + GAP, height * factor + GAP
    columns = max(len(pictures) for _, pictures in rows)
    sheet = Image.new("RGB", (columns * tile_w + GAP, len(rows) * (tile_h + LINE) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for down, (name, pictures) in enumerate(rows):
        top = GAP + down * (tile_h + LINE)
        pen.text((GAP, top), name, fill="black")
        for across, picture in enumerate(pictures):
            tile = Image.fromarray(picture).resize(
                (width * factor, height * factor), Image.Resampling.NEAREST
            )
            sheet.paste(tile, (GAP + across * tile_w, top + LINE))
    stored = io.BytesIO()
    sheet.save(stored, format="PNG", optimize=True)
    return stored.getvalue()

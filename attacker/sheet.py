"""A pair as one picture to keep, and the latest pairs as a moving one."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from siftfunnel.attacker.side_by_side import Pair

TILE, GAP, MARGIN, LINE = 168, 14, 20, 20
PAPER, INK, SOFT, WELL = "#fffdf8", "#1a1d21", "#585f67", "#e9e6dc"
GIF_FRAME_MS = 1200
GIF_COLOURS = 128

Titles = Callable[[str], str]
"""From a bundle's digest to what people call the network."""


def pair_sheet(pair: Pair, title_of: Titles) -> Image.Image:
    """The picture on the left, one row per network: its name, what crossed the wire, what was rebuilt."""
    told = pair.as_json()
    row = TILE + 3 * LINE + GAP
    height = 2 * MARGIN + len(told["sides"]) * row
    sheet = Image.new("RGB", (2 * MARGIN + 3 * TILE + 3 * GAP, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    left, top = MARGIN, MARGIN + LINE
    _tile(sheet, told["original"], left, top, smooth=True)
    _write(pen, left, top + TILE, "the picture", told["label"] or "")
    for place, side in enumerate(told["sides"]):
        _lane(sheet, side, title_of(side["digest"]), left + TILE + 2 * GAP, MARGIN + place * row)
    return sheet


def history_gif(pairs: Sequence[Pair], title_of: Titles) -> bytes:
    """The pairs as a GIF that goes round, one after the other.

    Raises:
        ValueError: no pairs.
    """
    if not pairs:
        raise ValueError("there are no pairs yet")
    sheets = [pair_sheet(pair, title_of) for pair in pairs]
    tallest = max(sheet.height for sheet in sheets)
    frames = [_on_paper(sheet, tallest).quantize(GIF_COLOURS) for sheet in sheets]
    stored = io.BytesIO()
    frames[0].save(
        stored, "GIF", save_all=True, append_images=frames[1:], duration=GIF_FRAME_MS, loop=0, disposal=1
    )
    return stored.getvalue()


def _lane(sheet: Image.Image, side: Mapping[str, Any], title: str, left: int, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((left, top), title, INK, _font(15))
    top += LINE
    _groups(sheet, [group["picture"] for group in side["pictures"]["features"]], left, top)
    _tile(sheet, side["pictures"]["reconstruction"], left + TILE + GAP, top, smooth=True)
    near = side["similarity"]
    _write(pen, left, top + TILE, "on the wire", f"{side['payload_bytes']:,} bytes, codec {side['codec']}")
    likeness = f"PSNR {near['psnr']:.1f} dB, SSIM {near['ssim']:.2f}" if near else "not scored"
    _write(pen, left + TILE + GAP, top + TILE, "rebuilt from it", likeness)


def _groups(sheet: Image.Image, addresses: Sequence[str], left: int, top: int) -> None:
    """One tile, or four small ones where several tensors crossed the wire."""
    _tile(sheet, addresses[0] if len(addresses) == 1 else None, left, top, smooth=False)
    if len(addresses) > 1:
        half = TILE // 2
        for place, address in enumerate(addresses[:4]):
            _tile(sheet, address, left + place % 2 * half, top + place // 2 * half, smooth=False, side=half)


def _tile(
    sheet: Image.Image, address: str | None, left: int, top: int, smooth: bool, side: int = TILE
) -> None:
    ImageDraw.Draw(sheet).rectangle((left, top, left + side - 1, top + side - 1), WELL)
    if address is None:
        return
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    resampling = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    sheet.paste(picture.resize(size, resampling), (left + (side - size[0]) // 2, top + (side - size[1]) // 2))


def _write(pen: ImageDraw.ImageDraw, left: int, top: int, first: str, second: str) -> None:
    pen.text((left, top + 3), first, SOFT, _font(13))
    pen.text((left, top + 3 + LINE), second[:40], INK, _font(13))


def _on_paper(sheet: Image.Image, height: int) -> Image.Image:
    paper = Image.new("RGB", (sheet.width, height), PAPER)
    paper.paste(sheet)
    return paper


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)

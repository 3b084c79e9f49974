"""What a drawing says, read from its SVG: texts, tips, and which texts lie over one another."""

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

from matplotlib import get_data_path
from PIL import ImageFont

SVG = "{http://www.w3.org/2000/svg}"
FONT = ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 100)

Box = tuple[str, float, float, float, float]


def texts(svg: str) -> list[str]:
    """Everything that is written."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def tips(svg: str) -> list[str]:
    """What the mouse is told."""
    found = (group.findtext(f"{SVG}title") for group in ElementTree.fromstring(svg).iter(f"{SVG}g"))
    return [tip for tip in found if tip]


def _boxes(svg: str) -> Iterator[Box]:
    """Text and its left, top, right and bottom; a turned text is upright."""
    for text in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        style, words = text.get("style", ""), text.text or ""
        size = float(re.search(r"([\d.]+)px", style)[1])  # type: ignore[index]
        width = size * FONT.getlength(words) / 100
        anchor = re.search(r"text-anchor: (\w+)", style)
        before = {"middle": width / 2, "end": width}.get(anchor[1] if anchor else "", 0.0)
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        if "rotate(-90" in text.get("transform", ""):
            yield words, x - size, y - width + before, x, y + before
        else:
            yield words, x - before, y - 0.8 * size, x - before + width, y


def overlapping(svg: str) -> list[tuple[str, str]]:
    """Pairs of texts that lie over one another, or over the edge of the drawing."""
    width, height = (float(side) for side in ElementTree.fromstring(svg).get("viewBox", "").split()[2:])
    found = list(_boxes(svg))
    made = [(a[0], "the edge") for a in found if min(a[1:3]) < 0 or a[3] > width or a[4] > height]
    for a, b in combinations(found, 2):
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]:
            made.append((a[0], b[0]))
    return made

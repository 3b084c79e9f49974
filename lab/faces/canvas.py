"""A supersampled canvas of soft, anti-aliased shapes, drawn with Pillow.

Everything is painted ``OVERSAMPLING`` times larger than the picture and reduced once at the end, so that no
shape needs anti-aliasing of its own. Points are (N, 2) float arrays in canvas pixels, x to the right, y down.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from siftfunnel.lab.faces.palette import Colour

Points = NDArray[np.float64]

OVERSAMPLING = 4
BLUNT = (1.0, 1.0)
"""Of a stroke that is as wide at its ends as in its middle."""
_SAMPLES = 6

_T = np.arange(_SAMPLES)[:, None] / _SAMPLES
_CATMULL_ROM = 0.5 * np.concatenate(
    (-(_T**3) + 2 * _T**2 - _T, 3 * _T**3 - 5 * _T**2 + 2, -3 * _T**3 + 4 * _T**2 + _T, _T**3 - _T**2), axis=1
)


def closed_curve(points: Points) -> Points:
    """Pass a closed Catmull-Rom spline through (N, 2) points and sample it: (6 N, 2)."""
    around = np.concatenate((points[-1:], points, points[:2]))
    return _spline(around)


def open_curve(points: Points) -> Points:
    """Pass an open Catmull-Rom spline through (N, 2) points and sample it: (6 (N - 1) + 1, 2)."""
    padded = np.concatenate((2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]))
    return np.concatenate((_spline(padded), points[-1:]))


def _spline(padded: Points) -> Points:
    windows = np.stack((padded[:-3], padded[1:-2], padded[2:-1], padded[3:]), axis=1)
    return np.asarray(np.matmul(_CATMULL_ROM, windows).reshape(-1, 2))


def ellipse(centre: tuple[float, float], radii: tuple[float, float], samples: int = 24) -> Points:
    """Sample an axis-parallel ellipse: (samples, 2)."""
    return _unit_circle(samples) * radii + centre


@lru_cache(maxsize=64)
def _unit_circle(samples: int) -> Points:
    angle = np.linspace(0.0, 2 * np.pi, samples, endpoint=False)
    return np.stack((np.cos(angle), np.sin(angle)), axis=1)


def ribbon(line: Points, width: float, taper: tuple[float, float] = (0.0, 0.0)) -> Points:
    """Outline a brush stroke along a line: full width in the middle, ``taper`` of it at its two ends."""
    steps = np.empty_like(line)
    steps[1:-1] = line[2:] - line[:-2]
    steps[0], steps[-1] = line[1] - line[0], line[-1] - line[-2]
    length = np.sqrt(steps[:, 0] ** 2 + steps[:, 1] ** 2) + 1e-9
    offset = steps[:, ::-1] * (_across(len(line), taper) * (0.5 * width / length)[:, None])
    return np.concatenate((line + offset, (line - offset)[::-1]))


def spike(line: Points, width: float) -> Points:
    """Outline a lock of hair along a line: as wide as given at its root, pointed at its end."""
    steps = np.gradient(line, axis=0)
    length = np.hypot(steps[:, 0], steps[:, 1])[:, None] + 1e-9
    normals = np.stack((-steps[:, 1], steps[:, 0]), axis=1) / length
    t = np.linspace(0.0, 1.0, len(line))
    offset = normals * (0.5 * width * (1 - t**1.6))[:, None]
    return np.concatenate((line + offset, (line - offset)[::-1]))


@lru_cache(maxsize=512)
def _across(samples: int, taper: tuple[float, float]) -> Points:
    t = np.linspace(0.0, 1.0, samples)
    ends = taper[0] * (1 - t) + taper[1] * t
    profile = ends + (1 - ends) * np.sqrt(np.maximum(4 * t * (1 - t), 0.0))
    return np.stack((-profile, profile), axis=1)


class Canvas:
    """One picture being painted, back to front.

    Args:
        size: side of the finished picture in pixels.

    Attributes:
        unit: canvas pixels in which widths, radii and blurs are told; a head unit once a head is drawn.
    """

    def __init__(self, size: int) -> None:
        self.size, self.unit = size, 1.0
        self.side = size * OVERSAMPLING
        self.image = Image.new("RGB", (self.side, self.side))
        self._pen = ImageDraw.Draw(self.image, "RGBA")

    def fill(self, outline: Points, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a polygon with a colour, blended by alpha in [0, 1]."""
        self._pen.polygon(outline.ravel().tolist(), fill=(*colour, round(255 * alpha)))

    def stroke(
        self,
        line: Points,
        width: float,
        colour: Colour,
        alpha: float = 1.0,
        taper: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Draw a tapered brush stroke of a width in units along a line."""
        self.fill(ribbon(line, width * self.unit, taper), colour, alpha)

    def dot(
        self, at: Points, wide: float, tall: float, colour: Colour, alpha: float = 1.0, n: int = 24
    ) -> None:
        """Fill an ellipse of ``n`` corners around a point, its radii in units."""
        self.fill(ellipse((at[0], at[1]), (wide * self.unit, tall * self.unit), n), colour, alpha)

    def mask(self, *outlines: Points) -> Image.Image:
        """The union of polygons as a full-size 8-bit mask."""
        mask = Image.new("L", (self.side, self.side))
        pen = ImageDraw.Draw(mask)
        for outline in outlines:
            pen.polygon(outline.ravel().tolist(), fill=255)
        return mask

    def paint(self, mask: Image.Image, colour: Colour) -> None:
        """Lay a colour over the picture where the mask is set, in proportion to it."""
        box = mask.getbbox()
        if box is not None:
            self.image.paste(colour, box, mask.crop(box))

    def glow(
        self,
        outline: Points,
        blur: float,
        colour: Colour,
        alpha: float = 1.0,
        within: Image.Image | None = None,
    ) -> None:
        """Fill a polygon with edges soft over ``blur`` units, shown only inside a mask."""
        blur *= self.unit
        reach = 2.5 * blur
        near, far = ((outline.min(axis=0) - reach), (outline.max(axis=0) + reach))
        left, top = np.floor(near / OVERSAMPLING).astype(int).clip(0, self.size).tolist()
        right, bottom = np.ceil(far / OVERSAMPLING).astype(int).clip(0, self.size).tolist()
        if left >= right or top >= bottom:
            return
        low = Image.new("L", (right - left, bottom - top))
        placed = outline / OVERSAMPLING - (left, top)
        ImageDraw.Draw(low).polygon(placed.ravel().tolist(), fill=round(255 * alpha))
        self._blend(low.filter(ImageFilter.GaussianBlur(blur / OVERSAMPLING)), (left, top), colour, within)

    def tone(self, low: Image.Image, colour: Colour, within: Image.Image) -> None:
        """Lay a colour through a picture-size mask, limited by a full-size one."""
        box = within.getbbox()
        if box is not None:
            left, top = box[0] // OVERSAMPLING, box[1] // OVERSAMPLING
            right, bottom = -(-box[2] // OVERSAMPLING), -(-box[3] // OVERSAMPLING)
            self._blend(low.crop((left, top, right, bottom)), (left, top), colour, within)

    def _blend(
        self, low: Image.Image, corner: tuple[int, int], colour: Colour, within: Image.Image | None
    ) -> None:
        soft = low.resize((low.width * OVERSAMPLING, low.height * OVERSAMPLING), Image.Resampling.BILINEAR)
        left, top = corner[0] * OVERSAMPLING, corner[1] * OVERSAMPLING
        box = (left, top, left + soft.width, top + soft.height)
        if within is not None:
            soft = ImageChops.multiply(soft, within.crop(box))
        self.image.paste(colour, box, soft)

    @contextmanager
    def clipped(self, *outlines: Points) -> Iterator[None]:
        """Let everything painted inside the block show only within the polygons."""
        points = np.concatenate(outlines)
        left, top = np.floor(points.min(axis=0)).astype(int).tolist()
        right, bottom = (np.ceil(points.max(axis=0)).astype(int) + 1).tolist()
        box = (max(left, 0), max(top, 0), min(right, self.side), min(bottom, self.side))
        if box[0] >= box[2] or box[1] >= box[3]:
            yield
            return
        before, mask = self.image.copy(), Image.new("L", (box[2] - box[0], box[3] - box[1]))
        pen = ImageDraw.Draw(mask)
        for outline in outlines:
            pen.polygon((outline - box[:2]).ravel().tolist(), fill=255)
        yield
        painted = self.image.crop(box)
        self.image.paste(before)
        self.image.paste(painted, box[:2], mask)

    def finish(self) -> NDArray[np.uint8]:
        """Reduce to the picture's size: uint8, shape (size, size, 3)."""
        return np.asarray(self.image.resize((self.size, self.size), Image.Resampling.LANCZOS))

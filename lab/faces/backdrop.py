"""What stands behind the person: gradients, soft shapes and patterns."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from siftfunnel.lab.faces.canvas import BLUNT, Canvas, ellipse
from siftfunnel.lab.faces.palette import Colour, jittered, mix, scaled

PAIRS: tuple[tuple[Colour, Colour], ...] = (
    ((244, 226, 204), (226, 178, 150)),
    ((192, 216, 226), (122, 166, 194)),
    ((216, 226, 198), (146, 178, 142)),
    ((240, 212, 128), (222, 162, 88)),
    ((210, 200, 228), (150, 138, 192)),
    ((72, 94, 126), (38, 50, 80)),
    ((126, 172, 166), (58, 108, 114)),
    ((236, 176, 154), (200, 112, 104)),
    ((112, 84, 112), (58, 46, 76)),
    ((232, 232, 228), (186, 190, 196)),
    ((112, 134, 104), (60, 82, 70)),
    ((250, 234, 232), (234, 190, 200)),
    ((168, 136, 108), (106, 80, 68)),
    ((240, 230, 196), (168, 206, 196)),
)


def draw_backdrop(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the canvas with one of the backdrops, in two related colours."""
    pair = PAIRS[int(rng.integers(len(PAIRS)))]
    first, second = (jittered(colour, rng, 9.0) for colour in (pair if rng.random() < 0.5 else pair[::-1]))
    _gradient(canvas, rng, first, second)
    BACKDROPS[int(rng.integers(len(BACKDROPS)))](canvas, rng, first, second)


def _gradient(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    angle, size = rng.uniform(0, 2 * np.pi), canvas.size
    steps = (np.arange(size) + 0.5) / size - 0.5
    slope = steps[None, :] * np.cos(angle) + steps[:, None] * np.sin(angle)
    along = np.clip(0.5 + 0.8 * slope, 0, 1)[..., None]
    blend = np.array(first) * (1 - along) + np.array(second) * along
    image = Image.fromarray(np.round(blend).astype(np.uint8))
    canvas.image.paste(image.resize((canvas.side, canvas.side), Image.Resampling.BILINEAR))


def _plain(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    at = rng.uniform(0.3, 0.7) * canvas.side
    halo = ellipse((at, 0.42 * canvas.side), (0.45 * canvas.side, 0.45 * canvas.side))
    canvas.glow(halo, 0.16 * canvas.side, mix(first, (255, 255, 255), 0.55), 0.6)


def _bokeh(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    for _ in range(int(rng.integers(6, 13))):
        x, y = rng.uniform(-0.05, 1.05, 2) * canvas.side
        radius = rng.uniform(0.05, 0.17) * canvas.side
        tint = mix(second if rng.random() < 0.5 else first, (255, 250, 225), rng.uniform(0.25, 0.7))
        canvas.fill(ellipse((x, y), (radius, radius)), tint, rng.uniform(0.2, 0.5))


def _stripes(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    slope, step = rng.uniform(-1.0, 1.0), rng.uniform(0.13, 0.28) * canvas.side
    tint = mix(second, (255, 255, 255), 0.35)
    for i in range(-8, 16):
        x = i * step
        line = np.array(((x, 0.0), (x + slope * canvas.side, 1.0 * canvas.side)))
        canvas.stroke(line, 0.45 * step, tint, 0.5, BLUNT)


def _sun(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    x, y = rng.uniform(0.3, 0.7) * canvas.side, rng.uniform(0.32, 0.55) * canvas.side
    for radius, amount in ((0.50, 0.25), (0.42, 0.4), (0.34, 0.6)):
        disc = ellipse((x, y), (radius * canvas.side, radius * canvas.side), 48)
        canvas.fill(disc, mix(second, (255, 246, 226), amount), 0.7)


def _hills(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    x = np.linspace(-0.1, 1.1, 40)
    for i, level in enumerate((0.42, 0.58, 0.74)):
        wave = level + 0.07 * np.sin(x * rng.uniform(4, 9) + rng.uniform(0, 6)) + 0.02 * np.sin(17 * x)
        ridge = np.concatenate((np.stack((x, wave), axis=1), ((1.1, 1.1), (-0.1, 1.1)))) * canvas.side
        canvas.fill(ridge, scaled(mix(second, (60, 96, 92), 0.25 * i), 0.94 - 0.1 * i))


def _dots(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    step = rng.uniform(0.14, 0.22)
    tint = mix(second, (255, 255, 255) if rng.random() < 0.5 else (30, 30, 60), 0.4)
    radius = 0.2 * step * canvas.side
    for row in range(int(1 / step) + 2):
        for column in range(int(1 / step) + 2):
            x, y = (column + 0.5 * (row % 2)) * step * canvas.side, row * step * canvas.side
            canvas.fill(ellipse((x, y), (radius, radius), 14), tint, 0.55)


def _window(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    left, top = rng.uniform(0.02, 0.55), rng.uniform(0.0, 0.15)
    pane = np.array(((left, top), (left + 0.42, top), (left + 0.42, top + 0.62), (left, top + 0.62)))
    canvas.fill(pane * canvas.side, mix(second, (226, 242, 255), 0.75))
    frame = scaled(first, 0.62)
    for start, stop in ((0, 1), (1, 2), (2, 3), (3, 0)):
        canvas.stroke(pane[[start, stop]] * canvas.side, 0.035 * canvas.side, frame, 1.0, BLUNT)
    bar = np.array(((left + 0.21, top), (left + 0.21, top + 0.62)))
    canvas.stroke(bar * canvas.side, 0.025 * canvas.side, frame, 1.0, BLUNT)


def _leaves(canvas: Canvas, rng: np.random.Generator, first: Colour, second: Colour) -> None:
    for _ in range(12):
        x, y = rng.uniform(0, 1, 2) * canvas.side
        angle, long = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.24) * canvas.side
        along = np.array((np.cos(angle), np.sin(angle))) * long
        tint = mix(mix(second, (58, 122, 88), rng.uniform(0.2, 0.6)), (255, 255, 230), rng.uniform(0, 0.25))
        start = np.array((x, y))
        canvas.stroke(start + np.linspace(0, 1, 9)[:, None] * along, 0.42 * long, tint, 0.6)


BACKDROPS: tuple[Callable[[Canvas, np.random.Generator, Colour, Colour], None], ...] = (
    _plain,
    _bokeh,
    _stripes,
    _sun,
    _hills,
    _dots,
    _window,
    _leaves,
)

"""What hair is made of: strands, locks, tufts and curls."""

import numpy as np
from PIL import Image

from siftfunnel.lab.faces.canvas import Canvas, Points, ellipse, open_curve, spike
from siftfunnel.lab.faces.hairstyles import HairStyle
from siftfunnel.lab.faces.identity import Identity
from siftfunnel.lab.faces.palette import Colour, light_of, mix, scaled
from siftfunnel.lab.faces.pose import Pose, Take

Shades = tuple[Image.Image, Image.Image]


def dark(colour: Colour) -> Colour:
    """The colour of a strand in shade."""
    return mix(scaled(colour, 0.55), (26, 16, 34), 0.2)


def bright(colour: Colour) -> Colour:
    """The colour of a strand in the light."""
    return mix(scaled(colour, 1.25), (255, 236, 206), 0.26)


def curled(outline: Points, depth: float, seed: int) -> Points:
    """Turn a smooth silhouette into one of curls of a depth in canvas pixels; the seed shifts them along."""
    if depth <= 0:
        return outline
    closed = np.concatenate((outline, outline[:1]))
    steps = np.hypot(*np.diff(closed, axis=0).T)
    along = np.concatenate(((0.0,), np.cumsum(steps)))
    dense = np.linspace(0.0, along[-1], 160, endpoint=False)
    points = np.stack((np.interp(dense, along, closed[:, 0]), np.interp(dense, along, closed[:, 1])), axis=1)
    bumps = max(8, round(along[-1] / (depth * 4.2)))
    wave = np.abs(np.sin(np.linspace(0, np.pi * bumps, 160, endpoint=False) + seed % 7))
    tangent = np.gradient(points, axis=0)
    length = np.hypot(tangent[:, 0], tangent[:, 1])[:, None] + 1e-9
    normal = np.stack((tangent[:, 1], -tangent[:, 0]), axis=1) / length
    return np.asarray(points + normal * (depth * (wave - 0.3))[:, None])


def resampled(line: Points, count: int) -> Points:
    """The same line with ``count`` points."""
    t = np.linspace(0, len(line) - 1, count)
    whole = np.arange(len(line))
    return np.stack((np.interp(t, whole, line[:, 0]), np.interp(t, whole, line[:, 1])), axis=1)


def draw_strands(
    canvas: Canvas, person: Identity, pose: Pose, style: HairStyle, outer: Points, inner: Points
) -> None:
    """Strands between the silhouette and the hairline, the way the style is worn."""
    if style.strands == "comb":
        _draw_combed(canvas, person, pose, outer, inner)
    elif style.strands == "crown":
        _draw_radial(canvas, person, pose, outer, inner)
    elif style.strands == "curls":
        _draw_curls(canvas, person, pose, outer, inner)


def _draw_combed(canvas: Canvas, person: Identity, pose: Pose, outer: Points, inner: Points) -> None:
    rng = np.random.default_rng(person.seed + 5)
    count = 33
    out, inn = resampled(outer, count), resampled(inner, count)
    part = int(np.argmin(inn[8:25, 1])) + 8
    low, high = dark(person.hair_colour), bright(person.hair_colour)
    for i, share in enumerate((0.08, 0.2, 0.32, 0.45, 0.58, 0.7, 0.82, 0.92)):
        line = inn * (1 - share) + out * share
        tint = high if i in (2, 5) else low
        stop = rng.integers(0, 4)
        width = rng.uniform(0.03, 0.055)
        if part - stop > 4:
            canvas.stroke(line[stop : part + 1], width, tint, 0.42)
        if count - stop - part > 4:
            canvas.stroke(line[part : count - stop], width, tint, 0.42)
    parting = np.stack((inn[part], 0.45 * inn[part] + 0.55 * out[part]))
    canvas.stroke(parting, 0.035, low, 0.8, (1.0, 0.0))
    canvas.stroke((out * 0.62 + inn * 0.38)[6:27], 0.11, light_of(high, 0.3), 0.22)


def _draw_radial(canvas: Canvas, person: Identity, pose: Pose, outer: Points, inner: Points) -> None:
    rng = np.random.default_rng(person.seed + 5)
    count = 29
    out, inn = resampled(outer, count), resampled(inner, count)
    low, high = dark(person.hair_colour), bright(person.hair_colour)
    for i in range(2, count - 2):
        near, far = rng.uniform(0.02, 0.3), rng.uniform(0.7, 1.0)
        bend = (rng.uniform(-0.04, 0.04) + 0.04 * person.parting) * pose.unit
        a, b = out[i] * (1 - near) + inn[i] * near, out[i] * (1 - far) + inn[i] * far
        middle = 0.5 * (a + b) + (bend, 0)
        canvas.stroke(open_curve(np.stack((a, middle, b))), 0.042, high if i % 3 == 0 else low, 0.34)
    canvas.stroke((out * 0.6 + inn * 0.4)[7:22], 0.11, light_of(high, 0.3), 0.22)


def _draw_curls(canvas: Canvas, person: Identity, pose: Pose, outer: Points, inner: Points) -> None:
    rng = np.random.default_rng(person.seed + 9)
    out, inn = resampled(outer, 40), resampled(inner, 40)
    low, high = dark(person.hair_colour), bright(person.hair_colour)
    for i in range(38):
        at, share = int(rng.integers(2, 38)), rng.uniform(0.06, 0.94)
        x, y = out[at] * (1 - share) + inn[at] * share
        radius = rng.uniform(0.06, 0.10) * pose.unit
        start = int(rng.integers(0, 8))
        arc = ellipse((x, y), (radius, 0.9 * radius), 16)[start : start + 9]
        canvas.stroke(arc, 0.042, high if i % 2 else low, 0.5)


def draw_locks(
    canvas: Canvas, person: Identity, pose: Pose, take: Take, style: HairStyle, outer: Points, inner: Points
) -> None:
    """Locks over the hairline and tufts beyond the silhouette, which make short hair look like hair."""
    rng = np.random.default_rng(person.seed + 7)
    sway = 0.5 * person.parting + 0.35 * take.hair_sway
    colour = person.hair_colour
    tints = (colour, scaled(colour, 0.9), mix(colour, bright(colour), 0.25))
    out, inn = resampled(outer, 30), resampled(inner, 30)
    centre = out.mean(axis=0)
    for i in range(9, 22, 2) if style.tufts else ():
        away = out[i] - centre
        away = away / (np.hypot(away[0], away[1]) + 1e-9)
        lean = np.array((-away[1], away[0])) * (sway + rng.uniform(-0.2, 0.2))
        reach = style.tufts * rng.uniform(0.6, 1.1) * pose.unit
        root = out[i] - (0.22 * away + 0.10 * lean) * pose.unit
        tip = out[i] + reach * (away + 0.9 * lean)
        lock = open_curve(np.stack((root, out[i] + 0.4 * reach * away, tip)))
        canvas.fill(spike(lock, 0.30 * pose.unit), tints[i // 2 % 3])
    for i in range(5, 26, 2) if style.locks else ():
        up = out[i] - inn[i]
        root = inn[i] + 0.5 * up
        reach = style.locks * rng.uniform(0.5, 1.1) * pose.unit
        tip = inn[i] + (reach * (1.3 * sway + rng.uniform(-0.3, 0.3)), reach)
        lock = open_curve(np.stack((root, inn[i] + 0.10 * up, tip)))
        canvas.fill(spike(lock, 0.22 * pose.unit), tints[i // 2 % 3])

"""The head itself: neck, ears, the shape of the face, its shading, and what lies on the skin."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from siftfunnel.lab.faces.canvas import Canvas, Points, closed_curve, ellipse, open_curve
from siftfunnel.lab.faces.identity import Identity
from siftfunnel.lab.faces.palette import Colour, light_of, mix, scaled, shadow_of
from siftfunnel.lab.faces.pose import Pose, Take


def face_outline(person: Identity, pose: Pose) -> Points:
    """The silhouette of skull and jaw in canvas pixels."""
    w, length = person.width, person.length
    half = np.array(
        (
            (0.42 * w, -0.985),
            (0.80 * w, -0.74),
            (0.98 * w, -0.34),
            (1.0 * w, 0.04),
            (0.97 * w * person.cheeks, 0.34 * length),
            (person.jaw * w, 0.64 * length),
            ((0.5 * person.jaw + 0.5 * person.chin) * w, 0.87 * length),
            (0.62 * person.chin * w, 0.985 * length),
        )
    )
    points = np.concatenate((((0.0, -1.04),), half, ((0.0, 1.01 * length),), _mirrored(half)))
    depth = 0.16 + 0.16 * np.clip(points[:, 1], 0.0, 1.0)
    return closed_curve(pose.on_outline(points, depth))


def _mirrored(half: Points) -> Points:
    return np.asarray(half[::-1] * (-1.0, 1.0))


def shade_map(pose: Pose, take: Take, size: int) -> tuple[Image.Image, Image.Image]:
    """Picture-size masks of where a head is in shade and where it catches the light."""
    x, y = pose.head_grid(size)
    nx, ny = x / 0.86, (y + 0.02) / 1.2
    nz = np.sqrt(np.maximum(1 - nx**2 - ny**2, 0.0))
    lx, ly = 0.78 * take.light_side, -0.62 * take.light_height - 0.1
    lambert = nx * lx + ny * ly + nz * np.sqrt(max(1 - lx * lx - ly * ly, 0.05))
    shade = np.clip((0.56 - lambert) / 0.55, 0.0, 1.0) ** 1.2 * (0.45 + 0.5 * take.contrast)
    light = np.clip((lambert - 0.78) / 0.22, 0.0, 1.0) ** 2 * (0.25 + 0.35 * take.contrast)
    return _as_mask(shade), _as_mask(light)


def _as_mask(amount: Points) -> Image.Image:
    return Image.fromarray(np.round(255 * np.clip(amount, 0, 1)).astype(np.uint8))


def draw_neck(canvas: Canvas, person: Identity, pose: Pose, face: Points) -> None:
    """The neck, and the shadow the chin throws on it."""
    wide = 0.50 * person.width * (0.85 + 0.35 * person.jaw)
    half = np.array(
        ((0.95 * wide, 0.3), (0.95 * wide, 0.9), (1.0 * wide, 1.2), (1.35 * wide, 1.5), (1.5 * wide, 2.2))
    )
    neck = closed_curve(pose.on_body(np.concatenate((half, _mirrored(half)))))
    canvas.fill(neck, scaled(person.skin, 0.95, 0.92, 0.91))
    shadow = face + np.array((0.0, 0.16 * pose.unit))
    canvas.glow(shadow, 0.05, shadow_of(person.skin, 1.2), 0.75, canvas.mask(neck))


def draw_ears(canvas: Canvas, person: Identity, pose: Pose, shades: tuple[Image.Image, Image.Image]) -> None:
    """Both ears; the head drawn afterwards hides the far one as it turns."""
    for side in (-1.0, 1.0):
        x, tall = side * person.width * 0.99, 0.19 * person.ears
        places = ((-0.06, -0.12), (0.07, -0.15), (0.13, 0.0), (0.08, 0.17), (-0.05, 0.22))
        shape = np.array([(x + side * dx, 0.09 + (y - 0.03) * tall / 0.19) for dx, y in places])
        ear = closed_curve(pose.on_outline(shape, -0.16))
        canvas.fill(ear, scaled(person.skin, 0.97, 0.91, 0.9))
        fold = ((x + side * 0.01, -0.04), (x + side * 0.075, 0.0), (x + side * 0.03, 0.13))
        canvas.stroke(open_curve(pose.on_outline(fold, -0.16)), 0.045, shadow_of(person.skin, 1.1), 0.7)
        canvas.tone(shades[0], shadow_of(person.skin), canvas.mask(ear))
        if person.earrings:
            lobe = pose.on_outline(((x + side * 0.03, 0.09 + 1.05 * tall),), -0.16)[0]
            spot = ellipse((lobe[0], lobe[1]), (0.05 * pose.unit, 0.06 * pose.unit), 12)
            canvas.fill(spot, (236, 200, 112))
            canvas.fill(spot * 0.5 + (lobe - 0.018 * pose.unit) * 0.5, (255, 246, 214))


def draw_face(
    canvas: Canvas, person: Identity, pose: Pose, face: Points, shades: tuple[Image.Image, Image.Image]
) -> Image.Image:
    """The skin of the face with its shading; returns the face's mask."""
    mask = canvas.mask(face)
    canvas.paint(mask, person.skin)
    flush = mix(person.skin, (226, 84, 76), 0.55)
    for side in (-1.0, 1.0):
        cheek = pose.on_face(ellipse((side * 0.58 * person.width, 0.36), (0.20, 0.15)))
        canvas.glow(cheek, 0.11, flush, 0.75 * person.blush, mask)
        socket = pose.on_face(ellipse((side * person.eye_spacing, person.eye_height - 0.02), (0.22, 0.15)))
        canvas.glow(socket, 0.07, shadow_of(person.skin), 0.34, mask)
    canvas.tone(shades[0], shadow_of(person.skin, 1.05), mask)
    canvas.tone(shades[1], light_of(person.skin, 0.36), mask)
    _draw_age(canvas, person, pose)
    _draw_spots(canvas, person, pose)
    return mask


def _draw_age(canvas: Canvas, person: Identity, pose: Pose) -> None:
    if person.age < 0.4:
        return
    for line, weight, share in _creases(person):
        curve = pose.on_face(line)
        strength = 0.55 * (person.age - 0.2) * share
        curve = open_curve(curve) if len(curve) > 2 else curve
        canvas.stroke(curve, weight, shadow_of(person.skin, 1.25), strength)


def _creases(person: Identity) -> Iterator[tuple[ArrayLike, float, float]]:
    """The lines of age: points, width in head units, share of the full strength."""
    y = person.eye_height
    for side in (-1.0, 1.0):
        eye = np.array((side * person.eye_spacing, y))
        yield ((side * 0.17, 0.36), (side * 0.28, 0.48), (side * 0.33, 0.64)), 0.04, 1.0
        yield np.array(((-0.13, 0.16), (0.0, 0.195), (0.12, 0.17))) + eye, 0.035, 0.8
        for dy in (-0.05, 0.05) if person.age > 0.6 else ():
            yield ((side * 0.56, y + 0.03 + 0.6 * dy), (side * 0.66, y + 0.02 + 1.6 * dy)), 0.03, 1.0
    for y in (-0.46, -0.57) if person.age > 0.6 else ():
        yield ((-0.32, y + 0.02), (0.0, y - 0.015), (0.32, y + 0.02)), 0.03, 0.7


def _draw_spots(canvas: Canvas, person: Identity, pose: Pose) -> None:
    spots = np.random.default_rng(person.seed + 17)
    if person.freckles:
        colour: Colour = mix(person.skin, (150, 78, 42), 0.6)
        places = np.stack((spots.uniform(-0.48, 0.48, 26), spots.normal(0.30, 0.07, 26)), axis=1)
        for at in pose.on_face(places, 0.02):
            canvas.dot(at, 0.02, 0.018, colour, 0.75 * person.freckles, 8)
    if person.mole is not None:
        colour = scaled(person.skin, 0.38, 0.28, 0.26)
        canvas.dot(pose.on_face((person.mole,))[0], 0.032, 0.032, colour, n=10)

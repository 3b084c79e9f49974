"""Beards and moustaches."""

import numpy as np

from siftfunnel.lab.faces.canvas import Canvas, Points, closed_curve, ellipse, open_curve
from siftfunnel.lab.faces.hairstyles import Line
from siftfunnel.lab.faces.identity import Identity
from siftfunnel.lab.faces.palette import mix, scaled
from siftfunnel.lab.faces.pose import Pose, Take
from siftfunnel.lab.faces.strands import Shades, bright, curled, dark

_FULL: Line = ((1.0, 0.10), (0.98, 0.40), (0.90, 0.80), (0.55, 1.10), (0.0, 1.16))
_INNER: Line = ((0.90, 0.16), (0.78, 0.44), (0.48, 0.52), (0.26, 0.50), (0.0, 0.52))


def draw_beard(
    canvas: Canvas, person: Identity, pose: Pose, take: Take, shades: Shades, face: Points
) -> None:
    """Beard and moustache, under the mouth that is drawn over them."""
    if person.beard == "none":
        return
    colour, drop = person.beard_colour, 0.10 * take.mouth_open
    if person.beard in ("stubble", "full", "long"):
        half = np.array(_FULL) * (person.width, person.length)
        inner = np.array(_INNER) * (person.width, 1.0)
        edge = np.concatenate((half, (half * (-1.0, 1.0))[-2::-1], inner * (-1.0, 1.0), inner[-2::-1]))
        outline = closed_curve(pose.on_face(edge, 0.02))
        if person.beard == "stubble":
            tint = mix(scaled(colour, 0.9), person.skin, 0.35)
            canvas.glow(outline, 0.05, tint, 0.42, canvas.mask(face))
            return
        if person.beard == "long":
            chin = ellipse((0.0, 0.95 + drop), (0.62 * person.width, 0.46), 24)
            hanging = closed_curve(pose.on_outline(chin, 0.28))
            canvas.fill(curled(hanging, 0.02 * pose.unit, person.seed), colour)
        with canvas.clipped(_grown(face, pose)):
            canvas.fill(outline, colour)
        canvas.tone(shades[0], dark(colour), canvas.mask(outline))
        _draw_whiskers(canvas, person, pose)
    if person.beard == "goatee":
        patch = ellipse((0.0, 0.88 * person.length + drop), (0.24, 0.18), 20)
        canvas.fill(curled(closed_curve(pose.on_face(patch, 0.1)), 0.015 * pose.unit, 1), colour, 0.94)
    y, wide = person.mouth_height - 0.075, person.mouth_width * 1.12
    for side in (-1.0, 1.0):
        end = (side * wide, y + 0.05 - 0.06 * take.smile)
        lip = pose.on_face(((0.0, y - 0.03), (side * 0.4 * wide, y - 0.03), end), 0.08)
        canvas.stroke(open_curve(lip), 0.12, colour, 0.97, (0.7, 0.2))


def _grown(face: Points, pose: Pose) -> Points:
    centre = face.mean(axis=0)
    return np.asarray(centre + (face - centre) * 1.05)


def _draw_whiskers(canvas: Canvas, person: Identity, pose: Pose) -> None:
    rng = np.random.default_rng(person.seed + 3)
    for i in range(16):
        x, y = rng.uniform(-0.75, 0.75) * person.width, rng.uniform(0.78, 0.98)
        tint = bright(person.beard_colour) if i % 2 else dark(person.beard_colour)
        canvas.stroke(pose.on_face(((x, y), (0.93 * x, y + 0.12)), 0.02), 0.035, tint, 0.45)

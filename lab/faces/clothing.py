"""Clothes at the lower edge of the picture, and glasses."""

import numpy as np

from siftfunnel.lab.faces.canvas import BLUNT, Canvas, Points, closed_curve, ellipse, open_curve
from siftfunnel.lab.faces.identity import Identity
from siftfunnel.lab.faces.palette import CLOTHES, WHITE, Colour, jittered, mix, scaled
from siftfunnel.lab.faces.pose import Pose, Take


def draw_clothes(canvas: Canvas, person: Identity, pose: Pose, take: Take, rng: np.random.Generator) -> None:
    """Shoulders in the person's kind of garment; two times in five in another colour than the favourite."""
    colour = person.outfit_colour if rng.random() < 0.6 else CLOTHES[int(rng.integers(len(CLOTHES)))]
    colour = jittered(colour, rng, 8.0)
    wide = 1.18 + 0.18 * person.jaw
    half = np.array(((0.36, 1.22), (0.62, 1.34), (0.9 * wide, 1.50), (1.12 * wide, 1.85), (1.2 * wide, 2.6)))
    body = closed_curve(pose.on_body(np.concatenate((((0.0, 1.42),), half, half[::-1] * (-1.0, 1.0)))))
    canvas.fill(body, colour)
    with canvas.clipped(body):
        _draw_pattern(canvas, person, pose, colour)
        lit = 1.0 if take.light_side > 0 else -1.0
        shaded, bright = ellipse((-lit * 1.2, 2.0), (0.75, 0.9)), ellipse((lit * 0.95, 1.6), (0.3, 0.16))
        canvas.glow(pose.on_body(shaded), 0.2, scaled(colour, 0.6), 0.6)
        canvas.glow(pose.on_body(bright), 0.12, mix(colour, WHITE, 0.45), 0.45)
    _draw_collar(canvas, person, pose, colour)


def _draw_pattern(canvas: Canvas, person: Identity, pose: Pose, colour: Colour) -> None:
    if person.outfit != "stripes":
        return
    other = scaled(colour, 0.62) if sum(colour) > 420 else mix(colour, WHITE, 0.75)
    for y in (1.52, 1.76, 2.0, 2.24):
        canvas.stroke(pose.on_body(((-1.8, y), (0.0, y + 0.10), (1.8, y))), 0.11, other, 0.9, BLUNT)


def _draw_collar(canvas: Canvas, person: Identity, pose: Pose, colour: Colour) -> None:
    dark = scaled(colour, 0.68)
    if person.outfit == "turtleneck":
        collar = np.array(
            ((-0.44, 1.04), (0.0, 1.14), (0.44, 1.04), (0.50, 1.42), (0.0, 1.52), (-0.50, 1.42))
        )
        canvas.fill(closed_curve(pose.on_body(collar)), mix(colour, WHITE, 0.08))
        canvas.stroke(open_curve(pose.on_body(collar[[5, 4, 3]])), 0.05, dark, 0.7)
    elif person.outfit in ("shirt", "jacket"):
        _draw_lapels(canvas, person, pose, colour)
    elif person.outfit == "hoodie":
        for side in (-1.0, 1.0):
            hood = np.array(((0.30, 1.08), (0.66, 1.20), (0.74, 1.42), (0.22, 1.72), (0.10, 1.60)))
            cord = np.array(((0.16, 1.66), (0.17, 2.1)))
            canvas.fill(closed_curve(pose.on_body(hood * (side, 1))), scaled(colour, 0.84))
            canvas.stroke(pose.on_body(cord * (side, 1)), 0.05, mix(colour, WHITE, 0.8))
    elif person.outfit == "vneck":
        neck = pose.on_body(((-0.36, 1.24), (-0.17, 1.48), (0.0, 1.72), (0.17, 1.48), (0.36, 1.24)))
        canvas.fill(neck, scaled(person.skin, 0.93, 0.88, 0.87))
        canvas.stroke(neck, 0.06, dark, 0.9, BLUNT)
    else:
        neck = open_curve(pose.on_body(((-0.38, 1.22), (0.0, 1.46), (0.38, 1.22))))
        canvas.stroke(neck, 0.09, dark, 0.85, BLUNT)


def _draw_lapels(canvas: Canvas, person: Identity, pose: Pose, colour: Colour) -> None:
    if person.outfit == "jacket":
        chest = ((-0.40, 1.16), (0.0, 1.9), (0.40, 1.16), (0.3, 1.36), (0.0, 1.46), (-0.3, 1.36))
        canvas.fill(pose.on_body(chest), (240, 238, 232))
    for side in (-1.0, 1.0):
        lapel = np.array(((0.34, 1.10), (0.56, 1.26), (0.44, 1.62), (0.06, 1.5))) * (side, 1)
        canvas.fill(pose.on_body(lapel), mix(colour, WHITE, 0.14))
        canvas.stroke(pose.on_body(lapel[[1, 2, 3]]), 0.04, scaled(colour, 0.55), 0.8, BLUNT)
    canvas.stroke(pose.on_body(((0.0, 1.5), (0.0, 2.2))), 0.04, scaled(colour, 0.5), 0.8, BLUNT)


def draw_glasses(canvas: Canvas, person: Identity, pose: Pose, take: Take) -> None:
    """Glasses for who wears them; left off in one picture of seven."""
    if person.glasses == "none" or not take.glasses:
        return
    y, frame = person.eye_height + 0.03, person.glasses_colour
    for side in (-1.0, 1.0):
        rim = _rim(person, side) + np.array((side * (person.eye_spacing + 0.01), y))
        lens = pose.on_face(rim, 0.10)
        canvas.fill(lens, (226, 240, 250), 0.14)
        glare = lens.mean(axis=0) + (lens[[len(lens) // 8, 5 * len(lens) // 8]] - lens.mean(axis=0)) * 0.6
        glare[:, 1] -= 0.07 * pose.unit
        canvas.stroke(glare, 0.05, WHITE, 0.35)
        if person.glasses == "half":
            canvas.stroke(lens[len(lens) // 2 :], 0.0625, frame, 0.97, (0.8, 0.8))
        else:
            canvas.stroke(np.concatenate((lens, lens[:2])), 0.05, frame, 0.97, BLUNT)
        hinge = pose.on_face(((side * (person.eye_spacing + 0.25), y - 0.05),), 0.10)
        ear = pose.on_outline(((side * person.width, y - 0.02),), -0.02)
        canvas.stroke(np.concatenate((hinge, ear)), 0.045, frame, 0.95, BLUNT)
    gap = person.eye_spacing - 0.235
    bridge = pose.on_face(((-gap, y - 0.04), (0.0, y - 0.08), (gap, y - 0.04)), 0.12)
    canvas.stroke(open_curve(bridge), 0.05, frame, 0.97, BLUNT)


def _rim(person: Identity, side: float) -> Points:
    if person.glasses == "round":
        return ellipse((0.0, 0.0), (0.25, 0.24), 28)
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    square = np.stack(
        (0.255 * np.sign(cos) * np.abs(cos) ** 0.45, 0.195 * np.sign(sin) * np.abs(sin) ** 0.45), axis=1
    )
    if person.glasses == "cat":
        square[:, 1] -= 0.22 * np.maximum(side * square[:, 0], 0.0) * (sin < 0.2)
    return square

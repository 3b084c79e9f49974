"""Hair behind the head: what hangs, knots, tails and braids."""

import numpy as np

from siftfunnel.lab.faces.canvas import Canvas, closed_curve, ellipse, open_curve
from siftfunnel.lab.faces.hairstyles import HAIRSTYLES, HairStyle
from siftfunnel.lab.faces.identity import Identity
from siftfunnel.lab.faces.palette import scaled
from siftfunnel.lab.faces.pose import Pose, Take
from siftfunnel.lab.faces.strands import Shades, bright, curled, dark


def draw_back_hair(canvas: Canvas, person: Identity, pose: Pose, take: Take, shades: Shades) -> None:
    """What hangs behind head and neck: long hair, tails, knots, a scarf's fall."""
    style, colour = HAIRSTYLES[person.hair_style], scaled(person.hair_colour, 0.80)
    if style.extra in ("bun", "tail", "puffs"):
        _draw_knot(canvas, person, pose, take, style)
    if not style.back:
        return
    half = np.array(style.back) * (person.width, 1.0)
    half[:, 0] *= 1 + 0.3 * (person.hair_volume - 1)
    mirrored = half[::-1] * (-1.0, 1.0)
    both = np.concatenate((half, mirrored))
    sway = 0.06 * take.hair_sway * np.clip(both[:, 1], 0.0, None)
    outline = closed_curve(pose.on_outline(both + np.stack((sway, 0 * sway), axis=1), -0.22))
    outline = curled(outline, style.curl * pose.unit, person.seed)
    canvas.fill(outline, colour)
    mask = canvas.mask(outline)
    canvas.tone(shades[0], dark(colour), mask)
    if style.strands != "none":
        for i in range(5):
            share = 0.62 + 0.08 * i
            line = open_curve(pose.on_outline(half[1:] * (share, 1.0), -0.22))
            other = open_curve(pose.on_outline(mirrored[:-1] * (share, 1.0), -0.22))
            tint = bright(colour) if i % 2 else dark(colour)
            for strand in (line, other):
                canvas.stroke(strand, 0.04 * pose.unit, tint, 0.4)


def _draw_knot(canvas: Canvas, person: Identity, pose: Pose, take: Take, style: HairStyle) -> None:
    colour, volume = person.hair_colour, person.hair_volume
    if style.extra == "bun":
        knots = [((0.06 * take.hair_sway, -1.28), (0.30 * volume, 0.26 * volume))]
    elif style.extra == "puffs":
        knots = [((side * 0.66, -0.98), (0.36 * volume, 0.34 * volume)) for side in (-1.0, 1.0)]
    else:
        knots = [((person.parting * (0.90 + 0.04 * take.hair_sway), 0.35), (0.22 * volume, 0.85))]
    for centre, radii in knots:
        outline = pose.on_outline(ellipse(centre, radii, 36), -0.3)
        outline = curled(outline, (0.05 if style.extra == "puffs" else 0.0) * pose.unit, person.seed)
        canvas.fill(outline, scaled(colour, 0.86))
        for i, share in enumerate((0.75, 0.5, 0.25)):
            arc = pose.on_outline(
                ellipse(centre, (radii[0] * share, radii[1] * (0.4 + 0.6 * share)), 36)[16:34], -0.3
            )
            canvas.stroke(arc, 0.05 * pose.unit, bright(colour) if i % 2 == 0 else dark(colour), 0.5)


def draw_braids(canvas: Canvas, person: Identity, pose: Pose, take: Take) -> None:
    """Two braids over the shoulders."""
    colour = person.hair_colour
    for side in (-1.0, 1.0):
        for i in range(7):
            x = side * (person.width * 1.08 + 0.03 * i) + 0.02 * i * take.hair_sway
            bead = pose.on_outline(ellipse((x, 0.28 + 0.2 * i), (0.14 - 0.004 * i, 0.13), 14), -0.05)
            canvas.fill(bead, colour if i % 2 else scaled(colour, 0.86))
            canvas.stroke(bead[7:13], 0.045 * pose.unit, bright(colour), 0.55)
            canvas.stroke(bead[1:7], 0.045 * pose.unit, dark(colour), 0.6)

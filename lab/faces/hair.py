"""Hair: what hangs behind the head, what frames the face, and the scarf worn instead."""

import numpy as np
from PIL import Image

from siftfunnel.lab.faces.canvas import Canvas, Points, closed_curve, ellipse, open_curve
from siftfunnel.lab.faces.hairstyles import HAIRSTYLES, HairStyle
from siftfunnel.lab.faces.identity import Identity
from siftfunnel.lab.faces.palette import scaled, shadow_of
from siftfunnel.lab.faces.pose import Pose, Take
from siftfunnel.lab.faces.strands import Shades, bright, curled, dark, draw_locks, draw_strands


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
                canvas.stroke(strand, 0.04, tint, 0.4)


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
            ring = ellipse(centre, (radii[0] * share, radii[1] * (0.4 + 0.6 * share)), 36)
            arc = pose.on_outline(ring[16:34], -0.3)
            canvas.stroke(arc, 0.05, bright(colour) if i % 2 == 0 else dark(colour), 0.5)


def _draw_braids(canvas: Canvas, person: Identity, pose: Pose, take: Take) -> None:
    """Two braids over the shoulders."""
    colour = person.hair_colour
    for side in (-1.0, 1.0):
        for i in range(7):
            x = side * (person.width * 1.08 + 0.03 * i) + 0.02 * i * take.hair_sway
            bead = pose.on_outline(ellipse((x, 0.28 + 0.2 * i), (0.14 - 0.004 * i, 0.13), 14), -0.05)
            canvas.fill(bead, colour if i % 2 else scaled(colour, 0.86))
            canvas.stroke(bead[7:13], 0.045, bright(colour), 0.55)
            canvas.stroke(bead[1:7], 0.045, dark(colour), 0.6)


def draw_front_hair(
    canvas: Canvas, person: Identity, pose: Pose, take: Take, shades: Shades, face: Image.Image
) -> None:
    """The hair that frames the face, with its shadow, shading, strands and shine."""
    style = HAIRSTYLES[person.hair_style]
    if style.extra == "scarf":
        _draw_scarf(canvas, person, pose, take, shades, face)
        return
    if not style.hairline:
        return
    outer, inner = _front_edges(person, pose, take, style)
    outline = curled(np.concatenate((outer, inner[::-1])), style.curl * pose.unit, person.seed)
    if style.alpha == 1.0:
        drop = outline + np.array((0.02, 0.07)) * pose.unit
        canvas.glow(drop, 0.04, shadow_of(person.skin, 1.2), 0.6, face)
    mask = canvas.mask(outline)
    if style.alpha < 1.0:
        mask = mask.point([round(i * style.alpha) for i in range(256)])
    canvas.paint(mask, person.hair_colour)
    draw_locks(canvas, person, pose, take, style, outer, inner)
    canvas.tone(shades[0], dark(person.hair_colour), mask)
    draw_strands(canvas, person, pose, style, outer, inner)
    if style.extra == "braids":
        _draw_braids(canvas, person, pose, take)


def _front_edges(person: Identity, pose: Pose, take: Take, style: HairStyle) -> tuple[Points, Points]:
    top, side = style.top * person.hair_volume, person.width + style.side * person.hair_volume + 0.02
    angle = np.linspace(np.pi, 2 * np.pi, 9)
    arc = np.stack((side * np.cos(angle), (1.02 + top) * np.sin(angle)), axis=1)
    arc[:, 1] *= 1 - 0.07 * person.parting * arc[:, 0] * (style.top > 0.15)
    arc[:, 0] = np.sign(arc[:, 0]) * side * np.abs(arc[:, 0] / side) ** 0.86
    tail = np.array(((-0.97 * side, style.ends), (-1.0 * side, 0.5 * style.ends)))
    left, right = tail, tail[::-1] * (-1.0, 1.0)
    outline = np.concatenate((left, arc, right))
    hairline = np.array(style.hairline) * (person.width, 1.0)
    if style.ends > 0.3:
        drop = np.array(((-0.90 * person.width, style.ends), (-1.0 * person.width, 0.45 * style.ends)))
        hairline = np.concatenate((drop, hairline, drop[::-1] * (-1.0, 1.0)))
    if person.parting < 0:
        hairline = (hairline * (-1.0, 1.0))[::-1]
    rise = np.clip(-outline[:, 1], 0.0, 1.0)
    outer = open_curve(pose.on_outline(outline, 0.02 + 0.10 * rise))
    wander = 0.02 * take.hair_sway * np.sin(np.arange(len(hairline)) * 1.7)
    hairline = hairline + np.stack((wander, 0.5 * wander), axis=1)
    inner = open_curve(pose.on_face(hairline, 0.05))
    return outer, inner


def _draw_scarf(
    canvas: Canvas, person: Identity, pose: Pose, take: Take, shades: Shades, face: Image.Image
) -> None:
    cloth = person.hair_colour
    side = person.width + 0.12
    ring = ellipse((0.0, 0.06), (side, 1.26), 30)
    hole = pose.on_face(ellipse((0.0, 0.16), (0.86 * person.width, 0.84), 30), 0.03)
    outer = pose.on_outline(ring, 0.06)
    band = np.concatenate((outer, outer[:1], hole[:1], hole[::-1]))
    drop = np.array((0.0, 0.05 * pose.unit))
    canvas.glow(band + drop, 0.05, shadow_of(person.skin, 1.2), 0.6, face)
    mask = canvas.mask(band)
    canvas.paint(mask, cloth)
    canvas.tone(shades[0], dark(cloth), mask)
    canvas.tone(shades[1], bright(cloth), mask)
    for i, share in enumerate((0.25, 0.55, 0.8)):
        fold = (outer * (1 - share) + hole * share)[14:29]
        canvas.stroke(fold, 0.05, dark(cloth) if i % 2 == 0 else bright(cloth), 0.5)

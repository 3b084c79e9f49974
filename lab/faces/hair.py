"""Hair on the head, behind it and on the chin."""

import numpy as np
from PIL import Image

from lab.faces.canvas import Canvas, Points, closed_curve, ellipse, open_curve
from lab.faces.hairstyles import HAIRSTYLES, HairStyle, Line
from lab.faces.identity import Identity
from lab.faces.palette import Colour, light_of, mix, scaled, shadow_of
from lab.faces.pose import Pose, Take

Shades = tuple[Image.Image, Image.Image]


def _dark(colour: Colour) -> Colour:
    return mix(scaled(colour, 0.55), (26, 16, 34), 0.2)


def _bright(colour: Colour) -> Colour:
    return mix(scaled(colour, 1.25), (255, 236, 206), 0.26)


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
    outline = _curled(outline, style.curl * pose.unit, person.seed)
    canvas.fill(outline, colour)
    mask = canvas.mask(outline)
    canvas.tone(shades[0], _dark(colour), mask)
    if style.strands != "none":
        for i in range(5):
            share = 0.62 + 0.08 * i
            line = open_curve(pose.on_outline(half[1:] * (share, 1.0), -0.22))
            other = open_curve(pose.on_outline(mirrored[:-1] * (share, 1.0), -0.22))
            tint = _bright(colour) if i % 2 else _dark(colour)
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
        outline = _curled(outline, (0.05 if style.extra == "puffs" else 0.0) * pose.unit, person.seed)
        canvas.fill(outline, scaled(colour, 0.86))
        for i, share in enumerate((0.75, 0.5, 0.25)):
            arc = pose.on_outline(ellipse(centre, (radii[0] * share, radii[1] * (0.4 + 0.6 * share)), 36)[16:34], -0.3)
            canvas.stroke(arc, 0.05 * pose.unit, _bright(colour) if i % 2 == 0 else _dark(colour), 0.5)


def _curled(outline: Points, depth: float, seed: int) -> Points:
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
    normal = np.stack((tangent[:, 1], -tangent[:, 0]), axis=1) / (np.hypot(tangent[:, 0], tangent[:, 1])[:, None] + 1e-9)
    return np.asarray(points + normal * (depth * (wave - 0.3))[:, None])


def draw_front_hair(canvas: Canvas, person: Identity, pose: Pose, take: Take, shades: Shades, face: Image.Image) -> None:
    """The hair that frames the face, with its shadow, shading, strands and shine."""
    style = HAIRSTYLES[person.hair_style]
    if style.extra == "scarf":
        _draw_scarf(canvas, person, pose, take, shades, face)
        return
    if not style.hairline:
        return
    outer, inner = _front_edges(person, pose, take, style)
    outline = _curled(np.concatenate((outer, inner[::-1])), style.curl * pose.unit, person.seed)
    if style.alpha == 1.0:
        drop = outline + np.array((0.02, 0.07)) * pose.unit
        canvas.glow(drop, 0.04 * pose.unit, shadow_of(person.skin, 1.2), 0.6, face)
    mask = canvas.mask(outline)
    if style.alpha < 1.0:
        mask = mask.point([round(i * style.alpha) for i in range(256)])
    canvas.paint(mask, person.hair_colour)
    canvas.tone(shades[0], _dark(person.hair_colour), mask)
    if style.strands == "curls":
        _draw_curls(canvas, person, pose, outer, inner)
    elif style.strands != "none":
        _draw_strands(canvas, person, pose, style, outer, inner)
    if style.extra == "braids":
        _draw_braids(canvas, person, pose, take)


def _front_edges(person: Identity, pose: Pose, take: Take, style: HairStyle) -> tuple[Points, Points]:
    top, side = style.top * person.hair_volume, person.width + style.side * person.hair_volume + 0.02
    angle = np.linspace(np.pi, 2 * np.pi, 9)
    arc = np.stack((side * np.cos(angle), (1.02 + top) * np.sin(angle)), axis=1)
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


def _resampled(line: Points, count: int) -> Points:
    t = np.linspace(0, len(line) - 1, count)
    whole = np.arange(len(line))
    return np.stack((np.interp(t, whole, line[:, 0]), np.interp(t, whole, line[:, 1])), axis=1)


def _draw_strands(canvas: Canvas, person: Identity, pose: Pose, style: HairStyle, outer: Points, inner: Points) -> None:
    colour, rng = person.hair_colour, np.random.default_rng(person.seed + 5)
    count = 25
    out, inn = _resampled(outer, count), _resampled(inner, count)
    dark, bright = _dark(colour), _bright(colour)
    if style.strands == "comb":
        for i, share in enumerate((0.2, 0.38, 0.55, 0.72, 0.88)):
            line = out * (1 - share) + inn * share
            start, stop = sorted(rng.integers(1, count - 1, 2).tolist())
            stop = min(max(stop, start + 8), count)
            canvas.stroke(line[start:stop], 0.05 * pose.unit, bright if i in (1, 3) else dark, 0.45)
    else:
        for i in range(2, count - 2):
            near, far = rng.uniform(0.02, 0.3), rng.uniform(0.7, 1.0)
            bend = (rng.uniform(-0.03, 0.03) + 0.02 * person.parting) * pose.unit
            a, b = out[i] * (1 - near) + inn[i] * near, out[i] * (1 - far) + inn[i] * far
            canvas.stroke(np.stack((a, 0.5 * (a + b) + (bend, 0), b)), 0.045 * pose.unit, bright if i % 3 == 0 else dark, 0.4)
    shine = (out * 0.62 + inn * 0.38)[6:19]
    canvas.stroke(shine, 0.10 * pose.unit, light_of(bright, 0.3), 0.30)


def _draw_curls(canvas: Canvas, person: Identity, pose: Pose, outer: Points, inner: Points) -> None:
    rng = np.random.default_rng(person.seed + 9)
    out, inn = _resampled(outer, 40), _resampled(inner, 40)
    dark, bright = _dark(person.hair_colour), _bright(person.hair_colour)
    for i in range(34):
        at, share = int(rng.integers(2, 38)), rng.uniform(0.08, 0.92)
        x, y = out[at] * (1 - share) + inn[at] * share
        radius = rng.uniform(0.06, 0.10) * pose.unit
        start = int(rng.integers(0, 12))
        arc = ellipse((x, y), (radius, 0.9 * radius), 16)[start : start + 9]
        if len(arc) > 4:
            canvas.stroke(arc, 0.042 * pose.unit, bright if i % 2 else dark, 0.5)


def _draw_braids(canvas: Canvas, person: Identity, pose: Pose, take: Take) -> None:
    colour = person.hair_colour
    for side in (-1.0, 1.0):
        for i in range(7):
            x = side * (person.width * 1.08 + 0.03 * i) + 0.02 * i * take.hair_sway
            bead = pose.on_outline(ellipse((x, 0.28 + 0.2 * i), (0.14 - 0.004 * i, 0.13), 14), -0.05)
            canvas.fill(bead, colour if i % 2 else scaled(colour, 0.86))
            canvas.stroke(bead[7:13], 0.045 * pose.unit, _bright(colour), 0.55)
            canvas.stroke(bead[1:7], 0.045 * pose.unit, _dark(colour), 0.6)


def _draw_scarf(canvas: Canvas, person: Identity, pose: Pose, take: Take, shades: Shades, face: Image.Image) -> None:
    cloth = person.hair_colour
    side = person.width + 0.12
    ring = ellipse((0.0, 0.06), (side, 1.26), 30)
    hole = pose.on_face(ellipse((0.0, 0.16), (0.86 * person.width, 0.84), 30), 0.03)
    outer = pose.on_outline(ring, 0.06)
    band = np.concatenate((outer, outer[:1], hole[:1], hole[::-1]))
    canvas.glow(np.concatenate((outer, outer[:1], hole[:1], hole[::-1])) + (0.0, 0.05 * pose.unit), 0.05 * pose.unit, shadow_of(person.skin, 1.2), 0.6, face)
    mask = canvas.mask(band)
    canvas.paint(mask, cloth)
    canvas.tone(shades[0], _dark(cloth), mask)
    canvas.tone(shades[1], _bright(cloth), mask)
    for i, share in enumerate((0.25, 0.55, 0.8)):
        fold = (outer * (1 - share) + np.roll(hole, 0, axis=0) * share)[14:29]
        canvas.stroke(fold, 0.05 * pose.unit, _dark(cloth) if i % 2 == 0 else _bright(cloth), 0.5)


_FULL: Line = ((1.0, 0.10), (0.98, 0.40), (0.90, 0.80), (0.55, 1.10), (0.0, 1.16))
_INNER: Line = ((0.90, 0.16), (0.78, 0.44), (0.48, 0.52), (0.26, 0.50), (0.0, 0.52))


def draw_beard(canvas: Canvas, person: Identity, pose: Pose, take: Take, shades: Shades, face: Points) -> None:
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
            canvas.glow(outline, 0.05 * pose.unit, mix(colour, person.skin, 0.35), 0.6, canvas.mask(face))
            return
        if person.beard == "long":
            chin = ellipse((0.0, 0.95 + drop), (0.62 * person.width, 0.46), 24)
            hanging = closed_curve(pose.on_outline(chin, 0.28))
            canvas.fill(_curled(hanging, 0.02 * pose.unit, person.seed), colour)
        with canvas.clipped(_grown(face, pose)):
            canvas.fill(outline, colour)
        canvas.tone(shades[0], _dark(colour), canvas.mask(outline))
        _draw_whiskers(canvas, person, pose)
    if person.beard == "goatee":
        patch = ellipse((0.0, 0.88 * person.length + drop), (0.24, 0.18), 20)
        canvas.fill(_curled(closed_curve(pose.on_face(patch, 0.1)), 0.015 * pose.unit, 1), colour, 0.94)
    y, wide = person.mouth_height - 0.075, person.mouth_width * 1.12
    for side in (-1.0, 1.0):
        lip = np.array(((0.0, y - 0.03), (side * 0.4 * wide, y - 0.03), (side * wide, y + 0.05 - 0.06 * take.smile)))
        canvas.stroke(open_curve(pose.on_face(lip, 0.08)), 0.12 * pose.unit, colour, 0.97, (0.7, 0.2))


def _grown(face: Points, pose: Pose) -> Points:
    centre = face.mean(axis=0)
    return np.asarray(centre + (face - centre) * 1.05)


def _draw_whiskers(canvas: Canvas, person: Identity, pose: Pose) -> None:
    rng = np.random.default_rng(person.seed + 3)
    for i in range(16):
        x, y = rng.uniform(-0.75, 0.75) * person.width, rng.uniform(0.78, 0.98)
        line = np.array(((x, y), (0.93 * x, y + 0.12)))
        canvas.stroke(pose.on_face(line, 0.02), 0.035 * pose.unit, _bright(person.beard_colour) if i % 2 else _dark(person.beard_colour), 0.45)

"""Eyes, brows, nose and mouth."""

import numpy as np

from siftfunnel.lab.faces.canvas import BLUNT, Canvas, Points, closed_curve, ellipse, open_curve
from siftfunnel.lab.faces.identity import Identity
from siftfunnel.lab.faces.palette import WHITE, light_of, mix, scaled, shadow_of
from siftfunnel.lab.faces.pose import Pose, Take

_LINE = (46, 28, 30)


def draw_eyes(canvas: Canvas, person: Identity, pose: Pose, take: Take) -> None:
    """Both eyes: white, iris, pupil, highlight, lids and lashes."""
    for side in (-1.0, 1.0):
        centre = np.array((side * person.eye_spacing, person.eye_height))
        upper, lower = _lids(person, take, side)
        opening = closed_curve(pose.on_face(np.concatenate((upper, lower[-2:0:-1])) + centre, 0.01))
        canvas.fill(opening, mix((252, 250, 248), person.skin, 0.06))
        with canvas.clipped(opening):
            _draw_iris(canvas, person, pose, take, centre)
            rim = open_curve(pose.on_face(upper + centre, 0.01))
            canvas.stroke(rim, 0.10, (70, 60, 84), 0.35, BLUNT)
        _draw_lids(canvas, person, pose, upper + centre, lower + centre, side)


def _lids(person: Identity, take: Take, side: float) -> tuple[Points, Points]:
    wide = person.eye_width
    tall = wide * person.eye_round
    up = tall * take.eye_open * 1.05
    down = tall * (0.62 - 0.10 * max(take.smile, 0.0)) * min(take.eye_open + 0.15, 1.0)
    if take.eye_open < 0.2:
        up, down = -0.25 * tall, 0.32 * tall
    rise = -person.eye_tilt * wide
    inner, outer = (-side * wide, 0.03 - 0.3 * rise), (side * wide, 0.7 * rise)
    above = (-side * 0.5 * wide, -0.80 * up), (side * 0.08 * wide, -up)
    below = (-side * 0.42 * wide, 0.72 * down), (side * 0.2 * wide, down)
    upper = (inner, *above, (side * 0.66 * wide, -0.62 * up + 0.5 * rise), outer)
    lower = (inner, *below, (side * 0.7 * wide, 0.62 * down + 0.5 * rise), outer)
    return np.array(upper), np.array(lower)


def _draw_iris(canvas: Canvas, person: Identity, pose: Pose, take: Take, centre: Points) -> None:
    radius = 0.118 * pose.unit * (0.75 + 1.3 * person.eye_width)
    gaze = np.array((0.075 * take.gaze[0], -0.012 + 0.05 * take.gaze[1]))
    x, y = pose.on_face((centre + gaze)[None], 0.01)[0]
    canvas.fill(ellipse((x, y), (radius, radius)), scaled(person.iris, 0.55))
    canvas.fill(ellipse((x, y), (0.84 * radius, 0.84 * radius)), person.iris)
    canvas.fill(ellipse((x, y + 0.36 * radius), (0.6 * radius, 0.42 * radius)), light_of(person.iris, 0.34))
    canvas.fill(ellipse((x, y), (0.46 * radius, 0.46 * radius), 16), (16, 12, 16))
    glint = 0.36 * radius
    side = 0.34 * radius * (1 if take.light_side >= 0 else -1)
    canvas.fill(ellipse((x + side, y - 0.42 * radius), (glint, glint), 12), WHITE, 0.95)


def _draw_lids(
    canvas: Canvas, person: Identity, pose: Pose, upper: Points, lower: Points, side: float
) -> None:
    lid, under = (open_curve(pose.on_face(line, 0.01)) for line in (upper, lower))
    canvas.stroke(under, 0.022, shadow_of(person.skin, 1.5), 0.7, (0.4, 0.4))
    canvas.stroke(lid, 0.045 + 0.030 * person.lashes, _LINE, 0.95, (0.35, 0.7))
    crease = upper[1:] + np.array((side * 0.01, -0.065))
    canvas.stroke(open_curve(pose.on_face(crease)), 0.026, shadow_of(person.skin, 1.3), 0.65)
    if person.lashes > 0.45:
        for reach, rise, start in ((0.085, -0.075, 0), (0.06, -0.10, 5)):
            base = lid[len(lid) - 1 - start]
            away = np.array((side * (reach - 0.012 * start), rise - 0.004 * start))
            tip = pose.on_face((upper[-1] + away)[None])[0]
            lash = np.stack((base, 0.5 * (base + tip) + (0, 0.012 * pose.unit), tip))
            canvas.stroke(lash, 0.042, _LINE, 0.95, (0.8, 0.0))


def draw_brows(canvas: Canvas, person: Identity, pose: Pose, take: Take) -> None:
    """Both brows, raised or knit."""
    colour = mix(scaled(person.hair_colour, 0.72), _LINE, 0.35 if person.age < 0.6 else 0.0)
    raised = person.brow_height + 0.055 * take.brow_raise
    for side in (-1.0, 1.0):
        x, y = side * person.eye_spacing, person.eye_height - raised
        knit = 0.055 * take.brow_frown
        line = (
            (x - side * 0.17, y + 0.005 + knit + 0.17 * person.brow_tilt),
            (x - side * 0.04, y - 0.35 * person.brow_arch + 0.4 * knit),
            (x + side * 0.10, y - person.brow_arch - 0.10 * person.brow_tilt),
            (x + side * 0.24, y + 0.045 - 0.24 * person.brow_tilt),
        )
        canvas.stroke(open_curve(pose.on_face(line, 0.02)), person.brow_thick, colour, 0.92, (0.75, 0.1))


def draw_nose(canvas: Canvas, person: Identity, pose: Pose, take: Take) -> None:
    """The nose: a bridge in half shade, a lit tip, wings and nostrils."""
    wide, tip = person.nose_width, person.eye_height + person.nose_length
    dark, side = shadow_of(person.skin, 1.15), 1.0 if take.light_side < 0 else -1.0
    bridge = (
        (side * 0.055, person.eye_height - 0.10),
        (side * 0.065, tip - 0.22),
        (side * wide * 0.95, tip - 0.03),
        (side * 0.3 * wide, tip + 0.02),
        (0.02 * side, tip - 0.2),
    )
    shape = closed_curve(pose.on_face(bridge, (0.06, 0.10, 0.16, 0.20, 0.12)))
    canvas.glow(shape, 0.035, dark, 0.38 + 0.38 * person.nose_bridge)
    ridge = pose.on_face(
        ((-0.012 * side, person.eye_height - 0.04), (-0.012 * side, tip - 0.16)), (0.10, 0.18)
    )
    canvas.stroke(ridge, 0.05, light_of(person.skin, 0.5), 0.45 * person.nose_bridge)
    wing = ((-wide, tip - 0.055), (-0.86 * wide, tip + 0.012), (-0.4 * wide, tip + 0.005))
    under = (*wing, (0.0, tip + 0.04), *((-x, y) for x, y in reversed(wing)))
    line = open_curve(pose.on_face(under, (0.05, 0.07, 0.14, 0.17, 0.14, 0.07, 0.05)))
    canvas.stroke(line, 0.042, shadow_of(person.skin, 1.7), 0.85, (0.4, 0.4))
    for x in (-0.45 * wide, 0.45 * wide):
        nostril = pose.on_face(((x, tip + 0.008),), 0.12)[0]
        canvas.dot(nostril, 0.036, 0.022, shadow_of(person.skin, 2.1), 0.8, 10)
    shine = pose.on_face(((-0.03 * side, tip - 0.075),), 0.2)[0]
    canvas.dot(shine, 0.042, 0.036, light_of(person.skin, 0.75), 0.7, 12)


def draw_mouth(canvas: Canvas, person: Identity, pose: Pose, take: Take) -> None:
    """The mouth: lips closed on a line, or open on teeth and tongue."""
    y, gap, smile = person.mouth_height, 0.16 * take.mouth_open, max(take.smile, 0.0)
    wide = person.mouth_width * (1 + 0.16 * smile - 0.14 * take.mouth_open * (take.smile < 0.3))
    corner, bend = -0.075 * take.smile, 0.05 * smile
    full = person.lip_full * (1 - 0.15 * smile)
    left, right = (-wide, y + corner), (wide, y + corner)
    high, deep = y + 0.2 * corner + bend - 0.25 * gap, y + 0.2 * corner + bend + 0.70 * gap
    middle, bottom = y + bend - 0.3 * gap, y + bend + gap
    top = np.array((left, (-0.45 * wide, high), (0.0, middle), (0.45 * wide, high), right))
    low = np.array((left, (-0.5 * wide, deep), (0.0, bottom), (0.5 * wide, deep), right))
    upper_lip = (
        (0.5 * wide, high - 0.75 * full),
        (0.16 * wide, middle - full),
        (0.0, middle - 0.72 * full),
        (-0.16 * wide, middle - full),
        (-0.5 * wide, high - 0.75 * full),
    )
    lower_lip = (
        (0.55 * wide, deep + 0.95 * full),
        (0.0, bottom + 1.45 * full),
        (-0.55 * wide, deep + 0.95 * full),
    )
    chin = ellipse((0.0, float(bottom + 1.5 * full + 0.035)), (0.5 * wide, 0.03))
    canvas.glow(pose.on_face(chin, 0.04), 0.035, shadow_of(person.skin), 0.5)
    colour = person.lip_colour
    canvas.fill(closed_curve(pose.on_face(np.concatenate((low, lower_lip)), 0.05)), colour)
    canvas.fill(closed_curve(pose.on_face(np.concatenate((top, upper_lip)), 0.05)), scaled(colour, 0.84))
    shine = ellipse((0.0, float(bottom + 0.8 * full)), (0.34 * wide, 0.28 * full), 14)
    canvas.fill(pose.on_face(shine, 0.05), light_of(colour, 0.6), 0.45)
    if gap:
        _draw_inside(canvas, pose, top, low, wide, gap)
    else:
        line = open_curve(pose.on_face(top, 0.05))
        canvas.stroke(line, 0.034, scaled(colour, 0.42, 0.34, 0.36), 0.95, (0.5, 0.5))
    for end in (left, right):
        canvas.dot(pose.on_face((end,), 0.04)[0], 0.024, 0.024, shadow_of(person.skin, 1.7), 0.6, 8)


def _draw_inside(canvas: Canvas, pose: Pose, top: Points, low: Points, wide: float, gap: float) -> None:
    opening = closed_curve(pose.on_face(np.concatenate((top, low[-2:0:-1])), 0.04))
    canvas.fill(opening, (92, 24, 32))
    with canvas.clipped(opening):
        tongue = ellipse((0.0, float(low[2, 1])), (0.55 * wide, 0.42 * gap), 16)
        canvas.fill(pose.on_face(tongue, 0.0), (206, 88, 92))
        bite = np.zeros_like(top)
        bite[:, 1] = (0.02 + 0.30 * gap) * np.maximum(1 - (top[:, 0] / wide) ** 2, 0.0)
        teeth = np.concatenate((top - (0.0, 0.05), (top + bite)[::-1]))
        canvas.fill(pose.on_face(teeth, 0.04), (250, 247, 240))

"""What changes from picture to picture, and how a turned head maps onto the canvas."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from siftfunnel.lab.faces.canvas import OVERSAMPLING, Points


@dataclass(frozen=True, slots=True)
class Take:
    """One picture's circumstances: angles in radians, shifts in parts of the picture."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    smile: float
    mouth_open: float
    eye_open: float
    gaze: tuple[float, float]
    brow_raise: float
    brow_frown: float
    light_side: float
    light_height: float
    contrast: float
    warmth: float
    exposure: float
    glasses: bool
    outfit_tint: float
    hair_sway: float
    seed: int


def draw_take(rng: np.random.Generator) -> Take:
    """Draw one picture's circumstances by lot."""
    u = rng.uniform(-1.0, 1.0, 16)
    n = rng.normal(0.0, 1.0, 8)
    mood, speech = rng.random(), rng.random()
    smile = float(np.clip(0.46 + 0.42 * n[1], -0.4, 1.15))
    mouth_open = 0.0
    if mood < 0.30:
        smile, mouth_open = 0.55 + 0.55 * abs(smile), 0.30 + 0.70 * speech
    elif mood < 0.42:
        smile, mouth_open = 0.1, 0.25 + 0.6 * speech
    blink = rng.random()
    return Take(
        yaw=float(0.50 * u[0]),
        pitch=float(0.24 * u[1]),
        roll=float(np.clip(0.10 * n[0], -0.24, 0.24)),
        scale=float(1.0 + 0.10 * u[2]),
        shift=(float(0.045 * u[3]), float(0.035 * u[4])),
        smile=float(smile),
        mouth_open=float(mouth_open),
        eye_open=0.06 if blink < 0.03 else float(np.clip(1.0 + 0.16 * n[2], 0.6, 1.3)),
        gaze=(float(np.clip(0.35 * n[3], -0.8, 0.8)), float(np.clip(0.2 * n[4], -0.5, 0.5))),
        brow_raise=float(np.clip(0.35 * n[5], -0.7, 1.0)),
        brow_frown=float(np.clip(0.3 * n[6] - 0.25 * smile, -0.8, 0.5)),
        light_side=float(u[6]),
        light_height=float(0.35 + 0.45 * u[7]),
        contrast=float(0.65 + 0.35 * u[8]),
        warmth=float(u[9]),
        exposure=float(0.96 + 0.13 * u[10]),
        glasses=bool(rng.random() < 0.86),
        outfit_tint=float(u[11]),
        hair_sway=float(u[12]),
        seed=int(rng.integers(2**62)),
    )


class Pose:
    """Maps points on a head to canvas pixels by turning an ellipsoid: near features move further than far.

    Args:
        take: the picture's circumstances.
        size: the finished picture's side in pixels.
    """

    def __init__(self, take: Take, size: int) -> None:
        self.side = size * OVERSAMPLING
        self.unit = 0.302 * self.side * take.scale
        self._parallax = np.sin(np.array((take.yaw, take.pitch)))
        self._foreshortening = np.cos(np.array((take.yaw, take.pitch)))
        cos, sin = np.cos(take.roll), np.sin(take.roll)
        self._turn = self.unit * np.array(((cos, sin), (-sin, cos)))
        self._centre = self.side * np.array((0.5 + take.shift[0], 0.515 + take.shift[1]))
        self._body = self.side * np.array((0.5 + 0.7 * take.shift[0], 0.515 + take.shift[1]))
        self._body_turn = self.unit * np.array(((1.0, 0.25 * sin), (-0.0, 1.0)))

    def on_face(self, places: ArrayLike, lift: ArrayLike = 0.0) -> Points:
        """Points on the face's curved surface, raised by ``lift`` towards the viewer: (N, 2) pixels."""
        points = np.asarray(places)
        x, y = points[:, 0], points[:, 1]
        depth = 0.62 * np.sqrt(np.maximum(1 - (x / 0.88) ** 2 - (y / 1.25) ** 2, 0.0)) + np.asarray(lift)
        turned = points * self._foreshortening + depth[:, None] * self._parallax
        return np.asarray(turned @ self._turn + self._centre)

    def on_outline(self, places: ArrayLike, lift: ArrayLike = 0.0) -> Points:
        """Points of the silhouette, which a turn does not foreshorten: (N, 2) pixels."""
        turned = np.asarray(places) + np.asarray(lift)[..., None] * self._parallax
        return np.asarray(turned @ self._turn + self._centre)

    def on_body(self, places: ArrayLike) -> Points:
        """Points of neck and shoulders, which follow the head's shift, hardly its turn: (N, 2) pixels."""
        return np.asarray(np.asarray(places) @ self._body_turn + self._body)

    def head_grid(self, size: int) -> tuple[Points, Points]:
        """Head coordinates (x, y) of each pixel of a size x size picture, for shading."""
        steps = (np.arange(size) + 0.5) * (self.side / size)
        inverse = np.linalg.inv(self._turn)
        dx, dy = steps[None, :] - self._centre[0], steps[:, None] - self._centre[1]
        return dx * inverse[0, 0] + dy * inverse[1, 0], dx * inverse[0, 1] + dy * inverse[1, 1]

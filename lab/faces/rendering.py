"""One picture of one person: everything painted back to front, then lit."""

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.faces.backdrop import draw_backdrop
from siftfunnel.lab.faces.beard import draw_beard
from siftfunnel.lab.faces.canvas import Canvas
from siftfunnel.lab.faces.clothing import draw_clothes, draw_glasses
from siftfunnel.lab.faces.features import draw_brows, draw_eyes, draw_mouth, draw_nose
from siftfunnel.lab.faces.hair import draw_back_hair, draw_front_hair
from siftfunnel.lab.faces.head import draw_ears, draw_face, draw_neck, face_outline, shade_map
from siftfunnel.lab.faces.identity import Identity
from siftfunnel.lab.faces.pose import Pose, Take, draw_take


def render(identity: Identity, rng: np.random.Generator, size: int = 64) -> NDArray[np.uint8]:
    """Draw one picture of a person.

    Args:
        identity: who is drawn.
        rng: source of everything that varies from picture to picture.
        size: side of the square picture in pixels.

    Returns:
        uint8, shape (size, size, 3), RGB.

    Raises:
        ValueError: for a size below 16.
    """
    if size < 16:
        raise ValueError(f"a face needs at least 16 pixels, got a size of {size}")
    return render_take(identity, draw_take(rng), size)


def render_take(identity: Identity, take: Take, size: int = 64) -> NDArray[np.uint8]:
    """Draw a person in given circumstances, as `render` does in drawn ones."""
    scene = np.random.default_rng(take.seed)
    canvas, pose = Canvas(size), Pose(take, size)
    shades = shade_map(pose, take, size)
    outline = face_outline(identity, pose)
    draw_backdrop(canvas, scene)
    canvas.unit = pose.unit
    draw_back_hair(canvas, identity, pose, take, shades)
    draw_neck(canvas, identity, pose, outline)
    draw_clothes(canvas, identity, pose, take, scene)
    draw_ears(canvas, identity, pose, shades)
    face = draw_face(canvas, identity, pose, outline, shades)
    draw_beard(canvas, identity, pose, take, shades, outline)
    draw_nose(canvas, identity, pose, take)
    draw_mouth(canvas, identity, pose, take)
    draw_eyes(canvas, identity, pose, take)
    draw_brows(canvas, identity, pose, take)
    draw_front_hair(canvas, identity, pose, take, shades, face)
    draw_glasses(canvas, identity, pose, take)
    return _lit(canvas.finish(), take)


def _lit(picture: NDArray[np.uint8], take: Take) -> NDArray[np.uint8]:
    size = picture.shape[0]
    steps = (np.arange(size) + 0.5) / size * 2 - 1
    ramp = 1 + 0.10 * take.contrast * (take.light_side * steps[None, :] - take.light_height * steps[:, None])
    vignette = 1 - 0.07 * (steps[None, :] ** 2 + steps[:, None] ** 2)
    tint = np.array((1 + 0.07 * take.warmth, 1.0, 1 - 0.09 * take.warmth)) * take.exposure
    lit = picture * (ramp * vignette)[..., None] * tint
    over = np.maximum(lit - 205, 0.0)
    lit = np.minimum(lit, 205) + 50 * over / (50 + over)
    return np.asarray(np.clip(np.round(lit), 0, 255).astype(np.uint8))

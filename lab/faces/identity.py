"""Who is drawn: the traits that stay from picture to picture, and how a seed decides them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from siftfunnel.lab.faces.hairstyles import HAIRSTYLES
from siftfunnel.lab.faces.palette import CLOTHES, HAIRS, IRISES, SKINS, Colour, jittered, mix, scaled

_STREAM = 0x1DE47
BEARDS = ("none", "stubble", "moustache", "goatee", "full", "long")
GLASSES = ("none", "round", "square", "cat", "half")
OUTFITS = ("crew", "vneck", "shirt", "hoodie", "turtleneck", "jacket", "stripes")

_FEMININE = tuple(name for name, style in HAIRSTYLES.items() if style.worn_by in ("all", "feminine"))
_MASCULINE = tuple(name for name, style in HAIRSTYLES.items() if style.worn_by in ("all", "masculine"))


@dataclass(frozen=True, slots=True)
class Identity:
    """The traits of one invented person.

    Lengths are in head units (half the height of the head without hair), amounts in [0, 1].
    """

    seed: int
    skin: Colour
    hair_colour: Colour
    hair_style: str
    parting: int
    hair_volume: float
    iris: Colour
    width: float
    jaw: float
    chin: float
    cheeks: float
    length: float
    eye_spacing: float
    eye_height: float
    eye_width: float
    eye_round: float
    eye_tilt: float
    lashes: float
    brow_thick: float
    brow_arch: float
    brow_tilt: float
    brow_height: float
    nose_width: float
    nose_length: float
    nose_bridge: float
    mouth_width: float
    lip_full: float
    lip_colour: Colour
    mouth_height: float
    ears: float
    age: float
    glasses: str
    glasses_colour: Colour
    beard: str
    beard_colour: Colour
    freckles: float
    mole: tuple[float, float] | None
    blush: float
    earrings: bool
    outfit: str
    outfit_colour: Colour


def make_identity(seed: int, **fixed: Any) -> Identity:
    """Draw a person by lot.

    Args:
        seed: any non-negative integer; the same seed gives the same person.
        fixed: traits to keep rather than draw: any field of `Identity`, or ``feminine`` (bool), ``skin_tone``
            (index into `SKINS`), ``hair_name`` (key of `HAIRS`) and ``iris_name`` (key of `IRISES`).

    Raises:
        ValueError: for a negative seed.
    """
    if seed < 0:
        raise ValueError(f"the seed of an identity must not be negative, got {seed}")
    rng = np.random.default_rng(np.random.SeedSequence((_STREAM, seed)))
    feminine = _take(fixed, "feminine", bool(rng.random() < 0.5))
    age = _take(
        fixed, "age", float(rng.choice((0.1, 0.25, 0.45, 0.7, 0.95), p=(0.24, 0.34, 0.22, 0.12, 0.08)))
    )
    tone = _take(fixed, "skin_tone", int(rng.integers(len(SKINS))))
    skin = jittered(SKINS[tone], rng, 4.0)
    dyed_by_name = "hair_name" in fixed
    hair_colour = _draw_hair_colour(rng, tone, age, feminine, fixed)
    iris = _draw_iris(rng, tone, fixed)
    hair_style = _take(fixed, "hair_style", _pick(rng, _FEMININE if feminine else _MASCULINE))
    scarf_colour = _pick_colour(rng, CLOTHES)
    if hair_style == "scarf" and not dyed_by_name:
        hair_colour = scarf_colour
    person = Identity(
        seed=seed,
        skin=skin,
        hair_colour=hair_colour,
        hair_style=hair_style,
        parting=1 if rng.random() < 0.5 else -1,
        hair_volume=_between(rng, 0.8, 1.25),
        iris=iris,
        width=_between(rng, 0.66, 0.80),
        jaw=_between(rng, 0.68, 0.82) + (0.0 if feminine else 0.06),
        chin=_between(rng, 0.32, 0.42) + (0.0 if feminine else 0.08),
        cheeks=_between(rng, 0.95, 1.05),
        length=_between(rng, 0.94, 1.07),
        eye_spacing=_between(rng, 0.29, 0.365),
        eye_height=_between(rng, 0.02, 0.12),
        eye_width=_between(rng, 0.165, 0.215),
        eye_round=_between(rng, 0.48, 0.80),
        eye_tilt=_between(rng, -0.18, 0.28),
        lashes=_between(rng, 0.55, 1.0) if feminine else _between(rng, 0.0, 0.3),
        brow_thick=_between(rng, 0.045, 0.08) if feminine else _between(rng, 0.07, 0.125),
        brow_arch=_between(rng, 0.02, 0.11),
        brow_tilt=_between(rng, -0.22, 0.04),
        brow_height=_between(rng, 0.215, 0.295),
        nose_width=_between(rng, 0.10, 0.185),
        nose_length=_between(rng, 0.30, 0.44),
        nose_bridge=_between(rng, 0.2, 1.0),
        mouth_width=_between(rng, 0.20, 0.30),
        lip_full=_between(rng, 0.055, 0.10) + (0.02 if feminine else 0.0),
        lip_colour=_draw_lips(rng, skin, feminine),
        mouth_height=_between(rng, 0.60, 0.68),
        ears=_between(rng, 0.85, 1.25),
        age=age,
        glasses=_pick(rng, GLASSES, (0.66, 0.11, 0.11, 0.06, 0.06)),
        glasses_colour=_pick_colour(
            rng, ((36, 34, 40), (110, 62, 36), (168, 48, 52), (196, 160, 92), (52, 84, 128))
        ),
        beard=_draw_beard(rng, feminine),
        beard_colour=mix(scaled(hair_colour, 0.92), (120, 70, 40), 0.1),
        freckles=_between(rng, 0.5, 1.0) if tone < 5 and rng.random() < 0.18 else 0.0,
        mole=_draw_mole(rng),
        blush=_between(rng, 0.1, 0.45) + (0.15 if feminine else 0.0),
        earrings=bool(rng.random() < (0.5 if feminine else 0.05)),
        outfit=_pick(rng, OUTFITS),
        outfit_colour=_pick_colour(rng, CLOTHES),
    )
    return replace(person, **fixed) if fixed else person


def _take(fixed: dict[str, Any], name: str, drawn: Any) -> Any:
    value = fixed.pop(name, drawn)
    if name in Identity.__slots__:
        fixed[name] = value
    return value


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _pick(rng: np.random.Generator, names: tuple[str, ...], odds: tuple[float, ...] | None = None) -> str:
    return names[int(rng.choice(len(names), p=odds))]


def _pick_colour(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


def _draw_hair_colour(
    rng: np.random.Generator, tone: int, age: float, feminine: bool, fixed: dict[str, Any]
) -> Colour:
    natural = ("black", "espresso", "chestnut", "auburn", "ginger", "sand", "blond", "platinum")
    dark = ("black", "black", "black", "black", "espresso", "espresso", "chestnut", "auburn")
    name = _pick(rng, dark if tone >= 4 else natural)
    dyed = rng.random()
    if feminine and dyed < 0.12:
        name = "plum" if dyed < 0.06 else "teal"
    if age > 0.6 and rng.random() < 0.8:
        name = "white" if age > 0.9 else "grey"
    return jittered(HAIRS[_take(fixed, "hair_name", name)], rng, 5.0)


def _draw_iris(rng: np.random.Generator, tone: int, fixed: dict[str, Any]) -> Colour:
    names = ("brown", "dark", "dark", "hazel") if tone >= 5 else tuple(IRISES)
    return jittered(IRISES[_take(fixed, "iris_name", _pick(rng, names))], rng, 6.0)


def _draw_lips(rng: np.random.Generator, skin: Colour, feminine: bool) -> Colour:
    painted = ((186, 44, 62), (206, 84, 92), (150, 40, 70), (214, 108, 98))
    colour = _pick_colour(rng, painted)
    amount = float(rng.uniform(0.45, 0.9)) if feminine else 0.0
    bare = mix(scaled(skin, 0.86, 0.64, 0.64), (196, 96, 92), 0.25)
    return mix(bare, colour, amount)


def _draw_beard(rng: np.random.Generator, feminine: bool) -> str:
    beard = _pick(rng, BEARDS, (0.4, 0.16, 0.1, 0.1, 0.16, 0.08))
    return "none" if feminine else beard


def _draw_mole(rng: np.random.Generator) -> tuple[float, float] | None:
    chance, x, y = rng.random(), rng.uniform(0.22, 0.48), rng.uniform(0.3, 0.72)
    side = 1.0 if rng.random() < 0.5 else -1.0
    return (float(side * x), float(y)) if chance < 0.22 else None

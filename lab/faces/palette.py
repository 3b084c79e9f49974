"""The colours faces are drawn in, and how they mix: triples (R, G, B) of integers in [0, 255]."""

import numpy as np

Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = (
    (240, 200, 177),
    (236, 190, 160),
    (230, 180, 145),
    (222, 168, 126),
    (209, 152, 108),
    (182, 124, 82),
    (150, 97, 63),
    (118, 74, 50),
    (88, 55, 41),
)

HAIRS: dict[str, Colour] = {
    "black": (34, 30, 38),
    "espresso": (62, 40, 32),
    "chestnut": (105, 64, 40),
    "auburn": (136, 60, 36),
    "ginger": (202, 104, 46),
    "sand": (166, 126, 76),
    "blond": (226, 186, 112),
    "platinum": (240, 226, 192),
    "grey": (150, 150, 158),
    "white": (228, 228, 232),
    "teal": (38, 128, 134),
    "plum": (122, 54, 112),
}

IRISES: dict[str, Colour] = {
    "brown": (96, 58, 32),
    "dark": (54, 34, 26),
    "hazel": (142, 104, 48),
    "green": (84, 138, 82),
    "blue": (74, 134, 196),
    "grey": (118, 136, 150),
}

CLOTHES: tuple[Colour, ...] = (
    (44, 62, 92),
    (176, 58, 58),
    (58, 118, 96),
    (226, 176, 72),
    (92, 72, 130),
    (236, 232, 222),
    (54, 54, 60),
    (224, 132, 112),
    (84, 146, 186),
    (150, 164, 108),
    (150, 96, 66),
    (216, 150, 178),
)

WHITE: Colour = (255, 255, 255)


def mix(first: Colour, second: Colour, amount: float) -> Colour:
    """Blend two colours: ``mix((0, 0, 0), (100, 50, 0), 0.5) == (50, 25, 0)``."""
    red, green, blue = (round(a + (b - a) * amount) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def scaled(colour: Colour, red: float, green: float | None = None, blue: float | None = None) -> Colour:
    """Multiply the channels, by one factor or by one each, and clip to [0, 255]."""
    factors = (red, red if green is None else green, red if blue is None else blue)
    r, g, b = (min(255, max(0, round(value * factor))) for value, factor in zip(colour, factors, strict=True))
    return (r, g, b)


def shadow_of(colour: Colour, depth: float = 1.0) -> Colour:
    """The colour in shade: darker, a little redder and cooler, as skin is."""
    return scaled(colour, 1 - 0.26 * depth, 1 - 0.36 * depth, 1 - 0.34 * depth)


def light_of(colour: Colour, amount: float = 0.35) -> Colour:
    """The colour in warm light."""
    return mix(colour, (255, 244, 226), amount)


def jittered(colour: Colour, rng: np.random.Generator, amount: float = 10.0) -> Colour:
    """A colour near the given one; ``amount`` is the standard deviation in grey levels."""
    r, g, b = (
        int(min(255.0, max(0.0, c + d))) for c, d in zip(colour, rng.normal(0, amount, 3), strict=True)
    )
    return (r, g, b)

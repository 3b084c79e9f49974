"""The hair styles as data: silhouettes and hairlines in head units.

x runs from -1 at the left temple to 1 at the right one (in halves of the head's width), y from -1 at the top
of the skull to 1 at the chin. A hairline lists points from the left temple to the right one for a parting on
the left; a back lists the right half of what hangs behind the head, from the crown down, and is mirrored.
"""

from dataclasses import dataclass
from typing import Literal

Line = tuple[tuple[float, float], ...]

COMBED: Line = (
    (-0.99, -0.12),
    (-0.90, -0.40),
    (-0.62, -0.60),
    (0.0, -0.66),
    (0.62, -0.60),
    (0.90, -0.40),
    (0.99, -0.12),
)
SQUARE: Line = (
    (-0.99, -0.04),
    (-0.93, -0.40),
    (-0.74, -0.60),
    (-0.25, -0.64),
    (0.25, -0.62),
    (0.74, -0.60),
    (0.93, -0.40),
    (0.99, -0.04),
)
SWEPT: Line = (
    (-0.99, -0.12),
    (-0.88, -0.46),
    (-0.52, -0.66),
    (-0.12, -0.56),
    (0.36, -0.42),
    (0.84, -0.30),
    (0.99, -0.06),
)
FRINGE: Line = (
    (-1.0, 0.02),
    (-0.90, -0.24),
    (-0.48, -0.30),
    (0.0, -0.33),
    (0.48, -0.30),
    (0.90, -0.24),
    (1.0, 0.02),
)
PARTED: Line = (
    (-0.99, -0.04),
    (-0.93, -0.40),
    (-0.64, -0.71),
    (-0.15, -0.63),
    (0.35, -0.53),
    (0.80, -0.46),
    (0.95, -0.30),
    (0.99, -0.04),
)
CENTRE: Line = (
    (-1.0, 0.16),
    (-0.93, -0.18),
    (-0.60, -0.48),
    (0.0, -0.80),
    (0.60, -0.48),
    (0.93, -0.18),
    (1.0, 0.16),
)
SIDE: Line = (
    (-1.0, 0.12),
    (-0.93, -0.24),
    (-0.60, -0.68),
    (-0.30, -0.72),
    (0.20, -0.46),
    (0.80, -0.16),
    (1.0, 0.20),
)
RECEDED: Line = (
    (-1.0, -0.10),
    (-0.95, -0.44),
    (-0.64, -0.84),
    (0.0, -0.72),
    (0.64, -0.84),
    (0.95, -0.44),
    (1.0, -0.10),
)
ROUND: Line = (
    (-0.99, -0.10),
    (-0.90, -0.36),
    (-0.60, -0.54),
    (0.0, -0.58),
    (0.60, -0.54),
    (0.90, -0.36),
    (0.99, -0.10),
)
TOUSLED: Line = (
    (-0.99, -0.06),
    (-0.86, -0.34),
    (-0.56, -0.28),
    (-0.24, -0.44),
    (0.14, -0.30),
    (0.50, -0.40),
    (0.86, -0.30),
    (0.99, -0.06),
)

BOB: Line = ((0.55, -1.0), (1.18, -0.55), (1.30, 0.1), (1.30, 0.65), (1.02, 0.86), (0.6, 0.8))
LONG: Line = ((0.55, -1.0), (1.16, -0.55), (1.28, 0.1), (1.36, 0.8), (1.46, 1.5), (1.2, 2.1), (0.6, 2.2))
WAVY: Line = (
    (0.55, -1.05),
    (1.22, -0.62),
    (1.34, -0.1),
    (1.52, 0.4),
    (1.42, 0.8),
    (1.62, 1.2),
    (1.46, 1.6),
    (0.8, 1.7),
)
SHOULDER: Line = ((0.55, -1.0), (1.2, -0.55), (1.34, 0.1), (1.44, 0.75), (1.58, 1.12), (1.2, 1.3), (0.6, 1.2))
AFRO: Line = ((0.5, -1.46), (1.12, -1.22), (1.52, -0.68), (1.58, -0.05), (1.36, 0.46), (0.9, 0.7))
CURLS: Line = ((0.5, -1.22), (1.12, -0.98), (1.44, -0.45), (1.56, 0.15), (1.5, 0.75), (1.2, 1.05), (0.7, 1.0))
SHAWL: Line = ((0.5, -1.2), (1.1, -0.9), (1.3, -0.2), (1.26, 0.5), (1.1, 1.0), (1.3, 1.5), (0.6, 1.7))


@dataclass(frozen=True, slots=True)
class HairStyle:
    """One way to wear hair.

    Args:
        top: height over the skull.
        side: width beyond the temples.
        ends: y where the front hair ends at the temples.
        hairline: where hair meets the face; empty for a bald head.
        back: what hangs behind, empty for short hair.
        curl: depth of the curls along the silhouette, 0 for straight hair.
        strands: how the strands run: along the comb, from the crown, or in curls.
        extra: a knot or tail drawn behind, or a head scarf over everything.
        alpha: opacity of the front hair, below 1 where it is shaved.
        tufts: how far tufts stand out of the silhouette.
        locks: how far locks fall over the hairline.
        worn_by: for whom the lot may draw it.
    """

    top: float
    side: float
    ends: float
    hairline: Line
    back: Line = ()
    curl: float = 0.0
    strands: Literal["comb", "crown", "curls", "none"] = "comb"
    extra: Literal["", "bun", "tail", "puffs", "braids", "scarf"] = ""
    alpha: float = 1.0
    tufts: float = 0.0
    locks: float = 0.0
    worn_by: Literal["all", "feminine", "masculine"] = "all"


HAIRSTYLES: dict[str, HairStyle] = {
    "bald": HairStyle(0.0, 0.0, 0.0, (), worn_by="masculine"),
    "shaved": HairStyle(0.02, 0.01, -0.02, COMBED, strands="none", alpha=0.62, worn_by="masculine"),
    "crew": HairStyle(0.13, 0.03, 0.04, SQUARE, strands="crown", tufts=0.03, worn_by="masculine"),
    "sidepart": HairStyle(0.20, 0.04, 0.06, PARTED, tufts=0.05, locks=0.03, worn_by="masculine"),
    "quiff": HairStyle(0.26, 0.02, 0.04, SQUARE, strands="crown", tufts=0.17, worn_by="masculine"),
    "receding": HairStyle(0.08, 0.05, 0.12, RECEDED, strands="crown", worn_by="masculine"),
    "tousled": HairStyle(0.20, 0.07, 0.06, TOUSLED, strands="crown", tufts=0.14, locks=0.14),
    "shortcurls": HairStyle(0.26, 0.12, 0.04, ROUND, curl=0.07, strands="curls"),
    "afro": HairStyle(0.42, 0.30, 0.10, ROUND, back=AFRO, curl=0.05, strands="curls"),
    "pixie": HairStyle(0.18, 0.07, 0.16, SWEPT, tufts=0.05, locks=0.13, worn_by="feminine"),
    "bob": HairStyle(0.18, 0.16, 0.70, SIDE, back=BOB, worn_by="feminine"),
    "fringe": HairStyle(0.18, 0.16, 0.74, FRINGE, back=BOB, strands="crown", locks=0.05, worn_by="feminine"),
    "long": HairStyle(0.15, 0.13, 0.95, CENTRE, back=LONG, worn_by="feminine"),
    "longfringe": HairStyle(
        0.17, 0.14, 0.95, FRINGE, back=LONG, strands="crown", locks=0.08, worn_by="feminine"
    ),
    "wavy": HairStyle(0.20, 0.18, 0.80, SIDE, back=WAVY, curl=0.03, worn_by="feminine"),
    "shoulder": HairStyle(0.16, 0.16, 0.80, CENTRE, back=SHOULDER, worn_by="all"),
    "curls": HairStyle(0.28, 0.24, 0.40, ROUND, back=CURLS, curl=0.09, strands="curls", worn_by="feminine"),
    "bun": HairStyle(0.12, 0.04, 0.0, COMBED, strands="crown", extra="bun", worn_by="all"),
    "ponytail": HairStyle(0.13, 0.05, 0.05, SWEPT, extra="tail", worn_by="feminine"),
    "puffs": HairStyle(0.10, 0.04, 0.0, ROUND, curl=0.02, strands="crown", extra="puffs", worn_by="feminine"),
    "braids": HairStyle(0.12, 0.08, 0.2, CENTRE, extra="braids", worn_by="feminine"),
    "scarf": HairStyle(0.16, 0.12, 0.5, (), back=SHAWL, strands="none", extra="scarf", worn_by="feminine"),
}

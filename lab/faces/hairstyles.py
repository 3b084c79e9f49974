"""The hair styles: what one consists of; ``hairstyles.toml`` has them all."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Line = tuple[tuple[float, float], ...]


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
    hairline: Line = ()
    back: Line = ()
    curl: float = 0.0
    strands: Literal["comb", "crown", "curls", "none"] = "comb"
    extra: Literal["", "bun", "tail", "puffs", "braids", "scarf"] = ""
    alpha: float = 1.0
    tufts: float = 0.0
    locks: float = 0.0
    worn_by: Literal["all", "feminine", "masculine"] = "all"


def _read() -> dict[str, HairStyle]:
    told = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))

    def line(kind: str, name: str) -> Line:
        return tuple((float(x), float(y)) for x, y in told[kind][name]) if name else ()

    def style(front: str = "", back: str = "", **rest: Any) -> HairStyle:
        return HairStyle(hairline=line("hairlines", front), back=line("backs", back), **rest)

    return {name: style(each.pop("hairline", ""), **each) for name, each in told["styles"].items()}


HAIRSTYLES = _read()
"""Every style by name."""

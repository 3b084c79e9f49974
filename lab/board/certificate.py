"""A bundle's certificate as statements of the board: what no attacker can beat."""

from collections.abc import Iterator, Mapping
from functools import cache
from math import log10
from typing import Any

from siftfunnel.lab.board.entry import BOARD, Bound
from siftfunnel.lab.reports.study.results import dig, dig_number
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.json_fields import parse_object

CERTIFICATES = BOARD.parent / "lab" / "results" / "certificates"
NOTHING_DB = 60.0
"""An error as small as this is far below that of rounding to 8 bits: nothing is bounded."""
RULER = (
    "Of Gaussian pictures with the data set's mean and covariance, which are not photographs, {why}, with "
    "95 % confidence; real pictures may leak more."
)
STATEMENTS = {
    "rate": RULER.format(why="by the bytes that they send"),
    "noise": RULER.format(why="by the noise that the device draws"),
}
EQUAL_BYTES = (
    "Averaged over sets of pictures that send exactly the same bytes; {found} of {pictures} pictures have "
    "such a set. Says nothing of a picture alone against somebody who knows the others to be unlikely."
)


def certificate_of(bundle: Bundle, codec: str) -> list[Bound]:
    """What is proved of a bundle behind a codec: by its own report, or by a result of the repository."""
    found = dig(bundle.report(), "certificates", codec) or _stored().get((bundle.digest, codec))
    return [] if found is None else list(_bounds(found))


@cache
def _stored() -> Mapping[tuple[str, str], Mapping[str, Any]]:
    results = [parse_object(path.read_bytes(), str(path)) for path in sorted(CERTIFICATES.glob("*.json"))]
    return {(result["bundle"]["digest"], result["codec"]): result for result in results}


def _bounds(found: Mapping[str, Any]) -> Iterator[Bound]:
    sets = dig(found, "equal_bytes", "sets")
    if sets and sets["found"]:
        says = EQUAL_BYTES.format(found=sets["found"], pictures=found["equal_bytes"]["pictures"])
        yield Bound("equal bytes", says, 1, sets["found"], *map(_decibels, (sets["mse"], sets["attack_mse"])))
    for part, says in STATEMENTS.items():
        for frames in dig(found, part, "by_frames") or ():
            errors = [
                dig_number(found, name, "by_frames", frames, "mse") for name in (part, "attack_on_ruler")
            ]
            yield Bound(f"ruler, {part}", says, int(frames), found[part]["pictures"], *map(_decibels, errors))


def _decibels(mse: float | None) -> float | None:
    """Of the mean error; None where it says nothing."""
    value = -10 * log10(mse) if mse else NOTHING_DB
    return value if value < NOTHING_DB else None

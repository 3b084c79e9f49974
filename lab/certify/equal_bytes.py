"""Pictures of equal bytes as figures: found of how many, what no attacker can beat on them, what one gets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.certify.case import Case
from siftfunnel.lab.certify.natural import Judges
from siftfunnel.lab.certify.opponent import EXACT, CertificateBrokenError
from siftfunnel.lab.certify.sender import Cells, Pixels, own_features
from siftfunnel.lab.certify.twins import Search, Twins, beyond, likest
from siftfunnel.lab.evaluation.steps import kept_pictures
from siftfunnel.lab.reports.contact_sheet import contact_sheet
from siftfunnel.shared.files import write_file

GALLERY, SHOWN, SHEET = 2_000, 12, "sheet.png"
EXPLAINED = {
    "beyond": "from the other side of the attacker's answer",
    "likest": "from another real picture, that of the nearest feature",
    "natural": "as natural as the picture itself, by two denoisers",
}
"""Searches, in words."""


Members = NDArray[np.float64]
"""Pictures of one set, K x H x W x 3 in [0, 1], the first of them the real one."""


@dataclass(frozen=True)
class Answered:
    """Pictures and what the attack makes of the bytes that each of them sends.

    Attributes:
        pixels_NHWC: As sent.
        answers_NHWC: In [0, 1].
        kept_N: Which count.
    """

    pixels_NHWC: Pixels
    answers_NHWC: Members
    kept_N: NDArray[np.bool_]

    @classmethod
    def by(cls, case: Case, twins: Twins) -> "Answered":
        """Each picture sent and restored for itself, so that unequal bytes would show in unequal answers."""
        restored = case.opponent.restored(case.sender.arrived(case.sender.payloads(twins.pixels_NHWC)))
        return cls(twins.pixels_NHWC, restored.double().permute(0, 2, 3, 1).numpy(), twins.found_N)


def equal_byte_figures(case: Case) -> dict[str, Any]:
    """Search, verify and score; keeps a sheet in the run folder. Without anything to search, a reason."""
    if case.noise != "":
        return {"reason": "the device draws noise, so that no picture has bytes of its own"}
    if not case.target.victim.white_box:
        return {"reason": f"the search needs gradients: {case.target.access}"}
    pixels = np.ascontiguousarray(case.scene.certified.spread(case.request.pictures).images_NHWC)
    arrived = case.sender.arrived(case.sender.payloads(pixels))
    cells = Cells.of(case.sender.spec, arrived)
    if isinstance(cells, str):
        return {"reason": cells}
    real = Answered.by(case, Twins(pixels, np.ones(len(pixels), dtype=bool)))
    twins, natural = _searches(case, pixels, cells, arrived)
    found = {name: Answered.by(case, each) for name, each in twins.items()}
    write_file(case.steps.folder / SHEET, _sheet(real, found))
    judged = {"natural": found.pop("natural")} if natural else {}
    pairs = {name: _figures_of(_pairs(real, each)) for name, each in (found | judged).items()}
    return {
        "pictures": len(pixels),
        "by_start": {name: pairs[name] for name in found},
        "sets": _figures_of(best_sets(real, found)),
        **({"natural": natural | pairs["natural"]} if natural else {}),
    }


def _searches(
    case: Case, pixels: Pixels, cells: Cells, arrived: NDArray[np.float32]
) -> tuple[dict[str, Twins], dict[str, Any]]:
    """What each search found, each a step of its own, and what the judges say."""
    x_NCHW = to_floats(torch.from_numpy(pixels))
    gallery = case.scene.attacker.spread(GALLERY).images_NHWC
    features = own_features(case.target, case.bundle.manifest.feature.shape)
    search = Search(case.sender, features, case.ruler, case.request.iterations, case.steps.show)

    def mirrored() -> Twins:
        return search.twins(pixels, cells, beyond(x_NCHW, case.opponent.restored(arrived)))

    def from_another() -> Twins:
        return search.twins(pixels, cells, likest(arrived, gallery, case.sender, cells.steps_C))

    found = {name: _kept(case, name, run) for name, run in (("beyond", mirrored), ("likest", from_another))}
    if not case.request.natural:
        return found, {}
    judges = Judges.trained(case.scene.attacker, case.steps.folder, case.request.seed)
    starts = to_floats(
        torch.from_numpy(np.where(_column(found["beyond"].found_N), found["beyond"].pixels_NHWC, pixels))
    )
    found["natural"] = _kept(case, "natural", lambda: judges.twins(search, pixels, cells, starts))
    return found, judges.figures(pixels, found)


def _column(values_N: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return values_N[:, None, None, None]


def _kept(case: Case, name: str, run: Callable[[], Twins]) -> Twins:
    """A search's pictures, made once and read back."""
    step = f"equal-bytes-{name}"

    def searched() -> dict[str, Any]:
        twins = run()
        case.steps.keep_pictures(step, to_floats(torch.from_numpy(twins.pixels_NHWC)))
        return {"found_per_picture": twins.found_N.tolist()}

    entry = case.steps.once(step, searched)
    pixels = kept_pictures(case.steps.folder, step).permute(0, 2, 3, 1).contiguous().numpy()
    return Twins(pixels, np.array(entry["found_per_picture"], dtype=bool))


Set = tuple[Members, Members]
"""Pictures, the real one first, and the attack's answer to each."""


def _pairs(real: Answered, found: Answered) -> dict[int, Set]:
    return {int(place): _set([real, found], int(place)) for place in np.flatnonzero(found.kept_N)}


def _set(members: Sequence[Answered], place: int) -> Set:
    pictures = np.stack([each.pixels_NHWC[place] for each in members]) / 255
    return pictures, np.stack([each.answers_NHWC[place] for each in members])


def best_sets(real: Answered, found: Mapping[str, Answered]) -> dict[int, Set]:
    """For each picture that has any, the set of it and some of its twins whose variance is largest."""
    made: dict[int, Set] = {}
    for place in range(len(real.pixels_NHWC)):
        twins = [each for each in found.values() if each.kept_N[place]]
        subsets = [
            _set([real, *some], place)
            for count in range(1, len(twins) + 1)
            for some in combinations(twins, count)
        ]
        if subsets:
            made[place] = max(subsets, key=lambda each: variance_of(each[0]))
    return made


def variance_of(members: Members) -> float:
    """Mean squared error per pixel, averaged over a set, of its best single answer: nobody's is less.

    Example:
        >>> variance_of(np.stack([np.zeros((1, 1, 3)), np.ones((1, 1, 3))]))
        0.25
    """
    return float(np.square(members - members.mean(0)).mean())


def _figures_of(sets: Mapping[int, Set]) -> dict[str, Any]:
    """What no attacker can beat on average over each set, and what the attack makes of the same pictures.

    Raises:
        CertificateBrokenError: the attack errs less on some set, so its members did not send equal bytes.
    """
    if not sets:
        return {"found": 0}
    proved = {place: variance_of(pictures) for place, (pictures, _) in sets.items()}
    errors = {
        place: np.square(pictures - answers).mean((1, 2, 3)) for place, (pictures, answers) in sets.items()
    }
    broken = [place for place in sets if errors[place].mean() < proved[place] * (1 - EXACT)]
    if broken:
        raise CertificateBrokenError(
            f"pictures of equal bytes: on the set of picture {broken[0]} the attack errs by "
            f"{errors[broken[0]].mean():.6f}, less than any one answer can, {proved[broken[0]]:.6f}; its "
            "members do not send equal bytes, and nothing was written"
        )
    return {
        "found": len(sets),
        "mse": float(np.mean(list(proved.values()))),
        "attack_mse": float(np.mean([each.mean() for each in errors.values()])),
        "attack_mse_on_the_real_ones": float(np.mean([each[0] for each in errors.values()])),
        "members_mean": float(np.mean([len(each) for each in errors.values()])),
        "psnr_db_per_set": {
            str(place): round(float(-10 * np.log10(value)), 2) for place, value in proved.items()
        },
    }


def _sheet(real: Answered, found: Mapping[str, Answered]) -> bytes:
    rows = [("picture", real.pixels_NHWC[:SHOWN])]
    rows += [(f"equal bytes, {EXPLAINED[name]}", each.pixels_NHWC[:SHOWN]) for name, each in found.items()]
    answers = (real.answers_NHWC[:SHOWN] * 255).round().astype(np.uint8)
    return contact_sheet([*rows, ("what the attack makes of each column", answers)])

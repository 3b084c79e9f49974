"""What the strongest attack restores of a frame that went through a codec.

    picture --edge, stages--> z --encode, decode--> z'   the attacker has z', and pictures of his own

Whoever overhears a payload decodes it, for tables are public. So attacks are fitted on decoded features of
the attacker's own pictures and restore from decoded features. A descent compares the candidate's clean
features with z': the scaled distance of ``siftfunnel.lab.attacks.features`` knows from the attacker's
pictures how far the codec moves each value.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from siftfunnel.lab.attacks.attack import Attack, Show
from siftfunnel.lab.attacks.doubled import Doubled
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.stored import StoredInverter
from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.data.images import DataError, ImageSet, Splits
from siftfunnel.lab.data.picture_coding import PictureCoding
from siftfunnel.lab.evaluation.attacking import run_attacks
from siftfunnel.lab.evaluation.flags import flags_of
from siftfunnel.lab.evaluation.ranking import strongest
from siftfunnel.lab.evaluation.scores import reference_row, scores_of
from siftfunnel.lab.evaluation.steps import Steps
from siftfunnel.lab.evaluation.subject import Subject
from siftfunnel.lab.front.points import Point, last_doubling
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.study.sizes import Profile
from siftfunnel.lab.targets.target import target_of_bundle
from siftfunnel.shared.bundle import Inverter, find_inverters

READING = "reading the picture"
WHOLE_SUITE = "autoinvert"


@dataclass(frozen=True)
class LeakageSettings:
    """How a front's points are attacked.

    Attributes:
        attacks: With their budgets, in the order in which they run; one that starts from another's result
            comes after it.
        attacked: Test pictures whose features are overheard, evenly spread over the classes.
        auxiliary: The attacker's own pictures; None takes all.
        profile: Name of the study's profile that the pictures are those of.
        suite: The suite that the attacks are those of, as results write it.
        inverters: Folders in which a bundle's stored inverter is looked for, by its digest.
    """

    attacks: tuple[Attack, ...]
    attacked: int
    auxiliary: int | None
    profile: str
    suite: str = ""
    inverters: tuple[Path, ...] = ()

    @classmethod
    def of_profile(
        cls,
        profile: Profile,
        names: Sequence[str],
        *,
        attacked: int | None = None,
        auxiliary: int | None = None,
        inverters: Sequence[Path] = (),
    ) -> "LeakageSettings":
        """Attacks of a profile's suite by name, and the front's own: a stored inverter, and one doubled.

        ``autoinvert`` among the names stands for all of the suite's.

        Raises:
            ValueError: the profile has no such attack.
        """
        studied = profile.suite.every
        own = (StoredInverter(), Doubled.of(studied.get("residual") or Residual()))  # type: ignore[arg-type]
        known = studied | {attack.name: attack for attack in own}
        names = [each for name in names for each in (studied if name == WHOLE_SUITE else (name,))]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(
                f"no attack {unknown[0]!r} in profile {profile.name}; there are {', '.join(known)}"
            )
        return cls(
            attacks=tuple(attack for name, attack in known.items() if name in names),
            attacked=attacked or profile.suite.attacked,
            auxiliary=auxiliary or profile.suite.auxiliary,
            profile=profile.name,
            suite=profile.suite.title,
            inverters=tuple(inverters),
        )

    def against(self, digest: str) -> tuple[Attack, ...]:
        """The attacks on one bundle: its stored inverter, where it has one, is run and is what is doubled.

        An inverter that is doubled is among them, so that what the doubling gained can be told.
        """
        found = (one for one in find_inverters(*self.inverters) if isinstance(one, Inverter))
        place = next((one.directory for one in found if one.bundle_digest == digest), None)
        made: list[Attack] = []
        for attack in self.attacks:
            if isinstance(attack, Doubled) and attack.name == Doubled.name:
                doubled = attack if place is None else Doubled.of(StoredInverter(place))
                made += [one for one in (doubled.start, doubled) if one not in made]
            elif not isinstance(attack, StoredInverter):
                made += [] if attack in made else [attack]
            elif place is not None and StoredInverter(place) not in made:
                made.append(StoredInverter(place))
        return tuple(made)


@dataclass(frozen=True)
class Scenery:
    """The pictures on both sides of an attack."""

    dataset: str
    attacked: ImageSet
    auxiliary: ImageSet
    notes: tuple[str, ...]

    @classmethod
    def of_splits(cls, dataset: str, splits: Splits, settings: LeakageSettings) -> "Scenery":
        """Attacked pictures from the test part, the attacker's from the auxiliary one."""
        if settings.auxiliary is not None and settings.auxiliary < 2:
            raise DataError(f"the attacker needs two pictures of its own or more, not {settings.auxiliary}")
        return cls(
            dataset,
            splits.test.spread(settings.attacked),
            splits.auxiliary.spread(settings.auxiliary),
            splits.notes,
        )

    def key(self) -> str:
        """Twelve letters that tell sets of pictures apart."""
        both = self.attacked.pixels_sha256() + self.auxiliary.pixels_sha256()
        return hashlib.sha256(both.encode()).hexdigest()[:12]


def attack_codec(
    place: Path,
    codec: str,
    scenery: Scenery,
    settings: LeakageSettings,
    runs: Path,
    device: torch.device,
    show: Show,
) -> dict[str, Any]:
    """Entries of a point's ``leakage["all"]``: every attack of the settings on one codec of a bundle.

    What is finished in ``runs`` is read back, so an interrupted call continues.

    Raises:
        CodecError: the bundle has no such codec.
        ValueError: no attack is left: this edge half gives no gradients and all need them.
        RuntimeError: no attack ended.
    """
    target = target_of_bundle(place, device).hearing(codec)
    runnable = [
        attack
        for attack in settings.against(target.digest)
        if attack.access != "white-box" or target.victim.white_box
    ]
    if not runnable:
        raise ValueError(f"{target.name}: no attack is left to run ({target.access})")
    subject = Subject(target.victim, scenery.attacked, scenery.auxiliary, seed=1, recognisers=runs)
    out = runs / f"{_safe(target.name)}-{target.digest[:12]}" / f"{_safe(codec)}-{scenery.key()}"
    figures, stopped = run_attacks(subject, [(attack, 1) for attack in runnable], Steps(out, show))
    for one in stopped:
        show(f"{one.name} is missing from this point: {one.reason}")
    guess = scores_of(subject.x_NCHW, reference_row("mean_image", subject.x_NCHW, subject.auxiliary))
    flags = flags_of({"attacks": figures, "references": {"mean_image": guess}})
    return {
        name: _entry(values, scenery, settings)
        | {"flags": [flag for flag in flags if flag["about"] in (name, "suite")]}
        for name, values in figures.items()
    }


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _entry(figures: Mapping[str, Any], scenery: Scenery, settings: LeakageSettings) -> dict[str, Any]:
    seconds = {key: figures[key] for key in ("fit_seconds", "reconstruct_seconds")}
    about = {key: figures[key] for key in ("label", "access", "budget")}
    return {
        **about,
        **_scores(figures["scores"]),
        **seconds,
        "profile": settings.profile,
        "suite": settings.suite,
        "attacked_sha256": scenery.attacked.pixels_sha256(),
        "auxiliary_pictures": len(scenery.auxiliary),
        "auxiliary_sha256": scenery.auxiliary.pixels_sha256(),
        # a run folder of an older version has none
        "provenance": figures.get("provenance") or provenance(),
    }


def _scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    standard = scores["standard"]
    return {
        "psnr_db": standard["psnr_db"]["mean"],
        "psnr_interval": standard["psnr_db"]["ci95"],
        "psnr_worst_1pct_db": standard["psnr_db"]["worst_1pct_mean"],
        "ssim": standard["ssim"]["mean"],
        "ssim_interval": standard["ssim"]["ci95"],
        "mse": standard["mse"]["mean"],
        "retrieved": scores["retrieval_rank1"],
        "pictures": scores["pictures"],
        "psnr_db_per_image": scores["psnr_db_per_image"],
        **({"identity": scores["identity"]} if "identity" in scores else {}),
    }


def read_picture(coding: PictureCoding, scenery: Scenery) -> dict[str, Any]:
    """The entry of a picture that is sent itself: whoever overhears it reads it."""
    pixels = scenery.attacked.images_NHWC
    arrived = np.stack([coding.decode(coding.encode(picture), pixels.shape[1:]) for picture in pixels])
    x_NCHW, y_NCHW = (to_floats(torch.from_numpy(images)) for images in (pixels, arrived))
    return {
        "label": READING,
        "access": "no-query",
        "budget": {},
        **_scores(scores_of(x_NCHW, y_NCHW)),
        "profile": None,
        "attacked_sha256": scenery.attacked.pixels_sha256(),
        "provenance": provenance(),
    }


def with_attacks(point: Point, entries: Mapping[str, Mapping[str, Any]]) -> Point:
    """A point with more attacks, the strongest (highest mean PSNR) on top.

    Entries of other attacked pictures than the new ones do not compare and are dropped.
    """
    attacked = {entry["attacked_sha256"] for entry in entries.values()}
    kept = (point["leakage"] or {"all": {}})["all"]
    every = {name: one for name, one in kept.items() if one["attacked_sha256"] in attacked} | dict(entries)
    best = strongest(every, lambda entry: float(entry["psnr_db"]))
    assert best is not None
    told = ("psnr_db", "psnr_interval", "ssim", "mse", "retrieved", "pictures")
    top = {key: every[best][key] for key in told}
    convergence = last_doubling(every)
    return {**point, "leakage": {"attack": best, **top, "convergence": convergence, "all": every}}

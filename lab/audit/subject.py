"""The data of an audit: what the user asks for, and the pictures on both sides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from siftfunnel.lab.audit.budgets import Budget
from siftfunnel.lab.data.images import DataError, ImageSet, Splits
from siftfunnel.lab.data.own import load_own
from siftfunnel.lab.evaluation.subject import Subject
from siftfunnel.lab.targets.pictures import name_of_pictures, splits_for
from siftfunnel.lab.targets.target import Target

LEAST_PICTURES, LEAST_AUXILIARY = 8, 40


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        out: Folder of the report and of everything that makes it resumable.
        budget: How much to attack.
        data: Data directory; None for a data set that is drawn.
        cache: Directory for decoded pictures, or None.
        dataset: Data set; None takes the target's own.
        auxiliary: The attacker's own pictures; None takes the budget's number.
        pictures: Pictures to attack; None takes the budget's number.
        attacks: Names of attacks; empty for the budget's.
        evaluate_on: Part whose pictures are attacked and measured.
        seed: Of noise and of critics.
        images: A folder or tar of pictures instead of a data set; a part of them is the attacker's.
        codec: The bundle's codec after which features are overheard; None takes the target's own way.
        allow_tracked_folder: Write into a work tree that does not ignore ``out``.
    """

    out: Path
    budget: Budget
    data: Path | None = None
    cache: Path | None = None
    dataset: str | None = None
    auxiliary: int | None = None
    pictures: int | None = None
    attacks: tuple[str, ...] = ()
    evaluate_on: Literal["test", "validation"] = "test"
    seed: int = 1
    images: Path | None = None
    codec: str | None = None
    allow_tracked_folder: bool = False


@dataclass(frozen=True, kw_only=True)
class AuditSubject(Subject):
    """A target with the pictures on both sides.

    Attributes:
        target: What is audited.
        dataset: Name of the data set.
        measured: Pictures on which accuracy and bytes are measured.
        is_labelled: Whether labels say what is right; else the network's own undisturbed answer does.
        told: What else the report says of the pictures.
        notes: What a reader should know about the data.
    """

    target: Target
    dataset: str
    measured: ImageSet
    notes: tuple[str, ...] = ()
    is_labelled: bool = True
    told: Mapping[str, Any] = field(default_factory=dict)


def prepare_subject(target: Target, wanted: Request) -> AuditSubject:
    """Load the data and choose pictures.

    Raises:
        DataError: data that is missing or does not fit, or too few pictures.
    """
    dataset = name_of_pictures(target, wanted.dataset, wanted.images)
    if wanted.images is not None:
        return _own_subject(target, wanted, wanted.images)
    splits = splits_for(target, dataset, wanted.data, wanted.cache)
    held_out: ImageSet = getattr(splits, wanted.evaluate_on)
    attacked = held_out.spread(_checked_pictures(wanted.pictures or wanted.budget.pictures, len(held_out)))
    return AuditSubject(
        victim=target.victim,
        recognisers=wanted.cache or wanted.out,
        seed=wanted.seed,
        target=target,
        dataset=dataset,
        attacked=attacked,
        measured=held_out.spread(wanted.budget.measured),
        auxiliary=_auxiliary(splits.auxiliary, wanted, dataset),
        notes=(*splits.notes, *_notes(target, splits)),
    )


def _own_subject(target: Target, wanted: Request, place: Path) -> AuditSubject:
    """The user's own pictures: neither the data set nor the labels of a study are needed."""
    pictures = wanted.pictures or wanted.budget.pictures
    least = min(pictures, LEAST_PICTURES)
    own = load_own(place, target.input, attacker=LEAST_AUXILIARY, attacked=max(least, LEAST_PICTURES))
    attacked = own.attacked.spread(_checked_pictures(pictures, len(own.attacked)))
    auxiliary = _auxiliary(own.attacker, wanted, own.name)
    told = {
        "pictures": len(own),
        "pixels_sha256": own.sha256,
        "labelled": own.is_labelled,
        "prepared": "as the target's input says",
    }
    return AuditSubject(
        victim=target.victim,
        recognisers=wanted.cache or wanted.out,
        seed=wanted.seed,
        target=target,
        dataset=own.name,
        attacked=attacked,
        measured=own.attacked.spread(wanted.budget.measured),
        auxiliary=auxiliary,
        notes=own.notes,
        is_labelled=own.is_labelled,
        told=told,
    )


def _checked_pictures(count: int, there: int) -> int:
    if min(count, there) < LEAST_PICTURES:
        raise DataError(
            f"an audit needs {LEAST_PICTURES} pictures or more to attack; {count} wanted, {there} are there"
        )
    return min(count, there)


def _auxiliary(auxiliary: ImageSet, wanted: Request, dataset: str) -> ImageSet:
    if wanted.auxiliary is not None and wanted.auxiliary > len(auxiliary):
        raise DataError(
            f"--auxiliary {wanted.auxiliary}: {dataset} has {len(auxiliary)} pictures for the attacker; give "
            "that number or less, or more data"
        )
    chosen = auxiliary.spread(wanted.auxiliary or wanted.budget.auxiliary)
    if len(chosen) < LEAST_AUXILIARY:
        raise DataError(
            f"the attacker needs {LEAST_AUXILIARY} pictures of its own or more, {len(chosen)} are there; "
            "raise --auxiliary or add data"
        )
    return chosen


def _notes(target: Target, splits: Splits) -> list[str]:
    trained_on = target.trained_on
    if target.kind == "foreign":
        return [
            "Whether this network was trained on the pictures that are attacked here is not known; if it "
            "was, its accuracy is too high."
        ]
    if trained_on is not None and {**trained_on} != splits.sizes() and target.limits is None:
        told = ", ".join(f"{name} {count}" for name, count in trained_on.items())
        return [
            f"The network was trained with another cut of this data set ({told}); pictures attacked here may "
            "have been among its training pictures, so its accuracy may be too high."
        ]
    return []


def about_data(subject: AuditSubject, wanted: Request) -> dict[str, Any]:
    """What the report says of the data, and what an audit folder is bound to."""
    return {
        **subject.told,
        "name": subject.dataset,
        "evaluated_on": wanted.evaluate_on if wanted.images is None else "held-out",
        "attacked_pictures": len(subject.attacked),
        "attacked_sha256": subject.attacked.pixels_sha256(),
        "auxiliary_pictures": len(subject.auxiliary),
        "auxiliary_sha256": subject.auxiliary.pixels_sha256(),
        "classes": len(np.unique(subject.attacked.labels)),
        "notes": list(subject.notes),
    }

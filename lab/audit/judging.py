"""Whether a cloud half still answers rightly: by labels, or by the network's own undisturbed answer.

labels that the network knows   -> accuracy
none                            -> agreement with what it says of features that nothing has changed
outputs that are no class list  -> how far they move: relative error and cosine, picture by picture
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.audit.subject import AuditSubject
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.metrics.intervals import accuracy_interval

LEAST_NORM = 1e-12


class Judge(Protocol):
    """What says how good answers to features are."""

    def entry(self, maps_NCHW: Tensor, images: ImageSet) -> dict[str, float]:
        """Figures of one way of sending ``images``, whose features arrived as ``maps_NCHW``."""

    def figures(self, maps_NCHW: Tensor, images: ImageSet) -> dict[str, Any]:
        """The same with an interval over pictures, for the report's first lines."""


class Undisturbed:
    """The features of pictures before noise and codec, of the set that was asked for last kept."""

    def __init__(self, victim: Victim) -> None:
        self._victim = victim
        self._last: tuple[ImageSet, Tensor] | None = None

    def __call__(self, images: ImageSet) -> Tensor:
        """As maps, on the CPU."""
        if self._last is None or self._last[0] is not images:
            clean = self._victim.features_of_set(torch.from_numpy(images.images_NHWC)).cpu()
            self._last = (images, clean)
        return self._last[1]


class Agreement:
    """Class answers beside what the network says of features that nothing has changed."""

    name = "agreement"

    def __init__(self, subject: AuditSubject) -> None:
        assert subject.target.logits is not None
        self._logits, self._target = subject.target.logits, subject.target
        self._undisturbed = Undisturbed(subject.target.sender)

    def entry(self, maps_NCHW: Tensor, images: ImageSet) -> dict[str, float]:
        """Share of right answers."""
        return {self.name: float(self._right_N(maps_NCHW, images).mean())}

    def figures(self, maps_NCHW: Tensor, images: ImageSet) -> dict[str, Any]:
        """Share of right answers with its interval."""
        right_N = self._right_N(maps_NCHW, images)
        return {
            "measured": True,
            "kind": self.name,
            "mean": float(right_N.mean()),
            "ci95": accuracy_interval(int(right_N.sum()), len(right_N)),
            "pictures": len(right_N),
        }

    def _right_N(self, maps_NCHW: Tensor, images: ImageSet) -> NDArray[np.float64]:
        right: NDArray[np.float64] = (self._answers_N(maps_NCHW) == self._wanted_N(images)).astype(float)
        return right

    def _answers_N(self, maps_NCHW: Tensor) -> NDArray[np.int64]:
        own = self._target.layout.to_own(maps_NCHW).contiguous().numpy()
        answers: NDArray[np.int64] = self._logits(own).argmax(1)
        return answers

    def _wanted_N(self, images: ImageSet) -> NDArray[np.int64]:
        return self._answers_N(self._undisturbed(images))


class Accuracy(Agreement):
    """Class answers beside labels."""

    name = "accuracy"

    def __init__(self, subject: AuditSubject, positions: NDArray[np.int64]) -> None:
        super().__init__(subject)
        self._positions = positions

    def _wanted_N(self, images: ImageSet) -> NDArray[np.int64]:
        return self._positions[images.labels]


class Likeness:
    """Outputs that are no class list beside what they are without a codec."""

    def __init__(self, subject: AuditSubject) -> None:
        assert subject.target.answers is not None
        self._answers, self._target = subject.target.answers, subject.target
        self._undisturbed = Undisturbed(subject.target.sender)

    def entry(self, maps_NCHW: Tensor, images: ImageSet) -> dict[str, float]:
        """Means over pictures: |a - b| / |b| and cosine, of all outputs of a picture laid end to end."""
        arrived, clean = self._outputs(maps_NCHW), self._outputs(self._undisturbed(images))
        # in units of each undisturbed output, so that none drowns the others
        units = [max(float(np.sqrt(np.square(rows).mean())), LEAST_NORM) for rows in clean]
        a, b = (
            np.concatenate([rows / unit for rows, unit in zip(side, units, strict=True)], axis=1)
            for side in (arrived, clean)
        )
        norm_a, norm_b = (np.linalg.norm(rows, axis=1).clip(LEAST_NORM) for rows in (a, b))
        return {
            "relative_error": float((np.linalg.norm(a - b, axis=1) / norm_b).mean()),
            "cosine": float(((a * b).sum(axis=1) / (norm_a * norm_b)).mean()),
        }

    def figures(self, maps_NCHW: Tensor, images: ImageSet) -> dict[str, Any]:
        """No accuracy, and why; how far the outputs move instead."""
        reason = "the outputs are no list of classes"
        moved = self.entry(maps_NCHW, images)
        return {"measured": False, "reason": reason, "outputs": moved, "pictures": len(images)}

    def _outputs(self, maps_NCHW: Tensor) -> list[NDArray[np.float64]]:
        outputs = self._answers(self._target.layout.to_own(maps_NCHW).contiguous().numpy())
        return [output.reshape(len(output), -1).astype(np.float64) for output in outputs]


def make_judge(subject: AuditSubject) -> Judge | str:
    """The judge, or why there is none."""
    target = subject.target
    if target.answers is not None:
        return Likeness(subject)
    if target.logits is None:
        return "there is no cloud half, or none of its outputs has a shape that every picture shares"
    if not subject.is_labelled:
        return Agreement(subject)
    names = subject.measured.classes
    if target.classes is None:
        return Accuracy(subject, np.arange(len(names), dtype=np.int64))
    positions = [_position(name, target.class_ids, target.classes) for name in names]
    missing = [name for name, position in zip(names, positions, strict=True) if position is None]
    if missing and subject.told:
        return Agreement(subject)
    if missing:
        return f"the network does not know the data set's class {missing[0]!r}"
    return Accuracy(subject, np.array(positions, dtype=np.int64))


def _position(name: str, ids: Sequence[str], classes: Sequence[str]) -> int | None:
    """Where a class stands, by what tells it apart, or by its name where only one class has it."""
    if name in ids:
        return ids.index(name)
    return classes.index(name) if classes.count(name) == 1 else None

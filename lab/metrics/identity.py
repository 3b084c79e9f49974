"""Whether a restored picture still shows the same thing: what decibels do not say.

    judge = a recogniser of the attacker's own pictures (``siftfunnel.lab.metrics.recogniser``), the same for
    every
            row of a data set, which no attack has seen

``reidentified_rank1``   share whose nearest original, by the judge's embedding, is their own
``class_agreement``      share on which the judge, where it has classes, answers as on the original
``perceptual_distance``  of its activations: 0 for the picture itself, 1 for another picture of the kind
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siftfunnel.lab.attacks.victim import to_floats
from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.metrics.arrays import Array, picture_pairs
from siftfunnel.lab.metrics.intervals import accuracy_interval, ci95_of_mean
from siftfunnel.lab.metrics.recogniser import (
    CALIBRATION_PICTURES,
    PICTURES_AT_ONCE,
    Recogniser,
    RecogniserSettings,
    perceptual_distance,
    recogniser_of,
)
from siftfunnel.lab.metrics.retrieval import first_place_credit

MOST_JUDGE_PICTURES = 5_000
"""No more than the shortest suite's attacker has, so that every budget is judged alike."""
JUDGE = RecogniserSettings()


@dataclass(frozen=True, eq=False)
class Judge:
    """Says of restored pictures whether they show what the originals show.

    Attributes:
        recogniser: Trained on the attacker's own pictures.
        another: Distance of two different pictures of the kind, by which distances are divided.
        about: What results say of it.
    """

    recogniser: Recogniser
    another: float
    about: dict[str, Any]

    @torch.no_grad()
    def figures(self, x_NCHW: Array, y_NCHW: Array) -> dict[str, Any]:
        """What is said of restored pictures.

        Args:
            x_NCHW: Originals in [0, 1], the gallery in which each restored picture looks for its own.
            y_NCHW: Restored pictures.

        Raises:
            ValueError: shapes that differ, or values outside [0, 1].
        """
        parts = [self._seen(one.float()) for one in picture_pairs(x_NCHW, y_NCHW)]
        (own, is_own, acts), (found, is_found, acts_of_found) = parts
        credit_N = _credit(own, found)
        apart = [perceptual_distance([one], [other]) for one, other in zip(acts, acts_of_found, strict=True)]
        distance_N = (torch.stack(apart).mean(0) / self.another).double().numpy()
        figures: dict[str, Any] = {
            "reidentified_rank1": float(credit_N.mean()),
            "perceptual_distance": float(distance_N.mean()),
            "perceptual_ci95": ci95_of_mean(distance_N),
        }
        if is_own is not None and is_found is not None:
            alike = int((is_own == is_found).sum())
            figures |= {
                "class_agreement": alike / len(own),
                "class_agreement_ci95": accuracy_interval(alike, len(own)),
            }
        return figures

    @torch.no_grad()
    def credit(self, x_NCHW: Array, y_NCHW: Array) -> Tensor:
        """For each restored picture 1 where its nearest original is its own; see ``first_place_credit``."""
        own, found = (self._seen(one.float())[0] for one in picture_pairs(x_NCHW, y_NCHW))
        return _credit(own, found)

    @torch.no_grad()
    def likeness(self, x_NCHW: Tensor, y_NCHW: Tensor) -> Tensor:
        """Cosine of the embeddings of each of some pictures and each of others, N x M."""
        return self._seen(x_NCHW)[0] @ self._seen(y_NCHW)[0].T

    def _seen(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Embeddings, classes and every stage's activations."""
        parts = [self.recogniser.activations(part) for part in torch.split(x_NCHW, PICTURES_AT_ONCE)]
        activations = [torch.cat(stage) for stage in zip(*parts, strict=True)]
        embedded, logits = self.recogniser.said(activations)
        return embedded, None if logits is None else logits.argmax(1), activations


def _credit(own_ND: Tensor, found_ND: Tensor) -> Tensor:
    return first_place_credit(found_ND @ own_ND.T, torch.arange(len(own_ND)))


def judge_of(images: ImageSet, folder: Path | None = None, settings: RecogniserSettings = JUDGE) -> Judge:
    """The judge of a kind of pictures, trained on the attacker's own; read back where ``folder`` has it.

    It runs on the CPU, so that it is the same whatever the attacks ran on.

    Args:
        images: The attacker's own pictures; labels of two classes or more give it classes.
        folder: Keeps what was trained.
        settings: Another size, for tests.
    """
    own = images.spread(min(MOST_JUDGE_PICTURES, len(images)))
    pictures = torch.from_numpy(own.images_NHWC)
    recogniser = recogniser_of(pictures, own.labels, settings, torch.device("cpu"), folder)
    few = to_floats(pictures[: 2 * CALIBRATION_PICTURES])
    half = len(few) // 2
    with torch.no_grad():
        first, second = (recogniser.activations(few[part]) for part in (slice(half), slice(half, 2 * half)))
        another = float(perceptual_distance(first, second).mean())
    about = {**asdict(settings), "pictures": len(own), "pictures_sha256": own.pixels_sha256()}
    return Judge(recogniser, max(another, 1e-9), about)

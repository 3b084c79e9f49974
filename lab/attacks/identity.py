"""The attack that seeks identity, not decibels: a decoder that is told to be recognised.

    loss = (1 - w) log(MSE) / 10 + w (perceptual distance + contrast)

The trained residual inverter goes on with two terms more, both by a recogniser that the attacker trains on
his own pictures (``siftfunnel.lab.metrics.recogniser``; not the judge of the results): the activations of the
restored picture must be those of the original, and its embedding must find the original among all of the
batch (InfoNCE). What a mean squared error blurs away because it is uncertain, these keep where it tells
pictures apart. The best epoch is the one at which most pictures held back are found again.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from siftfunnel.lab.attacks.doubled import Doubled
from siftfunnel.lab.attacks.inverter_training import InverterTask, TrainedInverter, picture_loss
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.stored import StoredInverter
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.metrics.recogniser import (
    Recogniser,
    RecogniserSettings,
    contrast,
    perceptual_distance,
    recogniser_of,
)
from siftfunnel.lab.metrics.retrieval import first_place_credit

LOG_ERROR_SCALE = 10.0
"""log(MSE) moves by ten while a picture is restored; the other two terms by about one."""


class IdentityTask(InverterTask):
    """The inverter's task with a recogniser that looks at what is restored."""

    def __init__(self, attack: "IdentitySeeker", victim: Victim, auxiliary_NHWC: Tensor) -> None:
        super().__init__(attack, victim, auxiliary_NHWC)
        seen = RecogniserSettings(attack.width, attack.recogniser_steps, seed=attack.seed)
        self._seeker = attack
        self._recogniser: Recogniser = recogniser_of(auxiliary_NHWC, None, seen, victim.device)

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of the three terms."""
        z, x_NCHW = batch
        guess = self.model(z)
        pixels, error = picture_loss("log-mse", guess, x_NCHW)
        with torch.no_grad():
            own = self._recogniser.activations(x_NCHW)
            embedded = self._recogniser.said(own)[0]
        made = self._recogniser.activations(guess)
        told = contrast(self._recogniser.said(made)[0], embedded, self._seeker.temperature)
        sought = perceptual_distance(made, own).mean() + told
        weight = self._seeker.identity_weight
        return (1 - weight) * pixels / LOG_ERROR_SCALE + weight * sought, {
            "mse": error,
            "contrast": float(told.detach()),
        }

    def judged(self, guess_NCHW: Tensor, x_NCHW: Tensor) -> dict[str, float]:
        """Share of pictures held back that are found again, which chooses the epoch, and mean PSNR."""
        own, found = (self._recogniser(one)[0] for one in (x_NCHW, guess_NCHW))
        credit_N = first_place_credit(found @ own.T, torch.arange(len(own), device=own.device))
        share = float(credit_N.mean())
        return {**super().judged(guess_NCHW, x_NCHW), "held_back_found": share, "score": share}


@dataclass(frozen=True)
class IdentitySeeker(Doubled):
    """A trained inverter that goes on towards pictures which are recognised.

    Attributes:
        identity_weight: Share of the recogniser's terms in the loss.
        temperature: By which similarities are divided in the contrast.
        width: Of the recogniser.
        recogniser_steps: Its training.
    """

    epochs: int = 4
    batch: int = 32
    learning_rate: float = 5e-4
    start: TrainedInverter | StoredInverter = field(default_factory=Residual)
    identity_weight: float = 0.7
    temperature: float = 0.2
    width: int = 16
    recogniser_steps: int = 600

    name: ClassVar[str] = "identity"
    label: ClassVar[str] = "Identity-seeking inverter"
    source: ClassVar[str] = "ours; feature matching after LPIPS (CVPR 2018), contrast after CPC (2018)"

    def task(self, victim: Victim, auxiliary_NHWC: Tensor, root: Path) -> InverterTask:
        """The inverter's network with its weights, and a recogniser beside it."""
        return self.started(IdentityTask(self, victim, auxiliary_NHWC), victim, root)

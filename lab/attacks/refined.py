"""Inverter, then optimisation: rMLE from a trained inverter's output, held near it.

    x_hat = argmin over x in [0, 1] of  (rMLE's objective) + lambda_A * mean((x - x_0)^2) / Var(x)

with x_0 the inverter's reconstruction, which knows what pictures look like; the descent restores what z still
holds and the inverter lost. Step size and weights are chosen on those auxiliary pictures that the inverter's
training held back: on pictures it was trained on, its output would look better than it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from siftfunnel.lab.attacks.attack import Show, require_white_box
from siftfunnel.lab.attacks.descent import Descent
from siftfunnel.lab.attacks.inverter_training import TrainedInverter
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.rmle import RMLE, Space
from siftfunnel.lab.attacks.tuned import TUNING_CHUNK, Scene
from siftfunnel.lab.attacks.tuning import Candidate
from siftfunnel.lab.attacks.victim import Victim
from siftfunnel.lab.data.images import seeded_parts


@dataclass(frozen=True)
class RefinedRMLE(RMLE):
    """rMLE from a trained inverter's output.

    Attributes:
        tuning_pictures: Auxiliary pictures on which the settings are chosen; more than elsewhere, because on
            four of them a choice that loses half a decibel on others has looked best.
        start: The inverter; fitted in the same root folder unless it is already.
        restarts: Starts: the inverter's output, then rMLE's own (the mean picture, then random ones).
        anchor_weights: Weights of the squared distance from the inverter's output to choose from.
    """

    tuning_pictures: int = 16
    iterations: int = 500
    restarts: int = 2
    learning_rates: tuple[float, ...] = (0.05, 0.3)
    tv_weights: tuple[float, ...] = (0.1,)
    prior_weights: tuple[float, ...] = (0.1, 0.6)
    spaces: tuple[Space, ...] = ("whitened",)
    anchor_weights: tuple[float, ...] = (0.0, 0.3, 3.0)
    start: TrainedInverter = field(default_factory=Residual)

    name: ClassVar[str] = "refined-rmle"
    label: ClassVar[str] = "Inverter, then rMLE"
    source: ClassVar[str] = "rMLE (He et al., ACSAC 2019) started at an inverter's output: ours"

    def candidates(self) -> list[Candidate]:
        """rMLE's, with each weight of the anchor."""
        return [
            replace(one, anchor_weight=weight)
            for one in super().candidates()
            for weight in self.anchor_weights
        ]

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Fit the inverter, then choose step size and weights."""
        require_white_box(self, victim)
        started_from = self.start.fit(victim, auxiliary_NHWC, folder, show)
        return {**super().fit(victim, auxiliary_NHWC, folder, show), "start": dict(started_from)}

    def descend(self, scene: Scene) -> tuple[Descent, dict[str, Any]]:
        """Each picture's best descent from the inverter's output, also the anchor, and others."""
        inverted = self.start.reconstruct(scene.victim, scene.z_NCHW, scene.folder, scene.show)
        first = inverted.x_NCHW.to(scene.victim.device)
        others = 0 if scene.chunk == TUNING_CHUNK else self.restarts - 1
        starts = [first, *(self._start(scene, restart) for restart in range(others))]
        return self._best(scene, starts, anchor_NCHW=first)

    def held_out(self, total: int) -> Tensor:
        """Of the pictures that the inverter's training held back, as many as tuning takes."""
        held_back = max(1, round(total * self.start.held_back_share))
        part = seeded_parts(total, (total - held_back, held_back), self.start.seed)[1]
        return torch.from_numpy(part[: self.tuning_pictures])

"""Inverter, then optimisation: rMLE from a trained inverter's output, held near it.

    x_hat = argmin over x in [0, 1] of  (rMLE's objective) + lambda_A * mean((x - x_0)^2) / Var(x)

with x_0 the inverter's reconstruction, which knows what pictures look like; the descent restores what z still
holds and the inverter lost. Step size and weights are chosen on those auxiliary pictures that the inverter's
training held back: on pictures it was trained on, its output would look better than it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lab.attacks.attack import Access, Reconstruction, Show, require_white_box
from lab.attacks.chunks import reconstruct_in_chunks
from lab.attacks.inverter_training import TrainedInverter
from lab.attacks.residual import Residual
from lab.attacks.rmle import RMLE, Space
from lab.attacks.tuning import Candidate, Settings, Tuning, load_tuning, tune
from lab.attacks.victim import Victim
from lab.data import seeded_parts


@dataclass(frozen=True)
class RefinedRMLE(RMLE):
    """rMLE from a trained inverter's output.

    Attributes:
        start: The inverter; fitted in the same root folder unless it is already.
        restarts: Starts: the inverter's output, then rMLE's own (the mean picture, then random ones).
        anchor_weights: Weights of the squared distance from the inverter's output to choose from.
    """

    iterations: int = 500
    restarts: int = 2
    learning_rates: tuple[float, ...] = (0.05, 0.3, 1.0)
    tv_weights: tuple[float, ...] = (0.1,)
    prior_weights: tuple[float, ...] = (0.1, 0.6)
    spaces: tuple[Space, ...] = ("whitened",)
    anchor_weights: tuple[float, ...] = (0.0, 0.3, 3.0)
    start: TrainedInverter = field(default_factory=Residual)

    name: ClassVar[str] = "refined-rmle"
    label: ClassVar[str] = "Inverter, then rMLE"
    access: ClassVar[Access] = "white-box"
    kind: ClassVar[Literal["optimisation", "inverter"]] = "optimisation"
    source: ClassVar[str] = "rMLE (He et al., ACSAC 2019) started at an inverter's output: ours"

    def candidates(self) -> list[Candidate]:
        """rMLE's, with each weight of the anchor."""
        return [
            replace(one, anchor_weight=weight)
            for one in super().candidates()
            for weight in self.anchor_weights
        ]

    def budget(self) -> dict[str, Any]:
        """The fields as JSON values, the inverter's with its name."""
        return {**super().budget(), "start": {"name": self.start.name, **self.start.budget()}}

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Fit the inverter, then choose step size and weights."""
        require_white_box(self, victim)
        started_from = self.start.fit(victim, auxiliary_NHWC, folder, show)

        def attempt(known: Tuning, z_NCHW: Tensor, settings: Settings) -> Tensor:
            first = self._inverted(victim, z_NCHW, folder, show)
            return self._best(victim, known, z_NCHW, settings, [first], "tuning")[0].x_NCHW

        learned = tune(
            folder / self.name,
            self,
            victim,
            auxiliary_NHWC,
            show,
            candidates=self.candidates(),
            held_out_N=self._held_back(len(auxiliary_NHWC)),
            attempt=attempt,
        )
        return {**learned, "start": dict(started_from)}

    def reconstruct(self, victim: Victim, z_NCHW: Tensor, folder: Path, show: Show) -> Reconstruction:
        """Invert, then descend; continues after an interrupt."""
        require_white_box(self, victim)
        tuning = load_tuning(folder / self.name).to(victim.device)

        def solve(z: Tensor, chunk: int) -> Reconstruction:
            first = self._inverted(victim, z, folder, show)
            others = [
                self._start(tuning.basis, len(z), chunk, restart) for restart in range(self.restarts - 1)
            ]
            return self._solve(victim, tuning, z, [first, *others], f"chunk {chunk}")

        return reconstruct_in_chunks(self, victim, z_NCHW, folder, show, batch=self.batch, solve=solve)

    def _anchor(self, starts: list[Tensor]) -> Tensor | None:
        return starts[0]

    def _inverted(self, victim: Victim, z_NCHW: Tensor, folder: Path, show: Show) -> Tensor:
        return self.start.reconstruct(victim, z_NCHW, folder, show).x_NCHW.to(victim.device)

    def _held_back(self, total: int) -> Tensor:
        """Of the pictures that the inverter's training held back, as many as tuning takes."""
        held_back = max(1, round(total * self.start.held_back_share))
        part = seeded_parts(total, (total - held_back, held_back), self.start.seed)[1]
        return torch.from_numpy(part[: self.tuning_pictures])

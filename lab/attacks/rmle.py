"""rMLE done right: the white-box attack with everything that the released one lacks.

    x_hat = argmin over x in [0, 1] of   d(f_edge(x), z) + lambda_TV * TV(x)

with d the scaled feature distance of ``lab.attacks.features``, Adam per picture, several starts (the mean
auxiliary picture, then random ones), the best iterate kept, and step size and lambda_TV chosen for the victim
on auxiliary pictures, whose originals the attacker has. All settings are ours; the idea is that of He et al.,
ACSAC 2019, with the corrections that published re-evaluations of such attacks ask for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lab.attacks.attack import Access, Attack, Reconstruction, Show, require_white_box
from lab.attacks.chunks import reconstruct_in_chunks
from lab.attacks.descent import Descent, Objective, descend, total_variation
from lab.attacks.features import FeatureDistance, FeatureStatistics
from lab.attacks.tuning import Tuning, load_tuning, tune
from lab.attacks.victim import Victim


@dataclass(frozen=True)
class RMLE(Attack):
    """rMLE done right.

    Attributes:
        iterations: Steps from each start.
        restarts: Starts: the mean auxiliary picture, then random pictures.
        batch: Pictures at a time.
        learning_rates: First step sizes to choose from, in picture units.
        tv_weights: Weights of the total variation to choose from.
        tuning_pictures: Auxiliary pictures on which both are chosen.
        seed: Of the random starts and of the choice of tuning pictures.
    """

    iterations: int = 300
    restarts: int = 2
    batch: int = 64
    learning_rates: tuple[float, ...] = (0.01, 0.03, 0.1)
    tv_weights: tuple[float, ...] = (0.0, 0.01, 0.1)
    tuning_pictures: int = 8
    seed: int = 1

    name: ClassVar[str] = "rmle"
    label: ClassVar[str] = "rMLE done right"
    access: ClassVar[Access] = "white-box"
    kind: ClassVar[Literal["optimisation", "inverter"]] = "optimisation"
    source: ClassVar[str] = "He et al., ACSAC 2019, with Adam, mean start, scaled loss, box and restarts: ours"

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.restarts < 1 or self.batch < 1:
            raise ValueError("rMLE needs at least one iteration, one start and one picture at a time")
        if not self.learning_rates or not self.tv_weights:
            raise ValueError("rMLE needs a learning rate and a weight of the total variation (0 is one)")

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Measure the features' scale and choose step size and TV weight on auxiliary pictures."""
        require_white_box(self, victim)

        def attempt(
            statistics: FeatureStatistics, z: Tensor, images_NHWC: Tensor, rate_N: Tensor, tv_N: Tensor
        ) -> Tensor:
            return self._best_of_starts(victim, statistics, z, rate_N, tv_N, chunk=-1, restarts=1)[0].x_NCHW

        return tune(self, victim, auxiliary_NHWC, folder, show, attempt=attempt)

    def reconstruct(self, victim: Victim, z_NCHW: Tensor, folder: Path, show: Show) -> Reconstruction:
        """Descend from every start and keep each picture's best; continues after an interrupt.

        Raises:
            RunFolderError: not fitted in this folder.
        """
        require_white_box(self, victim)
        tuning = load_tuning(self, folder)
        statistics = tuning.statistics.to(victim.device)

        def solve(z: Tensor, chunk: int) -> Reconstruction:
            rate_N = torch.full((len(z),), tuning.learning_rate, device=z.device)
            tv_N = torch.full((len(z),), tuning.tv_weight, device=z.device)
            best, by_start = self._best_of_starts(
                victim, statistics, z, rate_N, tv_N, chunk=chunk, restarts=self.restarts
            )
            return Reconstruction(
                best.x_NCHW.cpu().contiguous(),
                {**descent_details(victim, statistics, z, best), **_chosen(tuning), "by_start": by_start},
            )

        return reconstruct_in_chunks(self, victim, z_NCHW, folder, show, batch=self.batch, solve=solve)

    def _best_of_starts(
        self,
        victim: Victim,
        statistics: FeatureStatistics,
        z_NCHW: Tensor,
        rate_N: Tensor,
        tv_N: Tensor,
        *,
        chunk: int,
        restarts: int,
    ) -> tuple[Descent, list[float]]:
        """Each picture's best descent, and the mean feature distance that each start reached."""
        objective = picture_objective(victim, statistics, z_NCHW, tv_N)
        best: Descent | None = None
        by_start: list[float] = []
        for restart in range(restarts):
            made = descend(
                objective,
                self._start(statistics, len(z_NCHW), chunk, restart),
                iterations=self.iterations,
                learning_rate_N=rate_N,
                where=f"chunk {chunk}, start {restart}",
            )
            by_start.append(float(made.distance_N.mean()))
            best = made if best is None else best.better_of(made)
        assert best is not None
        return best, by_start

    def _start(self, statistics: FeatureStatistics, count: int, chunk: int, restart: int) -> Tensor:
        mean = statistics.mean_CHW.expand(count, -1, -1, -1)
        if restart == 0:
            return mean
        generator = torch.Generator().manual_seed((self.seed * 100_003 + chunk + 1) * 101 + restart)
        return torch.rand(mean.shape, generator=generator).to(mean.device)


def picture_objective(
    victim: Victim, statistics: FeatureStatistics, z_NCHW: Tensor, tv_weight_N: Tensor
) -> Objective:
    """Feature distance plus weighted total variation, per picture."""
    distance = FeatureDistance(statistics, z_NCHW)
    is_smooth = bool((tv_weight_N > 0).any())

    def objective(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        apart = distance(victim.features(x_NCHW))
        if not is_smooth:
            return apart, apart
        return apart + tv_weight_N * total_variation(x_NCHW), apart

    return objective


@torch.no_grad()
def descent_details(
    victim: Victim, statistics: FeatureStatistics, z_NCHW: Tensor, made: Descent
) -> dict[str, Any]:
    """What an attack says about a chunk; a relative loss of 1 is that of the mean picture."""
    from_mean = FeatureDistance(statistics, z_NCHW)(victim.features(statistics.mean_CHW[None]))
    features = victim.features(made.x_NCHW)
    return {
        "feature_loss_per_image": (features - z_NCHW).square().mean((1, 2, 3)).tolist(),
        "scaled_feature_loss_per_image": made.distance_N.tolist(),
        "relative_feature_loss_per_image": (made.distance_N / from_mean.clamp_min(1e-12)).tolist(),
        "start_gradient_norm": float(made.gradient_norm_N.mean()),
        "curve": made.curve,
    }


def _chosen(tuning: Tuning) -> dict[str, Any]:
    return {"learning_rate": tuning.learning_rate, "tv_weight": tuning.tv_weight}

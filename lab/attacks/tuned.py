"""The frame of the white-box descents: settings are chosen on auxiliary pictures, then chunk after chunk."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from siftfunnel.lab.attacks.attack import Access, Attack, Reconstruction, Show, require_white_box
from siftfunnel.lab.attacks.chunks import reconstruct_in_chunks
from siftfunnel.lab.attacks.descent import Descent, Objective, total_variation
from siftfunnel.lab.attacks.features import FeatureDistance
from siftfunnel.lab.attacks.tuning import Candidate, Settings, Tuning, drawn_indices, load_tuning, tune
from siftfunnel.lab.attacks.victim import Victim

TUNING_CHUNK = -1


@dataclass(frozen=True)
class Scene:
    """One batch of features under attack, and all that an attacker knows about them.

    Attributes:
        victim: The network under attack.
        known: Statistics and basis; while tuning, nothing is chosen yet.
        z_NCHW: Overheard features on the victim's device.
        settings: Step size and weights of each picture.
        folder: Root of this victim's attacks.
        show: Takes a line of progress.
        chunk: Number of the batch, or ``TUNING_CHUNK``.
    """

    victim: Victim
    known: Tuning
    z_NCHW: Tensor
    settings: Settings
    folder: Path
    show: Show
    chunk: int

    @property
    def where(self) -> str:
        """Names the batch in an error."""
        return "tuning" if self.chunk == TUNING_CHUNK else f"chunk {self.chunk}"

    def objective(self, anchor_NCHW: Tensor | None = None) -> Objective:
        """Feature distance, weighted total variation and weighted priors, per picture.

        The priors are mean(c^2) in whitened coordinates c and, with an anchor, mean((x - anchor)^2) in units
        of the variance of pictures.
        """
        settings, basis = self.settings, self.known.basis
        distance = FeatureDistance(self.known.statistics, self.z_NCHW)
        variance = basis.deviation.square()
        has_tv, has_prior, has_anchor = (
            bool((weight_N > 0).any())
            for weight_N in (settings.tv_weight_N, settings.prior_weight_N, settings.anchor_weight_N)
        )

        def objective(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
            apart = value = distance(self.victim.features(x_NCHW))
            if has_tv:
                value = value + settings.tv_weight_N * total_variation(x_NCHW)
            if has_prior:
                rare = basis.coordinates(x_NCHW).square().mean((1, 2, 3))
                value = value + settings.prior_weight_N * rare
            if has_anchor and anchor_NCHW is not None:
                away = (x_NCHW - anchor_NCHW).square().mean((1, 2, 3)) / variance
                value = value + settings.anchor_weight_N * away
            return value, apart

        return objective

    @torch.no_grad()
    def details(self, made: Descent) -> dict[str, Any]:
        """What an attack says about the batch; a relative loss of 1 is that of the mean picture."""
        mean_NCHW = self.known.basis.mean_CHW[None]
        from_mean = FeatureDistance(self.known.statistics, self.z_NCHW)(self.victim.features(mean_NCHW))
        features = self.victim.features(made.x_NCHW)
        return {
            "feature_loss_per_image": (features - self.z_NCHW).square().mean((1, 2, 3)).tolist(),
            "scaled_feature_loss_per_image": made.distance_N.tolist(),
            "relative_feature_loss_per_image": (made.distance_N / from_mean.clamp_min(1e-12)).tolist(),
            "start_gradient_norm": float(made.gradient_norm_N.mean()),
            "curve": made.curve,
        }


@dataclass(frozen=True)
class TunedAttack(Attack):
    """Base of the white-box descents.

    Attributes:
        iterations: Steps from each start.
        tuning_pictures: Auxiliary pictures on which the settings are chosen.
        batch: Pictures at a time.
        seed: Of whatever is drawn, the choice of tuning pictures included.
    """

    iterations: int = 1000
    tuning_pictures: int = 4
    batch: int = 64
    seed: int = 1

    access: ClassVar[Access] = "white-box"
    kind: ClassVar[Literal["optimisation", "inverter"]] = "optimisation"

    def candidates(self) -> Sequence[Candidate]:
        """The settings to choose from."""
        raise NotImplementedError

    def descend(self, scene: Scene) -> tuple[Descent, dict[str, Any]]:
        """Where the descent ends for every picture of a batch, and details beyond ``Scene.details``."""
        raise NotImplementedError

    def held_out(self, total: int) -> Tensor:
        """Indices, of ``total``, of the auxiliary pictures on which settings are chosen."""
        return drawn_indices(total, self.tuning_pictures, self.seed)

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Measure the scale of features and pictures, and choose the settings."""
        require_white_box(self, victim)

        def attempt(attack: TunedAttack, known: Tuning, z_NCHW: Tensor, settings: Settings) -> Tensor:
            scene = Scene(victim, known, z_NCHW, settings, folder, show, TUNING_CHUNK)
            return attack.descend(scene)[0].x_NCHW

        return tune(
            self,
            victim,
            auxiliary_NHWC,
            folder,
            show,
            batch=self.batch,
            candidates=self.candidates(),
            held_out_N=self.held_out(len(auxiliary_NHWC)),
            attempt=partial(attempt, self),
            longer=partial(attempt, replace(self, iterations=2 * self.iterations)),
        )

    def reconstruct(self, victim: Victim, z_NCHW: Tensor, folder: Path, show: Show) -> Reconstruction:
        """Descend and keep each picture's best; continues after an interrupt.

        Raises:
            RunFolderError: not fitted in this folder.
        """
        require_white_box(self, victim)
        tuning = load_tuning(folder / self.name).to(victim.device)

        def solve(z_NCHW: Tensor, chunk: int) -> Reconstruction:
            settings = Settings.of([tuning.chosen] * len(z_NCHW), z_NCHW.device)
            scene = Scene(victim, tuning, z_NCHW, settings, folder, show, chunk)
            best, more = self.descend(scene)
            details = {**scene.details(best), **asdict(tuning.chosen), **more}
            return Reconstruction(best.x_NCHW.cpu().contiguous(), details)

        return reconstruct_in_chunks(self, victim, z_NCHW, folder, show, batch=self.batch, solve=solve)

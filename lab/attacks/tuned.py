"""The frame of the white-box descents: settings are chosen on auxiliary pictures, then chunk after chunk."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from siftfunnel.lab.attacks.attack import Access, Attack, Reconstruction, Show, require_white_box
from siftfunnel.lab.attacks.basis import measure_pictures
from siftfunnel.lab.attacks.chunks import claim, memory_advice, reconstruct_in_chunks, write_tensors
from siftfunnel.lab.attacks.descent import Descent, Objective, total_variation
from siftfunnel.lab.attacks.features import FeatureDistance, measure_features
from siftfunnel.lab.attacks.fingerprint import check_pictures, tensor_digest, victim_fingerprint
from siftfunnel.lab.attacks.tuning import (
    ABOUT,
    TUNING,
    Candidate,
    Settings,
    Tuning,
    choose,
    load_tuning,
    psnr_N,
    widened,
)
from siftfunnel.lab.attacks.victim import Victim, to_floats
from siftfunnel.lab.training.fitting import keep_freed_memory

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
        return torch.randperm(total, generator=torch.Generator().manual_seed(self.seed))[
            : self.tuning_pictures
        ]

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Measure the scale of features and pictures, and choose the settings; read back if that is done.

        Raises:
            ValueError: no gradients, or too few auxiliary pictures.
            RunFolderError: the folder holds the tuning of another budget, victim or set of pictures.
        """
        require_white_box(self, victim)
        home, held_out_N = folder / self.name, self.held_out(len(auxiliary_NHWC))
        check_pictures(victim, auxiliary_NHWC, len(held_out_N) + 2)
        about = {
            "budget": self.budget(),
            "victim": victim_fingerprint(victim),
            "auxiliary": tensor_digest(auxiliary_NHWC),
        }
        claim(home / ABOUT, about)
        if not (home / TUNING).is_file():
            if victim.device.type == "cpu":
                keep_freed_memory()
            is_measured = torch.ones(len(auxiliary_NHWC), dtype=torch.bool)
            is_measured[held_out_N] = False
            measured_NHWC = auxiliary_NHWC[is_measured.to(auxiliary_NHWC.device)]
            statistics = measure_features(victim, measured_NHWC)
            basis = measure_pictures(measured_NHWC, victim.device)
            known = Tuning(statistics, basis, self.candidates()[0], [])
            found = self._choice(victim, known, auxiliary_NHWC[held_out_N], folder, show)
            write_tensors(home / TUNING, {**statistics.tensors(), **basis.tensors()}, found)
        return load_tuning(home).summary()

    def _choice(
        self, victim: Victim, known: Tuning, images_NHWC: Tensor, folder: Path, show: Show
    ) -> dict[str, Any]:
        """The candidate that ``choose`` takes, all scores, and what twice the steps would gain."""
        longer = replace(self, iterations=2 * self.iterations)

        def score(some: Sequence[Candidate], attack: TunedAttack = self) -> Tensor:
            return attack._scores(victim, known, images_NHWC, some, folder, show)

        tried, scores_KN = widened(self.candidates(), score)
        best = choose(scores_KN, [candidate.anchor_weight for candidate in tried])
        gain = float((score([tried[best]], longer) - score([tried[best]])).mean())
        table = [
            {**asdict(candidate), "psnr_db": mean}
            for candidate, mean in zip(tried, scores_KN.mean(1).tolist(), strict=True)
        ]
        show(f"{self.name}  chosen of {len(tried)}: {table[best]}")
        return {"chosen": asdict(tried[best]), "scores": table, "twice_as_long_db": gain}

    def _scores(
        self,
        victim: Victim,
        known: Tuning,
        images_NHWC: Tensor,
        candidates: Sequence[Candidate],
        folder: Path,
        show: Show,
    ) -> Tensor:
        """PSNR of every candidate on every picture, K x N; each runs on its own copy of the pictures."""
        truth = to_floats(images_NHWC.to(victim.device))
        with torch.no_grad():
            z = victim.observe(truth)
        pairs = [(candidate, index) for candidate in candidates for index in range(len(truth))]
        made: list[Tensor] = []
        with memory_advice(self.batch):
            for at in range(0, len(pairs), self.batch):
                part = pairs[at : at + self.batch]
                settings = Settings.of([candidate for candidate, _ in part], victim.device)
                z_NCHW = z[[index for _, index in part]]
                scene = Scene(victim, known, z_NCHW, settings, folder, show, TUNING_CHUNK)
                made.append(self.descend(scene)[0].x_NCHW)
        every = torch.cat(made)
        return psnr_N(every, truth.repeat(len(candidates), 1, 1, 1)).view(len(candidates), -1).cpu()

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

"""The attacker without queries: feature-oriented reconstruction (FORA, Xu et al., CVPR 2024).

He cannot run the edge on pictures of his own. He overhears features of pictures that he does not know, trains
a substitute whose features have their distribution (``siftfunnel.lab.attacks.substitute``), trains an
inverter against the substitute, and applies it to the real features.

The lab has no traffic apart from the auxiliary pictures, so these are cut in two by the seed: one part plays
the victim's traffic (the attack gets the features and drops the pictures), the other is the attacker's own.
``victim.observe`` is called on the first part alone. The stage at the cut (noise) is public, as everywhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.attacks.attack import Access, Show
from siftfunnel.lab.attacks.chunks import memory_advice
from siftfunnel.lab.attacks.fingerprint import check_pictures
from siftfunnel.lab.attacks.inverter_training import LEAST_PICTURES, doublings_of, unlifted
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.substitute import (
    REVERSED_SHARE,
    SubstituteEdge,
    build_discriminator,
    feature_discrepancy,
)
from siftfunnel.lab.attacks.victim import BATCH, Victim, at_once, to_floats
from siftfunnel.lab.data.images import seeded_parts
from siftfunnel.lab.networks.layout import channels_last
from siftfunnel.lab.networks.reversal import ReversedGradient
from siftfunnel.lab.training.checkpoints import RunFolder
from siftfunnel.lab.training.fitting import FitSettings, Task, fit

SUBSTITUTE = "substitute"


class SubstituteTask(Task):
    """What the fitting loop runs: it sees own pictures and overheard features, never a pair.

    Args:
        attack: Whose settings; a share of both kinds is held back to choose the epoch.
        victim: Whose stage is public.
        own_NHWC: The attacker's own pictures.
        z_NCHW: Overheard features.
        doublings: From the feature's side to the picture's.
    """

    def __init__(
        self, attack: "Fora", victim: Victim, own_NHWC: Tensor, z_NCHW: Tensor, doublings: int
    ) -> None:
        torch.manual_seed(attack.seed)
        self._mmd_weight = attack.mmd_weight
        self._victim = victim
        self.batch_size, width = attack.substitute_batch, attack.substitute_width
        held_own, held_heard = (
            max(2, round(len(values) * attack.held_back_share)) for values in (own_NHWC, z_NCHW)
        )
        own = own_NHWC.to(victim.device)
        self._own, self._held_own = own[:-held_own], own[-held_own:]
        self._heard, self._held_heard = z_NCHW[:-held_heard], z_NCHW[-held_heard:]
        self._mean = torch.tensor(victim.mean, device=victim.device).view(1, -1, 1, 1)
        self._std = torch.tensor(victim.std, device=victim.device).view(1, -1, 1, 1)
        self.substitute = SubstituteEdge(self._heard, width, doublings)
        self.discriminator = build_discriminator(z_NCHW.shape[1], width)
        pair = nn.ModuleDict({"substitute": self.substitute, "discriminator": self.discriminator})
        self.model: nn.Module = channels_last(pair.to(victim.device))

    @property
    def samples_per_epoch(self) -> int:
        """Own pictures without those held back."""
        return len(self._own)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Own pictures, normalised, and as many overheard features, drawn independently."""
        order = torch.randperm(len(self._own), generator=generator)
        for part in torch.split(order, self.batch_size):
            mirrored = torch.rand(len(part), generator=generator) < 0.5
            images = self._own[part.to(self._own.device)]
            images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(2), images)
            heard = torch.randint(len(self._heard), (len(part),), generator=generator)
            yield self._normalised(images), self._heard[heard.to(self._heard.device)]

    def _normalised(self, images_NHWC: Tensor) -> Tensor:
        return (to_floats(images_NHWC) - self._mean) / self._std

    def _transmitted(self, x_NCHW: Tensor) -> Tensor:
        """The substitute's features after the device's stage, which is public, standardised."""
        return self.substitute.standardise(self._victim.transmit(self.substitute(x_NCHW)))

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Share w of MK-MMD and 1 - w of the discriminator's cross-entropy, reversed for the substitute."""
        x_NCHW, heard_NCHW = batch
        ours = self._transmitted(x_NCHW)
        heard = self.substitute.standardise(heard_NCHW)
        mmd = feature_discrepancy(ours, heard)
        reversed_ours: Tensor = ReversedGradient.apply(ours, REVERSED_SHARE)  # type: ignore[no-untyped-call]
        told = self.discriminator(torch.cat([reversed_ours, heard]))
        truth = torch.cat([torch.zeros(len(ours), 1), torch.ones(len(heard), 1)]).to(told.device)
        adversary = functional.binary_cross_entropy_with_logits(told, truth)
        weight = self._mmd_weight
        return weight * mmd + (1 - weight) * adversary, {
            "mmd": float(mmd.detach()),
            "discriminator": float(adversary.detach()),
        }

    def validate(self) -> dict[str, float]:
        """MK-MMD between the two kinds held back, negated for the score."""
        count = min(len(self._held_own), len(self._held_heard), 2 * BATCH)
        ours = torch.cat(
            [self._transmitted(self._normalised(p)) for p in torch.split(self._held_own[:count], BATCH)]
        )
        heard = self.substitute.standardise(self._held_heard[:count])
        mmd = float(feature_discrepancy(ours, heard))
        return {"held_back_mmd": mmd, "score": -mmd}


@dataclass(frozen=True)
class Fora(Residual):
    """FORA with the residual inverter. *Ours*: sizes, epochs, and 0.8 as MK-MMD's share of the loss.

    Attributes:
        overheard: Auxiliary pictures that play the victim's traffic; 0 takes half of them.
        substitute_epochs: Passes over the attacker's own pictures that train the substitute.
        substitute_batch: Own pictures, and as many overheard features, per step.
        substitute_rate: Peak of that training's one-cycle schedule.
        substitute_width: Channels of the substitute's hidden blocks and of the discriminator.
        mmd_weight: Share of MK-MMD in the substitute's loss; the discriminator has the rest.
    """

    overheard: int = 0
    substitute_epochs: int = 20
    substitute_batch: int = 64
    substitute_rate: float = 2e-3
    substitute_width: int = 64
    mmd_weight: float = 0.8

    name: ClassVar[str] = "fora"
    label: ClassVar[str] = "FORA, without queries"
    access: ClassVar[Access] = "no-query"
    source: ClassVar[str] = "Xu et al., CVPR 2024"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.substitute_epochs < 1 or self.substitute_batch < 2 or self.overheard < 0:
            raise ValueError(f"{self.name}: substitute_epochs must be 1 or more, substitute_batch 2 or more")
        if not 0 <= self.mmd_weight <= 1:
            raise ValueError(f"{self.name}: mmd_weight must lie in [0, 1]")

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Train substitute and inverter, or continue; see ``Attack.fit``.

        Raises:
            ValueError: too few pictures for both parts, or sizes that do not fit.
            RunFolderError: the folder holds this attack on another victim, or with another budget.
            MemoryError: says what to lower.
        """
        check_pictures(victim, auxiliary_NHWC, 2 * LEAST_PICTURES)
        about = self.about(victim, auxiliary_NHWC)
        run = RunFolder(folder / self.name, about)
        heard, own = self.parts(len(auxiliary_NHWC))
        substitute_run = RunFolder(folder / self.name / SUBSTITUTE, about)
        with memory_advice(self.substitute_batch):
            z_NCHW = self.overhear(victim, auxiliary_NHWC[heard])
            edge, matched = self.train_substitute(victim, auxiliary_NHWC[own], z_NCHW, substitute_run)
        show(f"{self.name}: substitute of epoch {matched['best_epoch']}, MK-MMD {matched['mmd']:.4f}")
        learned = self.train(replace(victim, edge=edge), auxiliary_NHWC[own], run)
        show(f"{self.name}: {learned['held_back_psnr']:.2f} dB against the substitute, on own pictures")
        return {**learned, "substitute": matched, "overheard": len(heard), "own_pictures": len(own)}

    def parts(self, count: int) -> tuple[Tensor, Tensor]:
        """Which auxiliary pictures play the traffic, and which are the attacker's own."""
        overheard = self.overheard or count // 2
        if min(overheard, count - overheard) < LEAST_PICTURES:
            raise ValueError(
                f"{self.name} needs {LEAST_PICTURES} pictures to overhear and as many of its own; "
                f"{overheard} overheard of {count} leave {count - overheard}"
            )
        heard, own = seeded_parts(count, (overheard, count - overheard), self.seed)
        return torch.from_numpy(heard), torch.from_numpy(own)

    @torch.no_grad()
    def overhear(self, victim: Victim, images_NHWC: Tensor) -> Tensor:
        """What the victim sends of its own pictures."""
        torch.manual_seed(self.seed)
        parts = torch.split(images_NHWC, at_once(victim.image_shape))
        return torch.cat([victim.observe(to_floats(part.to(victim.device))) for part in parts])

    def train_substitute(
        self, victim: Victim, own_NHWC: Tensor, z_NCHW: Tensor, run: RunFolder
    ) -> tuple[nn.Module, dict[str, Any]]:
        """The substitute edge, frozen, and how its training went."""
        task = SubstituteTask(self, victim, own_NHWC, z_NCHW, doublings_of(unlifted(victim)))
        schedule = FitSettings(self.substitute_epochs, self.substitute_rate, weight_decay=0.0, seed=self.seed)
        progress = fit(task, schedule, run)
        run.load_best(task.model)
        matched = {
            "epochs": progress.epochs_done,
            "best_epoch": progress.best_epoch,
            "mmd": -progress.best_score,
            "seconds": round(progress.seconds, 1),
            "history": progress.history,
        }
        return task.substitute.eval().requires_grad_(False), matched

"""Training an inverter: one task, one optimiser and one way of choosing the best epoch, for every defence.

    auxiliary pictures --victim.features (once)--> clean z --victim.transmit (fresh noise)--> inverter --> x^

Clean features are computed once, of the pictures and of their mirror images, and kept on the victim's device;
a stochastic stage draws fresh noise for every batch (expectation over transformation, Athalye et al. 2018).
Mirroring is the only augmentation then; an attack that changes pictures otherwise (``drawn``) pays for their
features in every epoch. A share of the auxiliary pictures is held back and chooses the epoch;
the target's pictures are never looked at.
"""

import copy
import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from siftfunnel.lab.attacks.attack import Attack, Reconstruction, Show
from siftfunnel.lab.attacks.chunks import memory_advice, require_features
from siftfunnel.lab.attacks.fingerprint import check_pictures, tensor_digest, victim_fingerprint
from siftfunnel.lab.attacks.tuning import psnr_N
from siftfunnel.lab.attacks.victim import Victim, at_once, to_floats
from siftfunnel.lab.data.images import seeded_parts
from siftfunnel.lab.networks.decoder import cropped, doublings_between
from siftfunnel.lab.networks.layout import channels_last
from siftfunnel.lab.networks.split import count_parameters
from siftfunnel.lab.training.checkpoints import RUN, Progress, RunFolder, RunFolderError
from siftfunnel.lab.training.fitting import FitSettings, Task, epochs_of, fit

LEAST_PICTURES = 20
STATISTICS_PICTURES = 1000
FLOAT_BYTES = 4
LEAST_ERROR = 1e-6

LossName = Literal["mse", "log-mse", "l1"]


def picture_loss(name: LossName, guess_NCHW: Tensor, x_NCHW: Tensor) -> tuple[Tensor, float]:
    """The scalar to minimise, and the batch's mean squared error for the log.

    ``mse`` is the paper's; ``log-mse``, the mean over pictures of log(MSE + 1e-6), is mean PSNR up to sign
    and scale, so that pictures which are easy to restore go on improving; ``l1`` is the mean absolute error.

    Example:
        >>> x = torch.zeros(1, 3, 2, 2)
        >>> round(float(picture_loss("mse", x + 0.5, x)[0]), 2)
        0.25
    """
    error_N = (guess_NCHW - x_NCHW).square().mean(dim=(1, 2, 3))
    logged = float(error_N.detach().mean())
    if name == "mse":
        return error_N.mean(), logged
    if name == "log-mse":
        return (error_N + LEAST_ERROR).log().mean(), logged
    return (guess_NCHW - x_NCHW).abs().mean(), logged


def doublings_of(victim: Victim) -> int:
    """How often what an inverter takes must double its side; see ``doublings_between``."""
    return doublings_between(victim.image_shape[1:], victim.lifted_shape[1:])


def is_point(victim: Victim) -> bool:
    """Whether what an inverter takes has one place only, as a vector has."""
    return victim.lifted_shape[1:] == (1, 1)


def unlifted(victim: Victim) -> Victim:
    """The victim before an attacker who inverts features as they are."""
    return replace(victim, lift=None)


class FeatureBank:
    """Clean features of pictures and of their mirror images, computed once where they fit in memory."""

    def __init__(self, victim: Victim, images_NHWC: Tensor, *, mirror: bool, limit_bytes: float) -> None:
        self._victim = victim
        self._images = images_NHWC
        self._mirror = mirror
        values = len(images_NHWC) * (1 + mirror) * torch.Size(victim.feature_shape).numel()
        self.cached = values * FLOAT_BYTES <= limit_bytes
        views = (images_NHWC, images_NHWC.flip(2)) if mirror else (images_NHWC,)
        self._views = [victim.features_of_set(view) for view in views] if self.cached else []

    def __len__(self) -> int:
        return len(self._images)

    @torch.no_grad()
    def changed(self, part_N: Tensor, change: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """What an eavesdropper sees of pictures at ``part_N`` after a change, and the changed pictures.

        Args:
            part_N: Which pictures.
            change: ``uint8`` pictures N x H x W x 3 to floats in [0, 1] of the same shape.
        """
        x_NCHW = change(self._images[part_N]).permute(0, 3, 1, 2)
        return self._victim.observe(x_NCHW), x_NCHW

    @torch.no_grad()
    def batch(self, part_N: Tensor, mirrored_N: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What an eavesdropper sees of pictures at ``part_N``, and the pictures as floats in [0, 1]."""
        images_NHWC = self._images[part_N]
        if mirrored_N is not None:
            images_NHWC = torch.where(mirrored_N[:, None, None, None], images_NHWC.flip(2), images_NHWC)
        x_NCHW = to_floats(images_NHWC)
        if not self.cached:
            return self._victim.observe(x_NCHW), x_NCHW
        z = self._views[0][part_N]
        if mirrored_N is not None:
            z = torch.where(mirrored_N[:, None, None, None], self._views[1][part_N], z)
        return self._victim.transmit(z), x_NCHW


class InverterTask(Task):
    """An inverter that learns to undo a victim's edge half; what the fitting loop runs."""

    def __init__(self, attack: "TrainedInverter", victim: Victim, auxiliary_NHWC: Tensor) -> None:
        check_pictures(victim, auxiliary_NHWC, LEAST_PICTURES)
        torch.manual_seed(attack.seed)
        self._attack = attack
        self._device, self._victim = victim.device, victim
        self._at_once = at_once(victim.image_shape)
        self.batch_size = attack.batch
        images_NHWC = auxiliary_NHWC.to(victim.device)
        held_back = max(1, round(len(images_NHWC) * attack.held_back_share))
        kept, chosen = (
            torch.from_numpy(part).to(victim.device)
            for part in seeded_parts(len(images_NHWC), (len(images_NHWC) - held_back, held_back), attack.seed)
        )
        limit = attack.cache_limit_gb * 1e9
        self._bank = FeatureBank(victim, images_NHWC[kept], mirror=attack.flip, limit_bytes=limit)
        self._held_back = FeatureBank(victim, images_NHWC[chosen], mirror=False, limit_bytes=limit)
        mean_C, std_C = self._statistics()
        self.model: nn.Module = channels_last(attack.whole(victim, mean_C, std_C).to(victim.device))

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation per channel of what the inverter takes."""
        count = min(len(self._bank), STATISTICS_PICTURES)
        parts = torch.split(torch.arange(count, device=self._device), self._at_once)
        with torch.no_grad():
            z = torch.cat([self._attack.taken(self._victim, self._bank.batch(part)[0]) for part in parts])
        return z.mean(dim=(0, 2, 3)), z.std(dim=(0, 2, 3))

    @property
    def samples_per_epoch(self) -> int:
        """Auxiliary pictures without those held back."""
        return len(self._bank)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Overheard features and the pictures behind them."""
        order = torch.randperm(len(self._bank), generator=generator)
        for part in torch.split(order, self.batch_size):
            z, x_NCHW = self._attack.drawn(self._bank, part.to(self._device), generator)
            yield z.contiguous(memory_format=torch.channels_last), x_NCHW

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The attack's loss on one batch."""
        z, x_NCHW = batch
        loss, error = self._attack.loss(self.model(z), x_NCHW)
        return loss, {"mse": error}

    def validate(self) -> dict[str, float]:
        """Mean PSNR per picture, in dB, on the pictures held back."""
        found: list[Tensor] = []
        for part in torch.split(torch.arange(len(self._held_back), device=self._device), self._at_once):
            z, x_NCHW = self._held_back.batch(part)
            guess = self.model(z.contiguous(memory_format=torch.channels_last))
            found.append(psnr_N(guess, x_NCHW).cpu())
        decibels = float(torch.cat(found).mean())
        return {"held_back_psnr": decibels, "score": decibels}


@dataclass(frozen=True)
class TrainedInverter(Attack):
    """Base of the attacks that train an inverter with queries on the attacker's own pictures.

    Attributes:
        epochs: Passes over the auxiliary pictures.
        least_steps: Steps at least; where there are few pictures there are more passes.
        batch: Pictures per step.
        learning_rate: Peak of the one-cycle schedule.
        beta1: Adam's first decay.
        flip: Whether half of the pictures of a pass are mirrored, drawn per picture.
        held_back_share: Share of the auxiliary pictures that chooses the best epoch.
        cache_limit_gb: Features are computed anew for every batch where keeping them would take more.
        seed: Seed of everything random.
    """

    epochs: int = 20
    least_steps: int = 0
    batch: int = 64
    learning_rate: float = 1e-3
    beta1: float = 0.9
    flip: bool = True
    held_back_share: float = 0.1
    cache_limit_gb: float = 6.0
    seed: int = 1

    kind: ClassVar[Literal["optimisation", "inverter"]] = "inverter"
    loss_name: ClassVar[LossName] = "log-mse"
    lifts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(f"{self.name}: epochs and batch must be 1 or more")
        if not 0 < self.held_back_share < 1:
            raise ValueError(f"{self.name}: the share held back must lie between 0 and 1")

    def taken(self, victim: Victim, z_NCHW: Tensor) -> Tensor:
        """What the network of ``build`` takes, of overheard features."""
        return victim.lifted(z_NCHW) if self.lifts else z_NCHW

    def whole(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """From an overheard feature to a picture of the victim's size: lift, network, crop."""
        inverted = victim if self.lifts else unlifted(victim)
        network = self.build(inverted, mean_C, std_C)
        network = cropped(network, victim.image_shape[1:], inverted.lifted_shape[1:])
        if inverted.lift is None:
            return network
        return nn.Sequential(copy.deepcopy(inverted.lift.module), network)

    def drawn(self, bank: FeatureBank, part_N: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Overheard features and pictures of a training batch, half of them mirrored with ``flip``."""
        if not self.flip:
            return bank.batch(part_N)
        return bank.batch(part_N, (torch.rand(len(part_N), generator=generator) < 0.5).to(part_N.device))

    @abstractmethod
    def build(self, victim: Victim, mean_C: Tensor, std_C: Tensor) -> nn.Module:
        """The untrained inverter for features of these statistics; output N x 3 x H x W in [0, 1]."""

    def loss(self, guess_NCHW: Tensor, x_NCHW: Tensor) -> tuple[Tensor, float]:
        """The scalar to minimise, and the mean squared error."""
        return picture_loss(self.loss_name, guess_NCHW, x_NCHW)

    def fit(self, victim: Victim, auxiliary_NHWC: Tensor, folder: Path, show: Show) -> Mapping[str, Any]:
        """Train on the auxiliary pictures, or continue; see ``Attack.fit``.

        Raises:
            ValueError: too few pictures, or sizes that do not fit.
            RunFolderError: the folder holds this attack on another victim, or with another budget.
            MemoryError: says what to lower.
        """
        check_pictures(victim, auxiliary_NHWC, LEAST_PICTURES)
        run = RunFolder(folder / self.name, self.about(victim, auxiliary_NHWC))
        learned = self.train(victim, auxiliary_NHWC, run)
        show(
            f"{self.name}: epoch {learned['best_epoch']} of {learned['epochs']} is best, "
            f"{learned['held_back_psnr']:.2f} dB on auxiliary pictures held back"
        )
        return learned

    def about(self, victim: Victim, auxiliary_NHWC: Tensor) -> dict[str, Any]:
        """What the run folder is compared by."""
        return {
            "attack": self.name,
            "budget": self.budget(),
            "victim": victim_fingerprint(victim),
            "auxiliary": tensor_digest(auxiliary_NHWC),
        }

    def train(self, victim: Victim, auxiliary_NHWC: Tensor, run: RunFolder) -> dict[str, Any]:
        """Fit the inverter in a run folder and say what was learned."""
        with memory_advice(self.batch):
            task = self.task(victim, auxiliary_NHWC, run.folder.parent)
            settings = FitSettings(
                epochs_of(self.epochs, self.least_steps, task),
                self.learning_rate,
                beta1=self.beta1,
                weight_decay=0.0,
                seed=self.seed,
            )
            progress = fit(task, settings, run)
        return learned_from(progress, task)

    def task(self, victim: Victim, auxiliary_NHWC: Tensor, root: Path) -> InverterTask:
        """What is fitted; ``root`` is the folder that all attacks on this victim share."""
        return InverterTask(self, victim, auxiliary_NHWC)

    def load(self, victim: Victim, folder: Path) -> nn.Module:
        """The trained inverter of this victim, in evaluation mode.

        Raises:
            RunFolderError: nothing was fitted here, or on another victim.
        """
        about = stored_about(folder, self.name)
        if about["victim"] != victim_fingerprint(victim):
            raise RunFolderError(
                f"{folder} holds {self.name} fitted on another victim; fit it in another folder"
            )
        run = RunFolder(folder, {**about, "budget": self.budget()})
        return channels_last(run.load_best(self.untrained(victim)).to(victim.device)).eval()

    def untrained(self, victim: Victim) -> nn.Module:
        """A network of the right shape, to put weights into."""
        channels = (victim.lifted_shape if self.lifts else victim.feature_shape)[0]
        return self.whole(victim, torch.zeros(channels), torch.ones(channels))

    def reconstruct(self, victim: Victim, z_NCHW: Tensor, folder: Path, show: Show) -> Reconstruction:
        """Pictures from overheard features; see ``Attack.reconstruct``.

        Raises:
            RunFolderError: ``fit`` has not run here, or ran on another victim.
        """
        require_features(victim, z_NCHW)
        model = self.load(victim, folder / self.name)
        stored = json.loads((folder / self.name / RUN).read_text())
        return Reconstruction(
            invert(model, z_NCHW, victim),
            {"best_epoch": stored["best_epoch"], "held_back_psnr": stored["best_score"]},
        )


def learned_from(progress: Progress, task: InverterTask) -> dict[str, Any]:
    """What a training's counters say, as JSON values."""
    return {
        "epochs": progress.epochs_done,
        "best_epoch": progress.best_epoch,
        "held_back_psnr": progress.best_score,
        "parameters": count_parameters(task.model),
        "seconds": round(progress.seconds, 1),
        "history": progress.history,
    }


def stored_about(folder: Path, name: str) -> dict[str, Any]:
    """What the run in ``folder`` says it was fitted on."""
    if not (folder / RUN).is_file():
        raise RunFolderError(f"{folder} holds no fitted {name} attack; call fit first")
    about: dict[str, Any] = json.loads((folder / RUN).read_text())["about"]
    return about


@torch.no_grad()
def invert(model: nn.Module, z_NCHW: Tensor, victim: Victim) -> Tensor:
    """Run an inverter batch by batch; pictures in [0, 1] on the CPU."""
    parts = [
        model(part.to(victim.device).contiguous(memory_format=torch.channels_last)).clamp(0, 1).cpu()
        for part in torch.split(z_NCHW, at_once(victim.image_shape))
    ]
    return torch.cat(parts).contiguous()

"""Mutual information of pictures and features by neural estimation (MINE), Eq. 10 and 11 of the paper.

Donsker and Varadhan: I(x; z) >= E_joint[T] - log E_independent[e^T] for every critic T. Two estimators:

``authors_mine``  the paper's column "MI", from the authors' code. Its critic ends in a sigmoid, so T lies in
    (0, 1) and the bound cannot pass 1 nat, whatever the data: 1 is its ceiling, not a share of anything. It
    pads a feature with zeros into the top left corner of the picture's plane, so what it reports depends
    mostly on the feature map's size: a 16x16 thumbnail of x scores 0.02 padded and 0.95 enlarged (measured).
``mine``          ours: own encoders for both sides, no sigmoid, Belghazi's bias-corrected gradient, step
    chosen on one half of the evaluation pairs and reported on the other.

No estimator from M pairs can vouch for more than about log M nats (McAllester and Stratos, 2020): both
results name their ceiling. A low value says that this critic found little, not that little is there.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.metrics.arrays import check_paired
from siftfunnel.lab.metrics.encoders import encoder_pair, standardiser

AUTHORS_CEILING_NATS = 1.0
AUTHORS_BATCH = 128
AUTHORS_LEARNING_RATE = 0.01
AUTHORS_BETAS = (0.8, 0.99)
AUTHORS_PATIENCE_EPOCHS = 20

_AVERAGE_DECAY = 0.99
_GRADIENT_NORM = 1.0
_CHECKS = 20
_EVALUATED_AT_ONCE = 512
_LEAST_EVALUATED = 4


@dataclass(frozen=True)
class MutualInformation:
    """An estimate in nats.

    Attributes:
        nats: The estimate, at most ``ceiling_nats``.
        ceiling_nats: What the estimator cannot pass, whatever the data.
        history: The estimate at each check on evaluation pairs, before any cut.
    """

    nats: float
    ceiling_nats: float
    history: tuple[float, ...]


def log_mean_exp(values: Tensor) -> Tensor:
    """``log(mean(e^v))`` over all values, without overflow.

    Example:
        >>> log_mean_exp(torch.tensor([7.0, 7.0])).item()
        7.0
    """
    return torch.logsumexp(values.flatten(), dim=0) - math.log(values.numel())


class AuthorsCritic(nn.Module):
    """The authors' critic: zero-padded feature beside the picture, four 3x3 convolutions, global mean.

    ``Conv (3 + C) -> 64, tanh, -> 32, tanh, -> 16, tanh, -> 4, sigmoid``; a scalar in (0, 1) per pair.
    """

    def __init__(self, picture_channels: int, feature_channels: int) -> None:
        super().__init__()
        sizes = (picture_channels + feature_channels, 64, 32, 16, 4)
        layers: list[nn.Module] = []
        for taken, given in pairwise(sizes):
            layers += [nn.Conv2d(taken, given, kernel_size=3, padding=1), nn.Tanh()]
        layers[-1] = nn.Sigmoid()
        self.layers = nn.Sequential(*layers)

    def forward(self, x_NCHW: Tensor, z_NCHW: Tensor) -> Tensor:
        """Scores, length N."""
        bottom, right = x_NCHW.shape[2] - z_NCHW.shape[2], x_NCHW.shape[3] - z_NCHW.shape[3]
        padded = functional.pad(z_NCHW, (0, right, 0, bottom))
        scores: Tensor = self.layers(torch.cat((x_NCHW, padded), dim=1)).mean(dim=(1, 2, 3))
        return scores


def _authors_bound(
    critic: nn.Module, x_NCHW: Tensor, z_NCHW: Tensor, generator: torch.Generator, device: torch.device
) -> Tensor:
    order = torch.randperm(len(z_NCHW), generator=generator)
    x, z, other = x_NCHW.to(device), z_NCHW.to(device), z_NCHW[order].to(device)
    bound: Tensor = critic(x, z).mean() - log_mean_exp(critic(x, other))
    return bound


def authors_mine(
    x_train_NCHW: Tensor,
    z_train_NCHW: Tensor,
    x_eval_NCHW: Tensor,
    z_eval_NCHW: Tensor,
    *,
    epochs: int = 100,
    batch: int = AUTHORS_BATCH,
    learning_rate: float = AUTHORS_LEARNING_RATE,
    betas: tuple[float, float] = AUTHORS_BETAS,
    seed: int = 1,
    device: str | torch.device = "cpu",
) -> MutualInformation:
    """The paper's "MI": the authors' critic and training, and the maximum over epochs on auxiliary pairs.

    From their code: batch 128, 100 epochs, AdamW 0.01 with betas (0.8, 0.99) for CNN and VGG and (0.6, 0.99)
    for ResNet, plain log-mean-exp with one permutation per batch, and a plateau schedule that halves the rate
    after 20 epochs in which the figure did not *fall*. The schedule is fed with the evaluation figure, which
    is our reading. The maximum over epochs is taken on the very pairs that it is reported on, as theirs.

    Args:
        x_train_NCHW: Normalised pictures; the authors use the target's training pictures.
        z_train_NCHW: Their features, with sides no longer than the pictures'.
        x_eval_NCHW: Normalised pictures to evaluate on; the authors use the attacker's auxiliary ones.
        z_eval_NCHW: Their features.
        epochs: Passes over the training pairs.
        batch: Pairs per step and per evaluated bound.
        learning_rate: Of AdamW at the start.
        betas: Of AdamW.
        seed: Of weights, order and permutations.
        device: Where to train.

    Raises:
        ValueError: no pairs, or a feature larger than the picture.
    """
    for x, z, what in ((x_train_NCHW, z_train_NCHW, "training"), (x_eval_NCHW, z_eval_NCHW, "evaluation")):
        check_paired(x, z, least=2, what=f"{what} pairs")
    if z_train_NCHW.shape[2] > x_train_NCHW.shape[2] or z_train_NCHW.shape[3] > x_train_NCHW.shape[3]:
        raise ValueError(
            f"the authors' critic pads features up to the picture; {tuple(z_train_NCHW.shape[2:])} does not "
            f"fit into {tuple(x_train_NCHW.shape[2:])}"
        )
    device = torch.device(device)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    critic = AuthorsCritic(x_train_NCHW.shape[1], z_train_NCHW.shape[1]).to(device)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=learning_rate, betas=betas)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", factor=0.5, patience=AUTHORS_PATIENCE_EPOCHS
    )
    drawn = torch.randperm(len(x_eval_NCHW), generator=generator)
    x_eval_NCHW, z_eval_NCHW = x_eval_NCHW[drawn], z_eval_NCHW[drawn]
    history: list[float] = []
    for _ in range(epochs):
        for part in torch.split(torch.randperm(len(x_train_NCHW), generator=generator), batch):
            optimizer.zero_grad(set_to_none=True)
            loss = -_authors_bound(critic, x_train_NCHW[part], z_train_NCHW[part], generator, device)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            bounds = [
                float(_authors_bound(critic, x, z, generator, device))
                for x, z in zip(torch.split(x_eval_NCHW, batch), torch.split(z_eval_NCHW, batch), strict=True)
            ]
        history.append(sum(bounds) / len(bounds))
        schedule.step(history[-1])
    return MutualInformation(max(history), AUTHORS_CEILING_NATS, tuple(history))


class JointCritic(nn.Module):
    """Encodes picture and feature apart, then scores any pairing of encodings without a bound."""

    def __init__(self, x_NCHW: Tensor, z_NCHW: Tensor, width: int) -> None:
        super().__init__()
        self.encode_x, self.encode_z = encoder_pair(x_NCHW, z_NCHW, width)
        self.meet = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, kernel_size=3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(2 * width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
        )
        self.score = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.LeakyReLU(0.1), nn.Linear(2 * width, 1)
        )

    def forward(self, encoded_x: Tensor, encoded_z: Tensor) -> Tensor:
        """Scores of encodings that stand at the same index, length N."""
        met: Tensor = self.meet(torch.cat((encoded_x, encoded_z), dim=1)).mean(dim=(2, 3))
        scores: Tensor = self.score(met).squeeze(1)
        return scores


def _bias_corrected_loss(joint: Tensor, apart: Tensor, log_average: Tensor) -> Tensor:
    """Minus the bound, with the gradient's denominator replaced by its moving average (MINE, section 3.2)."""
    return -(joint.mean() - (log_mean_exp(apart) - log_average).exp())


@torch.no_grad()
def _held_out_bound(critic: JointCritic, x_NCHW: Tensor, z_NCHW: Tensor, shifts: int) -> float:
    """The bound on held-out pairs: all joint ones against ``shifts`` foreign features for each picture."""
    encoded_x = torch.cat([critic.encode_x(part) for part in torch.split(x_NCHW, _EVALUATED_AT_ONCE)])
    encoded_z = torch.cat([critic.encode_z(part) for part in torch.split(z_NCHW, _EVALUATED_AT_ONCE)])

    def scores(moved_z: Tensor) -> Tensor:
        pairs = zip(
            torch.split(encoded_x, _EVALUATED_AT_ONCE), torch.split(moved_z, _EVALUATED_AT_ONCE), strict=True
        )
        return torch.cat([critic(a, b) for a, b in pairs])

    apart = [scores(encoded_z.roll(shift, dims=0)) for shift in range(1, shifts + 1)]
    return float(scores(encoded_z).mean() - log_mean_exp(torch.cat(apart)))


def mine(
    x_train_NCHW: Tensor,
    z_train_NCHW: Tensor,
    x_eval_NCHW: Tensor,
    z_eval_NCHW: Tensor,
    *,
    steps: int = 2000,
    batch: int = 128,
    learning_rate: float = 1e-3,
    width: int = 32,
    shifts: int = 8,
    seed: int = 1,
    device: str | torch.device = "cpu",
) -> MutualInformation:
    """Mutual information with a critic that is not capped, on held-out pairs; all settings ours.

    The evaluation pairs are put into a seeded order and cut in two. About twenty times in training the bound
    is taken on both halves; reported is the second half's where the first half's is best. It is cut to
    [0, log M] with M the number of foreign pairs in the second half (its pictures times ``shifts``);
    ``history`` has the second half's values uncut.

    Args:
        x_train_NCHW: Normalised pictures.
        z_train_NCHW: Their features, of any size.
        x_eval_NCHW: Pictures that nothing was trained on, eight or more.
        z_eval_NCHW: Their features.
        steps: Training steps.
        batch: Pairs per step.
        learning_rate: Of Adam.
        width: Channels of the critic.
        shifts: Foreign features per evaluated picture.
        seed: Of weights and order.
        device: Where to train; the pairs are moved there whole.

    Raises:
        ValueError: too few pairs, or NaN.
    """
    check_paired(x_train_NCHW, z_train_NCHW, least=2, what="training pairs")
    check_paired(x_eval_NCHW, z_eval_NCHW, least=2 * _LEAST_EVALUATED, what="evaluation pairs")
    device = torch.device(device)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    # in class order a picture's foreign features would be those of its own class
    drawn = torch.randperm(len(x_eval_NCHW), generator=generator)
    scale_x, scale_z = standardiser(x_train_NCHW), standardiser(z_train_NCHW)
    x_train, x_eval = scale_x(x_train_NCHW).to(device), scale_x(x_eval_NCHW[drawn]).to(device)
    z_train, z_eval = scale_z(z_train_NCHW).to(device), scale_z(z_eval_NCHW[drawn]).to(device)
    critic = JointCritic(x_train, z_train, width).to(device)
    optimizer = torch.optim.Adam(critic.parameters(), lr=learning_rate)
    log_average = torch.zeros((), device=device)
    half = len(x_eval) // 2
    shifts = min(shifts, half - 1)
    chosen: list[float] = []
    history: list[float] = []
    every = max(1, steps // _CHECKS)
    for step in range(1, steps + 1):
        part = torch.randint(len(x_train), (min(batch, len(x_train)),), generator=generator).to(device)
        encoded_x, encoded_z = critic.encode_x(x_train[part]), critic.encode_z(z_train[part])
        apart = critic(encoded_x, encoded_z.roll(1, dims=0))
        log_decayed = log_average + math.log(_AVERAGE_DECAY)
        log_average = torch.logaddexp(
            log_decayed, log_mean_exp(apart.detach()) + math.log(1 - _AVERAGE_DECAY)
        )
        loss = _bias_corrected_loss(critic(encoded_x, encoded_z), apart, log_average)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(critic.parameters(), _GRADIENT_NORM)
        optimizer.step()
        if step % every == 0 or step == steps:
            chosen.append(_held_out_bound(critic, x_eval[:half], z_eval[:half], shifts))
            history.append(_held_out_bound(critic, x_eval[half:], z_eval[half:], shifts))
    ceiling = math.log((len(x_eval) - half) * shifts)
    best = max(range(len(chosen)), key=chosen.__getitem__)
    return MutualInformation(min(ceiling, max(0.0, history[best])), ceiling, tuple(history))

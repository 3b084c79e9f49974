"""A lower bound on information by telling pairs apart: InfoNCE (van den Oord et al., 2018)."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.metrics.arrays import check_paired
from siftfunnel.lab.metrics.encoders import GridEncoder, encoder_pair, standardiser
from siftfunnel.lab.metrics.retrieval import first_place_credit

_ROWS_AT_ONCE = 256
_CHECKS = 20
_EMBEDDING = 64
_POOLED_SIDE = 4
_HELD_BACK_SHARE = 0.1
_MOST_SCALE = 100.0


@dataclass(frozen=True)
class InfoNCE:
    """A contrastive lower bound on I(x; z).

    Attributes:
        nats: Mean of the bounds picture to feature and feature to picture; may be below 0.
        ceiling_nats: log N for N test pairs; the bound cannot pass it, so a value near it says "or more".
        retrieval_rank1: Share of test features whose most similar picture is their own; chance is 1 / N.
    """

    nats: float
    ceiling_nats: float
    retrieval_rank1: float


class _Tower(nn.Module):
    """Grid encoder, average pool to at most 4x4, two linear layers, unit length."""

    def __init__(self, encoder: GridEncoder, width: int) -> None:
        super().__init__()
        pooled = (min(_POOLED_SIDE, encoder.grid[0]), min(_POOLED_SIDE, encoder.grid[1]))
        self.layers = nn.Sequential(
            encoder,
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.LeakyReLU(0.1),
            nn.AdaptiveAvgPool2d(pooled),
            nn.Flatten(),
            nn.Linear(width * pooled[0] * pooled[1], 2 * _EMBEDDING),
            nn.LeakyReLU(0.1),
            nn.Linear(2 * _EMBEDDING, _EMBEDDING),
        )

    def forward(self, values_NCHW: Tensor) -> Tensor:
        return functional.normalize(self.layers(values_NCHW), dim=1)


class _TwoTowers(nn.Module):
    def __init__(self, x_NCHW: Tensor, z_NCHW: Tensor, width: int) -> None:
        super().__init__()
        encode_x, encode_z = encoder_pair(x_NCHW, z_NCHW, width)
        self.embed_x, self.embed_z = _Tower(encode_x, width), _Tower(encode_z, width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def loss(self, x_NCHW: Tensor, z_NCHW: Tensor) -> Tensor:
        a, b = self.embed_x(x_NCHW), self.embed_z(z_NCHW)
        similarity = a @ b.T * self.log_scale.exp().clamp_max(_MOST_SCALE)
        own = torch.arange(len(a), device=a.device)
        return (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2

    @torch.no_grad()
    def evaluate(self, x_NCHW: Tensor, z_NCHW: Tensor) -> tuple[float, float]:
        """The bound in nats over all N pairs, and rank-1 of pictures found from features."""
        a = torch.cat([self.embed_x(part) for part in torch.split(x_NCHW, _ROWS_AT_ONCE)])
        b = torch.cat([self.embed_z(part) for part in torch.split(z_NCHW, _ROWS_AT_ONCE)])
        scale = self.log_scale.exp().clamp_max(_MOST_SCALE)
        own = torch.arange(len(a), device=a.device)
        losses: list[Tensor] = []
        found: list[Tensor] = []
        for a_part, b_part, own_part in zip(
            torch.split(a, _ROWS_AT_ONCE),
            torch.split(b, _ROWS_AT_ONCE),
            torch.split(own, _ROWS_AT_ONCE),
            strict=True,
        ):
            from_x, from_z = a_part @ b.T * scale, b_part @ a.T * scale
            losses.append(functional.cross_entropy(from_x, own_part, reduction="none"))
            losses.append(functional.cross_entropy(from_z, own_part, reduction="none"))
            found.append(first_place_credit(from_z, own_part))
        return math.log(len(a)) - float(torch.cat(losses).mean()), float(torch.cat(found).mean())


def info_nce(
    x_train_NCHW: Tensor,
    z_train_NCHW: Tensor,
    x_test_NCHW: Tensor,
    z_test_NCHW: Tensor,
    *,
    steps: int = 2000,
    batch: int = 128,
    learning_rate: float = 1e-3,
    width: int = 32,
    seed: int = 1,
    device: str | torch.device = "cpu",
) -> InfoNCE:
    """InfoNCE with two small encoders; all settings ours.

    Trained on nine tenths of the training pairs; the step is chosen on the last tenth; reported on the test
    pairs, all N of them in one softmax. In expectation over test pairs it is a lower bound on I(x; z) for any
    weights, so a weak encoder only makes it lower.

    Args:
        x_train_NCHW: Pictures, 20 or more.
        z_train_NCHW: Their features, of any size.
        x_test_NCHW: Pictures that nothing was trained on.
        z_test_NCHW: Their features.
        steps: Training steps.
        batch: Pairs per step, each the others' counter-example.
        learning_rate: Of Adam, falling to 0 along a cosine.
        width: Channels of the encoders.
        seed: Of weights and order.
        device: Where to train; the pairs are moved there whole.

    Raises:
        ValueError: too few pairs, or NaN.
    """
    check_paired(x_train_NCHW, z_train_NCHW, least=20, what="training pairs")
    check_paired(x_test_NCHW, z_test_NCHW, least=2, what="test pairs")
    device = torch.device(device)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    scale_x, scale_z = standardiser(x_train_NCHW), standardiser(z_train_NCHW)
    x, z = scale_x(x_train_NCHW).to(device), scale_z(z_train_NCHW).to(device)
    order = torch.randperm(len(x), generator=generator).to(device)
    held_back = order[: max(2, round(_HELD_BACK_SHARE * len(x)))]
    kept = order[len(held_back) :]
    towers = _TwoTowers(x, z, width).to(device)
    optimizer = torch.optim.Adam(towers.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, best_bound = copy.deepcopy(towers.state_dict()), -math.inf
    every = max(1, steps // _CHECKS)
    for step in range(1, steps + 1):
        part = kept[torch.randperm(len(kept), generator=generator)[:batch].to(device)]
        optimizer.zero_grad(set_to_none=True)
        towers.loss(x[part], z[part]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % every == 0 or step == steps:
            bound, _ = towers.evaluate(x[held_back], z[held_back])
            if bound > best_bound:
                best, best_bound = copy.deepcopy(towers.state_dict()), bound
    towers.load_state_dict(best)
    nats, rank1 = towers.evaluate(scale_x(x_test_NCHW).to(device), scale_z(z_test_NCHW).to(device))
    return InfoNCE(nats, math.log(len(x_test_NCHW)), rank1)

"""Quantisation and rate as a part of training: the stage at the cut of a rate-trained network.

    y = z / step            one learned step per rate point and channel
    k = clip(rint(y), 0, levels - 1)                   what is sent
    z' = step k             what the cloud gets; gradients pass straight through the rounding (STE)
    bits(k)                 the code length of what is sent: steers the prices
    bits(y)                 linear between the code lengths of y's two neighbours: has a gradient, is paid for

Code lengths are those of static tables: one row of frequencies per rate point, channel, phase and context.
The feature's positions are coded in three phases, each with what the phases before it leave on both sides:

    A . A .      phase A: even rows, even columns              no context
    . B . B      phase B: odd rows, odd columns                the sum of the four diagonal neighbours
    A . A .      phase C: the rest                             the sum of the four nearest neighbours
    . B . B

A sum is put into one of few classes by ``siftfunnel.shared.wire.lattice``, which also tells positions on the
feature's edge from those inside. Tables are frequencies with exponential
forgetting, not trained weights: for given symbols they are the best there are, and an exported bundle's are
counted likewise.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.shared.wire.lattice import CONTEXTS, PHASES, phase_map, place_map
from siftfunnel.shared.wire.seal import SEAL_BYTES

FORGETTING = 0.99
PRIOR = 0.02
LEAST_LOG_PRICE = -12.0
"""A price that fell without end while its rate point cost too little would be slow to come back."""


def body_bits(payload_bytes: float) -> float:
    """Bits that a payload of so many bytes leaves for levels: all but its checksum's."""
    return 8 * (payload_bytes - SEAL_BYTES)


def payload_bytes(bits: Tensor) -> Tensor:
    """The payload of levels that cost so many bits, in bytes, checksum included."""
    return bits / 8 + SEAL_BYTES


class Bits(NamedTuple):
    """Code lengths of a training batch.

    Attributes:
        priced_N: bits(y) of each picture, differentiable.
        sent_N: bits(k) of each picture.
        point_N: The rate point that each drew.
    """

    priced_N: Tensor
    sent_N: Tensor
    point_N: Tensor


class RateQuantiser(nn.Module):
    """Quantises a feature that is never negative, at one of several rate points.

    In training each picture draws a rate point; in evaluation all take ``point``.

    Args:
        channels: C.
        height: H.
        width: W.
        levels: Levels of the quantiser, 4 to 64.
        target_bits: Bits per picture that each rate point is to cost, body only, fewest first.
        shares: How often training draws each rate point; adds up to 1.
        first_steps: See ``start``.
        first_log_price: Logarithm of the price of a bit before the first step.
    """

    counts_TL: Tensor
    log_price_R: Tensor
    shares_R: Tensor
    spent_R: Tensor
    targets_R: Tensor
    classes_S: Tensor
    phase_HW: Tensor
    place_HW: Tensor

    stochastic, gain = False, 1.0

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        *,
        levels: int,
        target_bits: tuple[float, ...],
        shares: tuple[float, ...],
        first_steps: tuple[float, float],
        first_log_price: float,
    ) -> None:
        super().__init__()
        self.levels, self.points, self.channels = levels, len(target_bits), channels
        self.point = 0
        self._first_steps = first_steps
        self.log_steps_RC = nn.Parameter(torch.zeros(self.points, channels))
        rows = self.points * channels * math.prod(CONTEXTS.shape)
        self.register_buffer("counts_TL", torch.zeros(rows, levels))
        self.register_buffer("log_price_R", torch.full((self.points,), first_log_price))
        self.register_buffer("spent_R", torch.tensor(target_bits))
        self.register_buffer("shares_R", torch.tensor(shares), persistent=False)
        self.register_buffer("targets_R", torch.tensor(target_bits), persistent=False)
        self.register_buffer("classes_S", torch.from_numpy(CONTEXTS.of_sums(levels)).long(), persistent=False)
        self.register_buffer("phase_HW", torch.from_numpy(phase_map(height, width)).long(), persistent=False)
        self.register_buffer("place_HW", torch.from_numpy(place_map(height, width)).long(), persistent=False)
        self.seen: tuple[Tensor, Tensor, Tensor] | None = None

    @torch.no_grad()
    def start(self, z_NCHW: Tensor) -> None:
        """Set every step to so many of its channel's standard deviations; a few hundred pictures tell."""
        deviation_C = z_NCHW.std(dim=(0, 2, 3)).clamp_min(1e-3)
        deviations_R = torch.linspace(*self._first_steps, self.points, device=z_NCHW.device)
        self.set_steps(deviation_C[None] * deviations_R[:, None])

    @torch.no_grad()
    def set_steps(self, steps_RC: Tensor) -> None:
        """Set every step."""
        self.log_steps_RC.copy_(steps_RC.log())

    @staticmethod
    def name(point: int) -> str:
        """What people call a rate point's codec: ``r1`` sends the fewest bytes."""
        return f"r{point + 1}"

    @contextmanager
    def at(self, point: int) -> Iterator[None]:
        """In evaluation, take this rate point meanwhile."""
        before, self.point = self.point, point
        try:
            yield
        finally:
            self.point = before

    def steps(self, point: int) -> Tensor:
        """The steps of a rate point, one per channel."""
        steps_C: Tensor = self.log_steps_RC[point].detach().exp().cpu()
        return steps_C

    def excess(self) -> Tensor:
        """By what share each rate point's bits exceeded its target lately, R; 0 where they did not."""
        return (self.spent_R / self.targets_R - 1).clamp_min(0)

    @torch.no_grad()
    def widen(self, point: int, factor: float) -> None:
        """Make all steps of a rate point larger by one factor."""
        self.log_steps_RC[point] += math.log(factor)

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """What the cloud gets; remembers what ``bits`` needs when training."""
        count = len(z_NCHW)
        if self.training:
            point_N = torch.multinomial(self.shares_R, count, replacement=True)
        else:
            point_N = torch.full((count,), self.point, device=z_NCHW.device)
        steps = self.log_steps_RC[point_N].exp()[:, :, None, None]
        y = (z_NCHW / steps).clamp(0, self.levels - 1)
        levels = y.detach().round()
        if self.training:
            self.seen = (y, levels.long(), point_N)
        return steps * (y + (levels - y).detach())

    def rows(self, levels_NCHW: Tensor, point_N: Tensor) -> Tensor:
        """The table of each symbol, N x C x H x W, from the symbols that its context consists of."""
        padded = functional.pad(levels_NCHW, (1, 1, 1, 1))
        up, down = padded[:, :, :-2], padded[:, :, 2:]
        diagonal = up[..., :-2] + up[..., 2:] + down[..., :-2] + down[..., 2:]
        middle = padded[:, :, 1:-1]
        nearest = up[..., 1:-1] + down[..., 1:-1] + middle[..., :-2] + middle[..., 2:]
        phase = self.phase_HW
        sums = torch.where(phase == 2, nearest, diagonal) * (phase > 0)
        group = point_N[:, None] * self.channels + torch.arange(self.channels, device=phase.device)
        own = (group[:, :, None, None] * PHASES + phase) * CONTEXTS.places + self.place_HW
        return own * CONTEXTS.classes + self.classes_S[sums]

    def bits(self) -> Bits:
        """Code lengths of the last training batch; counts its symbols into the tables first."""
        assert self.seen is not None, "bits are known after a forward pass in training"
        y, levels, point_N = self.seen
        self.seen = None
        with torch.no_grad():
            rows = self.rows(levels, point_N)
            flat = rows.flatten() * self.levels + levels.flatten()
            self.counts_TL.mul_(FORGETTING)
            ones = torch.ones_like(flat, dtype=self.counts_TL.dtype).flatten()
            self.counts_TL.view(-1).scatter_add_(0, flat, ones)
            lengths_TL = self.code_lengths()
            low = y.detach().floor().long().clamp_max(self.levels - 2)
            base = rows * self.levels + low
            flat_lengths = lengths_TL.flatten()
            at_low, at_high = flat_lengths[base], flat_lengths[base + 1]
            sent_N = flat_lengths[flat].view_as(rows).sum(dim=(1, 2, 3))
        priced = at_low + (y - low) * (at_high - at_low)
        return Bits(priced.sum(dim=(1, 2, 3)), sent_N, point_N)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        """Tables of a run that was made with other contexts are left out: a few batches count them anew."""
        name = prefix + "counts_TL"
        if name in state_dict and state_dict[name].shape != self.counts_TL.shape:
            state_dict[name] = torch.zeros_like(self.counts_TL)
        # runs made before it was stored
        state_dict.setdefault(prefix + "spent_R", self.targets_R)
        super()._load_from_state_dict(state_dict, prefix, *more)

    def code_lengths(self) -> Tensor:
        """Bits of each level under each table."""
        smoothed = self.counts_TL + PRIOR
        return (smoothed.sum(dim=1, keepdim=True) / smoothed).log2()

    def mean_bits(self, bits_N: Tensor, point_N: Tensor) -> tuple[Tensor, Tensor]:
        """Mean bits of each rate point, R, and how many pictures of the batch drew it, R."""
        pictures_R = torch.zeros_like(self.targets_R).scatter_add_(0, point_N, torch.ones_like(bits_N))
        sums_R = torch.zeros_like(self.targets_R).scatter_add_(0, point_N, bits_N)
        return sums_R / pictures_R.clamp_min(1), pictures_R

    @torch.no_grad()
    def steer(self, bits_N: Tensor, point_N: Tensor, speed: float) -> None:
        """Raise or lower the price of a bit at each rate point, so that it comes to cost its target."""
        mean_R, pictures_R = self.mean_bits(bits_N, point_N)
        drawn_R = pictures_R > 0
        self.spent_R = torch.where(drawn_R, torch.lerp(self.spent_R, mean_R, 1 - FORGETTING), self.spent_R)
        excess_R = (mean_R / self.targets_R - 1).clamp(-0.5, 0.5)
        self.log_price_R.add_(speed * excess_R * drawn_R).clamp_(min=LEAST_LOG_PRICE)

"""What can stand around any cut of any family: a funnel, an autoencoder, a bottleneck, another normalisation.

    unprotected   edge                                           |cut|  cloud
    siftfunnel    entry -> gates -> narrow -> squeeze -> gates   |cut|  restore -> gate -> cloud
    plainfunnel   entry -> narrow -> squeeze                     |cut|  restore -> cloud
    autoencoder   edge -> encoder                                |cut|  decoder -> cloud
    slim          edge -> 1x1 to the funnel's channels           |cut|  restore -> cloud
    bottleneck    edge                                           |cut|  cloud, noise in its head
    groupnorm     unprotected, with group normalisation: DPSGD needs gradients per picture

Entry and narrow are the family's (``cut.FunnelShape``).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.networks.attention import CBAM, SqueezeExcite, TripletAttention
from siftfunnel.lab.networks.cut import Cut, Make
from siftfunnel.lab.networks.residual import conv3x3, residual_mix

DEVIATION_OFFSET = 5.0
NORM_GROUPS = 8
"""Ours: the paper only says that DPSGD was run, which batch normalisation does not allow."""


def squeeze_channels(in_channels: int, out_channels: int) -> nn.Sequential:
    """The funnel's neck: 1x1, 3x3, SiLU, 1x1, 3x3, 5x5, ReLU, all with bias.

    Parameters: 6,780 from 32 to 12 channels (CNN), 218 from 16 to 2 (ResNet-18), 2,984 from 16 to 8 (VGG16).
    """
    k = out_channels
    return nn.Sequential(
        nn.Conv2d(in_channels, k, kernel_size=1),
        nn.Conv2d(k, k, kernel_size=3, padding=1),
        nn.SiLU(),
        nn.Conv2d(k, k, kernel_size=1),
        nn.Conv2d(k, k, kernel_size=3, padding=1),
        nn.Conv2d(k, k, kernel_size=5, padding=2),
        nn.ReLU(),
    )


def start_open(neck: nn.Sequential) -> nn.Sequential:
    """Set the neck's biases to 0, in place; ours, for a neck of very few channels.

    The signal is small where the last bias is added, so PyTorch's default closes one channel in six behind
    the ReLU, for good. Without biases none is closed.
    """
    for module in neck:
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return neck


def restore_channels(in_channels: int, out_channels: int) -> nn.Sequential:
    """The cloud's first step: bring the channels back; 617,984 parameters from 12 to 256."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def funnel(cut: Cut, *, attention: bool = True) -> Cut:
    """The paper's funnel in the place of the edge; behind the cut the feature is restored.

    Without ``attention`` it has none of its gates, for the ablation; ours.

    Raises:
        ValueError: a width that the gates or the neck cannot divide, or a cut whose side the funnel misses.
    """
    shape, n, least = cut.funnel, cut.width, cut.funnel.reduction
    if n < least or n % 4:
        raise ValueError(
            f"the funnel's first gate reduces by {least}: width must be a multiple of 4 from {least}, got {n}"
        )
    k, (squeeze, both) = shape.channels, shape.neck_reductions
    gates: tuple[Make, ...] = (lambda: SqueezeExcite(n, least), TripletAttention) if attention else ()
    before = [layer for block in shape.entry(n) for layer in (block, *gates)]

    def neck() -> nn.Module:
        made = squeeze_channels(n // 4, k)
        return start_open(made) if shape.starts_open else made

    before += [lambda: shape.narrow(n), neck]
    if attention:
        before += [lambda: SqueezeExcite(k, squeeze), lambda: CBAM(k, both)]
    channels, *sides = cut.feature_shape
    restore: tuple[Make, ...] = (lambda: restore_channels(k, channels),)
    restore += (TripletAttention,) if attention else ()
    made = replace(
        cut,
        before=(*before,),
        after=(*restore, *cut.after),
        split_point=f"after the funnel ({k} channels)",
        restoring=len(restore),
    )
    if list(made.feature_shape[1:]) != sides:
        raise ValueError(
            f"the funnel ends at a side of {made.feature_shape[1]}, a cut {cut.split_point} at {sides[0]}"
        )
    return made


def encode_channels(channels: int) -> nn.Sequential:
    """The AE-based baseline's encoder: mix, then halve the channels (2,065,536 parameters at 256)."""
    half = channels // 2
    return nn.Sequential(
        residual_mix(channels), nn.Sequential(conv3x3(channels, half), nn.BatchNorm2d(half), nn.ReLU())
    )


def decode_channels(channels: int) -> nn.Sequential:
    """The mirror of ``encode_channels``: mix at half the channels, then bring them back."""
    half = channels // 2
    return nn.Sequential(
        residual_mix(half), nn.Sequential(conv3x3(half, channels), nn.BatchNorm2d(channels), nn.ReLU())
    )


def autoencoder(cut: Cut) -> Cut:
    """An encoder before and a decoder behind the cut; half the channels cross."""
    channels = cut.feature_shape[0]
    return replace(
        cut,
        before=(*cut.before, lambda: encode_channels(channels)),
        after=(lambda: decode_channels(channels), *cut.after),
        split_point=f"after the encoder ({channels // 2} channels)",
    )


def slim(cut: Cut) -> Cut:
    """As few channels as the family's funnel sends, of the unprotected edge by one convolution; ours.

    Batch normalisation gives the feature a scale, so that noise and steps of a known size mean something from
    the first step of training; a funnel's feature begins a hundred times smaller.
    """
    channels, few = cut.feature_shape[0], cut.funnel.channels

    def neck() -> nn.Module:
        layers = nn.Conv2d(channels, few, kernel_size=1, bias=False), nn.BatchNorm2d(few), nn.ReLU()
        return nn.Sequential(*layers)

    return replace(
        cut,
        before=(*cut.before, neck),
        after=(lambda: restore_channels(few, channels), *cut.after),
        split_point=f"{cut.split_point}, in {few} channels",
        restoring=1,
    )


class GaussianBottleneck(nn.Module):
    """MID's stochastic layer (Wang et al., 2021): a Gaussian whose mean and deviation the input decides.

    ``mu + sigma * noise`` in training and ``mu`` in evaluation, with ``sigma = softplus(s - 5)``. The offset,
    from the authors' code, starts training with next to no noise.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.mean = nn.Linear(in_features, out_features)
        self.deviation = nn.Linear(in_features, out_features)

    def moments(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation, each N x out_features."""
        return self.mean(x_ND), functional.softplus(self.deviation(x_ND) - DEVIATION_OFFSET)

    def forward(self, x_ND: Tensor) -> Tensor:
        """A sample in training, the mean in evaluation."""
        if not self.training:
            mean: Tensor = self.mean(x_ND)
            return mean
        mu, sigma = self.moments(x_ND)
        return mu + sigma * torch.randn_like(mu)


def _with_bottleneck(make_head: Make) -> nn.Sequential:
    flatten, first, *rest = make_head().children()
    assert isinstance(first, nn.Linear)
    half = first.in_features // 2
    return nn.Sequential(
        flatten, GaussianBottleneck(first.in_features, half), nn.Linear(half, first.out_features), *rest
    )


def bottleneck(cut: Cut) -> Cut:
    """MID's stochastic layer, half the flattened size, at the head's entry.

    It stands in the cloud, where the authors put it: the feature on the wire passes no noise.
    """
    *body, head = cut.after
    return replace(cut, after=(*body, partial(_with_bottleneck, head)))


def _group_normalised(make: Make) -> nn.Module:
    module = make()
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.GroupNorm(NORM_GROUPS, child.num_features))
    return module


def group_norm(cut: Cut) -> Cut:
    """Group normalisation, within one picture, in the place of batch normalisation; as many parameters."""
    before, after = ([partial(_group_normalised, make) for make in side] for side in (cut.before, cut.after))
    return replace(cut, before=(*before,), after=(*after,))


VARIANTS: Mapping[str, Callable[[Cut], Cut]] = {
    "unprotected": lambda cut: cut,
    "siftfunnel": funnel,
    "plainfunnel": partial(funnel, attention=False),
    "autoencoder": autoencoder,
    "slim": slim,
    "bottleneck": bottleneck,
    "groupnorm": group_norm,
}
"""Every wrapper by the name that stands behind the family's in a network's name."""

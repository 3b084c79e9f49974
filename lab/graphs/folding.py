"""Preparing a trained network for export: fold what folds exactly, then round to half precision.

Folded: batch normalisation into the convolution before it, a stochastic bottleneck into its mean, and
consecutive linear layers into one. Consecutive convolutions are left alone even without an activation between
them: the first one's bias does not reach into the second one's zero padding, so the product kernel would be
wrong along the border.
"""

import copy

import torch
from torch import nn

from siftfunnel.lab.networks.layout import channels_first
from siftfunnel.lab.networks.necks import GaussianBottleneck


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution that equals ``norm(conv(x))`` with running statistics."""
    if norm.running_mean is None or norm.running_var is None or norm.weight is None or norm.bias is None:
        raise ValueError("only an affine normalisation with running statistics can be folded")
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.double()
    folded = copy.deepcopy(conv)
    folded.weight.data = (conv.weight.double() * scale[:, None, None, None]).float()
    folded.bias = nn.Parameter(((bias - norm.running_mean.double()) * scale + norm.bias.double()).float())
    return folded


def fold_linear(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """One linear layer that equals ``second(first(x))``."""
    folded = nn.Linear(first.in_features, second.out_features)
    weight, outer = first.weight.double(), second.weight.double()
    inner_bias = torch.zeros(first.out_features).double() if first.bias is None else first.bias.double()
    outer_bias = torch.zeros(second.out_features).double() if second.bias is None else second.bias.double()
    folded.weight.data = (outer @ weight).float()
    folded.bias.data = (outer @ inner_bias + outer_bias).float()
    return folded


def _fold_pair(first: nn.Module, second: nn.Module) -> nn.Module | None:
    if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
        return fold_batch_norm(first, second)
    if isinstance(first, nn.Linear) and isinstance(second, nn.Linear):
        return fold_linear(first, second)
    return None


def _fold_sequence(modules: list[nn.Module]) -> list[nn.Module]:
    kept: list[nn.Module] = []
    for module in modules:
        if isinstance(module, nn.Dropout | nn.Identity):
            continue
        if isinstance(module, GaussianBottleneck):
            module = module.mean
        if kept and isinstance(module, nn.ReLU) and isinstance(kept[-1], nn.MaxPool2d):
            kept.insert(-1, module)
            continue
        merged = _fold_pair(kept[-1], module) if kept else None
        if merged is None:
            kept.append(module)
        else:
            kept[-1] = merged
    return kept


def _fold_children(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        _fold_children(child)
        if isinstance(child, nn.Sequential):
            setattr(module, name, nn.Sequential(*_fold_sequence(list(child))))
    norm, conv = getattr(module, "norm", None), getattr(module, "conv", None)
    if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d):
        module.conv, module.norm = fold_batch_norm(conv, norm), nn.Identity()


@torch.no_grad()
def folded_copy(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode on the CPU that computes the same with fewer layers."""
    box = nn.Sequential(copy.deepcopy(module).cpu().eval())
    _fold_children(box)
    return channels_first(box[0].eval().requires_grad_(False))


@torch.no_grad()
def round_to_half(module: nn.Module) -> nn.Module:
    """Round every weight to the nearest half-precision value, in place; arithmetic stays float32.

    Raises:
        ValueError: a weight beyond half precision's range (65,504).
    """
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_floating_point():
            rounded = value.half()
            if not torch.isfinite(rounded).all():
                raise ValueError(f"weight {name} does not fit half precision; export it as float32")
            value.copy_(rounded.float())
    return module

"""The smallest network of every architecture, with statistics as training leaves them."""

import torch
from torch import nn

from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.networks.split import SplitNetwork

TINY_WIDTH = {"cnn": 32, "resnet18": 16, "vgg16": 16}


def family_of(architecture: str) -> str:
    return architecture.partition("-")[0]


def tiny_network(
    architecture: str, *, input_size: int = 32, num_classes: int = 10, seed: int = 0
) -> SplitNetwork:
    torch.manual_seed(seed)
    return build_network(
        architecture,
        width=TINY_WIDTH[family_of(architecture)],
        input_size=input_size,
        num_classes=num_classes,
    )


def shaken(network: nn.Module) -> nn.Module:
    """Give normalisations scales and statistics that are not the identity, as training does."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            # two channels behind a ReLU are easily both closed before training
            nn.init.uniform_(module.bias, 0, 0.3)
    return network.eval()


def trained_like(architecture: str, *, input_size: int = 32, num_classes: int = 10) -> SplitNetwork:
    network = tiny_network(architecture, input_size=input_size, num_classes=num_classes)
    shaken(network)
    return network

"""One small batch for every defence."""

import torch
from torch import Tensor

from siftfunnel.lab.defences.defence import Defence, Step
from siftfunnel.lab.defences.losses import Loss
from siftfunnel.lab.networks.layout import channels_last
from siftfunnel.lab.networks.split import SplitNetwork
from tests.lab.pictures import coloured_set

SIZE = 16
CLASSES = 3


def batch(count: int = 24) -> tuple[Tensor, Tensor]:
    made = coloured_set(count, size=SIZE)
    x_NCHW = torch.from_numpy(made.images_NHWC).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x_NCHW, torch.from_numpy(made.labels)


def tiny(defence: Defence) -> SplitNetwork:
    torch.manual_seed(0)
    network = defence.build("cnn", width=32, input_size=SIZE, num_classes=CLASSES)
    return channels_last(network).train()


def loss_of(
    defence: Defence, network: SplitNetwork, x_NCHW: Tensor, labels_N: Tensor, share_done: float = 1.0
) -> Loss:
    """The loss with the same noise at every call."""
    torch.manual_seed(7)
    z_NCHW, logits_NK, hidden = network.trace(x_NCHW)
    return defence.loss(Step(x_NCHW, z_NCHW, logits_NK, labels_N, hidden, network, share_done))


def number(scalar: Tensor) -> float:
    return float(scalar.detach())

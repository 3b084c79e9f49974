"""What the funnels of all families share: the neck before the cut, the restoring layers behind it."""

from torch import nn


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

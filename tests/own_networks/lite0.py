"""The one network that comes as a PyTorch module, as `siftfunnel split --torch` wants it."""

from torch import nn


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 without weights; its wheel's folder must be on the path."""
    from efficientnet_lite_pytorch import EfficientNet

    module: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return module

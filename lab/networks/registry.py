"""Every network by the name that recipes, checkpoints and manifests use: ``<family>-<variant>``."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from siftfunnel.lab.networks import cnn, resnet, vgg
from siftfunnel.lab.networks.split import SplitNetwork

FAMILIES: Mapping[str, int] = MappingProxyType(
    {
        "cnn": cnn.PAPER_WIDTH,
        "resnet18": resnet.PAPER_WIDTH,
        "vgg16": vgg.PAPER_WIDTH,
    }
)
"""Each family with the width at which it is the paper's network."""

NETWORKS: dict[str, Callable[..., SplitNetwork]] = {
    "cnn-unprotected": cnn.UnprotectedCNN,
    "cnn-siftfunnel": cnn.SiftFunnelCNN,
    "cnn-plainfunnel": cnn.PlainFunnelCNN,
    "cnn-autoencoder": cnn.AutoencoderCNN,
    "cnn-bottleneck": cnn.BottleneckCNN,
    "cnn-groupnorm": cnn.GroupNormCNN,
    "resnet18-unprotected": resnet.UnprotectedResNet18,
    "resnet18-siftfunnel": resnet.SiftFunnelResNet18,
    "resnet18-plainfunnel": resnet.PlainFunnelResNet18,
    "resnet18-autoencoder": resnet.AutoencoderResNet18,
    "resnet18-bottleneck": resnet.BottleneckResNet18,
    "resnet18-groupnorm": resnet.GroupNormResNet18,
    "vgg16-unprotected": vgg.UnprotectedVGG16,
    "vgg16-siftfunnel": vgg.SiftFunnelVGG16,
    "vgg16-plainfunnel": vgg.PlainFunnelVGG16,
    "vgg16-autoencoder": vgg.AutoencoderVGG16,
    "vgg16-bottleneck": vgg.BottleneckVGG16,
    "vgg16-groupnorm": vgg.GroupNormVGG16,
}
"""The list of all."""


def build_network(architecture: str, *, width: int, input_size: int, num_classes: int) -> SplitNetwork:
    """Build a network by name; an unknown name lists the known ones."""
    if architecture not in NETWORKS:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(sorted(NETWORKS))}")
    return NETWORKS[architecture](width=width, input_size=input_size, num_classes=num_classes)

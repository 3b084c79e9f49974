"""Every network by the name that recipes, checkpoints and manifests use: ``<family>-<variant>``."""

from collections.abc import Mapping

from siftfunnel.lab.networks.cnn import CNN
from siftfunnel.lab.networks.cut import Family
from siftfunnel.lab.networks.necks import VARIANTS
from siftfunnel.lab.networks.resnet import RESNET18
from siftfunnel.lab.networks.split import SplitNetwork
from siftfunnel.lab.networks.vgg import VGG16

FAMILIES: Mapping[str, Family] = {"cnn": CNN, "resnet18": RESNET18, "vgg16": VGG16}
"""Every family by name."""

NETWORKS = tuple(f"{family}-{variant}" for family in FAMILIES for variant in VARIANTS)
"""The names of all."""


def build_network(
    architecture: str, *, width: int, input_size: int, num_classes: int, cut_after: str | None = None
) -> SplitNetwork:
    """Build a network by name, cut after a stage; None cuts where the paper does.

    Raises:
        ValueError: an unknown name (the text lists the known ones), sizes that cannot work, or no such stage.
    """
    if architecture not in NETWORKS:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(sorted(NETWORKS))}")
    family, variant = architecture.split("-")
    cut = FAMILIES[family].cut(width=width, input_size=input_size, num_classes=num_classes, after=cut_after)
    return VARIANTS[variant](cut).build()

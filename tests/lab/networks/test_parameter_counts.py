"""The paper's parameter counts at the paper's widths, the true way and as torchsummary prints them.

torchsummary adds a layer's weight and bias each time the layer runs, so that CBAM's two shared layers count
twice. The networks are built on the meta device, as shapes; only the edge that runs gets values.
"""

from typing import Any

import pytest
import torch
from torch import nn

from siftfunnel.lab.metrics.cost import count_as_torchsummary
from siftfunnel.lab.networks.registry import FAMILIES, build_network
from siftfunnel.lab.networks.split import SplitNetwork, count_parameters


def paper_network(architecture: str, num_classes: int = 10) -> SplitNetwork:
    width = FAMILIES[architecture.partition("-")[0]].paper_width
    with torch.device("meta"):
        return build_network(architecture, width=width, input_size=64, num_classes=num_classes).eval()


@pytest.mark.parametrize(
    ("architecture", "unique", "printed"),
    [
        ("cnn-unprotected", 299_520, 299_520),
        ("cnn-groupnorm", 299_520, 299_520),
        ("cnn-bottleneck", 299_520, 299_520),
        ("cnn-autoencoder", 2_365_056, 2_365_056),
        # the paper prints 14,911: no layout of its description has an odd count; this is the released code's
        ("cnn-siftfunnel", 16_354, 16_402),
        ("resnet18-unprotected", 149_824, 149_824),
        ("resnet18-groupnorm", 149_824, 149_824),
        ("resnet18-autoencoder", 279_136, 279_136),
        ("resnet18-siftfunnel", 78_860, 78_864),
        ("vgg16-unprotected", 38_976, 38_976),
        ("vgg16-autoencoder", 168_288, 168_288),
        ("vgg16-siftfunnel", 52_054, 52_086),
    ],
)
def test_an_edge_has_the_parameters_of_the_paper(architecture: str, unique: int, printed: int) -> None:
    network = paper_network(architecture)
    assert count_parameters(network.edge) == unique
    edge = network.edge.to_empty(device="cpu")
    assert count_as_torchsummary(edge, (3, 32, 32)) == printed


@pytest.mark.parametrize(
    ("architecture", "parts"),
    [
        ("cnn-siftfunnel", [3_840, 1_024, 300, 4_192, 6_780, 72, 146]),
        ("resnet18-siftfunnel", [1_856, 512, 300, 73_984, 512, 300, 1_072, 218, 4, 102]),
        ("vgg16-siftfunnel", [38_848, 512, 300, 9_248, 2_984, 32, 130]),
    ],
)
def test_a_funnels_parts_have_these_parameters(architecture: str, parts: list[int]) -> None:
    assert [count_parameters(part) for part in paper_network(architecture).edge] == parts


def test_a_vgg_edge_cut_after_the_second_stage_would_have_260928() -> None:
    with torch.device("meta"):
        network = build_network(
            "vgg16-unprotected", width=64, input_size=64, num_classes=10, cut_after="stage 2"
        )
    assert count_parameters(network.edge) == 260_928


def test_the_heads_are_those_of_the_paper() -> None:
    linear: Any = paper_network("resnet18-unprotected").cloud[-1]
    assert linear[1].weight.shape == (10, 512 * 2 * 2)
    head: Any = paper_network("vgg16-unprotected", num_classes=530).cloud[-1]
    shapes = [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Linear)]
    assert shapes == [(4096, 2048), (4096, 4096), (530, 4096)]


@pytest.mark.parametrize(
    ("family", "unprotected", "protected"),
    [
        ("cnn", (256, 16, 16), (12, 16, 16)),
        ("resnet18", (64, 64, 64), (2, 64, 64)),
        ("vgg16", (64, 32, 32), (8, 32, 32)),
    ],
)
def test_what_crosses_the_cut(family: str, unprotected: tuple[int, ...], protected: tuple[int, ...]) -> None:
    assert paper_network(f"{family}-unprotected").feature_shape == unprotected
    assert paper_network(f"{family}-siftfunnel").feature_shape == protected
    halved = (unprotected[0] // 2, *unprotected[1:])
    assert paper_network(f"{family}-autoencoder").feature_shape == halved


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cloud_after_the_restored_feature_is_the_unprotected_one(family: str) -> None:
    funnel, unprotected = paper_network(f"{family}-siftfunnel"), paper_network(f"{family}-unprotected")
    assert count_parameters(funnel.cloud[2:]) == count_parameters(unprotected.cloud)


def test_the_cnns_cloud_restores_256_channels_with_617984_parameters() -> None:
    cloud = paper_network("cnn-siftfunnel").cloud
    assert [count_parameters(part) for part in list(cloud)[:2]] == [617_984, 300]


def test_half_the_width_has_a_quarter_of_the_unprotected_edge() -> None:
    network = build_network("cnn-unprotected", width=64, input_size=64, num_classes=10)
    assert count_parameters(network.edge) == 76_032

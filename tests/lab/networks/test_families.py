"""What every network of every family promises."""

from typing import Any

import pytest
import torch
from torch import nn

from siftfunnel.lab.networks.necks import GaussianBottleneck
from siftfunnel.lab.networks.registry import FAMILIES, NETWORKS, build_network
from siftfunnel.lab.networks.split import count_parameters
from tests.lab.tinynetwork import TINY_WIDTH, family_of, tiny_network, trained_like

CELLS = {"cnn": 4, "resnet18": 1, "vgg16": 2}
SIZES = {"cnn": (16, 32, 48, 64), "resnet18": (16, 32, 48), "vgg16": (32, 64)}


@pytest.mark.parametrize(
    ("architecture", "size"), [(name, size) for name in sorted(NETWORKS) for size in SIZES[family_of(name)]]
)
def test_features_and_logits_have_the_stated_shapes(architecture: str, size: int) -> None:
    network = tiny_network(architecture, input_size=size, num_classes=7).eval()
    with torch.no_grad():
        feature = network.edge(torch.zeros(1, 3, size, size))
        logits = network.cloud(feature)
    side = size // CELLS[family_of(architecture)]
    assert tuple(feature.shape[1:]) == network.feature_shape
    assert network.feature_shape[1:] == (side, side)
    assert logits.shape == (1, 7)


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_features_are_never_negative(architecture: str) -> None:
    with torch.no_grad():
        feature = trained_like(architecture).edge(torch.randn(2, 3, 32, 32))
    assert float(feature.min()) >= 0
    assert float(feature.max()) > 0


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_a_trace_is_the_forward_pass_with_every_child_but_the_head(architecture: str) -> None:
    network = trained_like(architecture)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        trace = network.trace(x)
        assert torch.equal(trace.logits_NK, network(x))
        assert torch.equal(trace.z_NCHW, network.edge(x))
    assert len(trace.hidden) == len(network.edge) + len(network.cloud) - 1
    assert torch.equal(trace.hidden[len(network.edge) - 1], trace.z_NCHW)


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_a_network_names_its_split_point(architecture: str) -> None:
    network = tiny_network(architecture)
    assert network.split_point.startswith("after ")
    if architecture.endswith("funnel"):
        assert f"({network.feature_shape[0]} channels)" in network.split_point


@pytest.mark.parametrize("architecture", [name for name in sorted(NETWORKS) if name.endswith("groupnorm")])
def test_group_normalisation_replaces_every_batch_normalisation_one_for_one(architecture: str) -> None:
    network = tiny_network(architecture)
    plain = tiny_network(architecture.replace("groupnorm", "unprotected"))
    kinds = [type(module) for module in network.modules()]
    assert nn.BatchNorm2d not in kinds
    assert kinds.count(nn.GroupNorm) == [type(module) for module in plain.modules()].count(nn.BatchNorm2d) > 0
    assert count_parameters(network) == count_parameters(plain)


@pytest.mark.parametrize("architecture", [name for name in sorted(NETWORKS) if name.endswith("bottleneck")])
def test_a_bottleneck_draws_noise_in_training_only(architecture: str) -> None:
    network = trained_like(architecture)
    (layer,) = [module for module in network.modules() if isinstance(module, GaussianBottleneck)]
    head: Any = network.cloud[-1]
    assert head[1] is layer
    assert network.trace(torch.zeros(1, 3, 32, 32)).hidden[-1][0].numel() == layer.mean.in_features
    assert layer.mean.out_features == layer.mean.in_features // 2
    x = torch.randn(3, layer.mean.in_features)
    assert torch.equal(layer(x), layer(x))
    layer.train()
    assert not torch.equal(layer(x), layer(x))


@pytest.mark.parametrize("architecture", [name for name in sorted(NETWORKS) if name.endswith("plainfunnel")])
def test_a_plain_funnel_is_the_funnel_without_its_gates(architecture: str) -> None:
    plain, full = tiny_network(architecture), tiny_network(architecture.replace("plain", "sift"))
    assert plain.feature_shape == full.feature_shape
    names = {type(module).__name__ for module in plain.modules()}
    gates = {"SqueezeExcite", "TripletAttention", "CBAM"}
    assert not names & gates
    assert gates <= {type(module).__name__ for module in full.modules()}


def test_a_neck_of_two_channels_starts_with_both_open() -> None:
    for seed in range(10):
        network = tiny_network("resnet18-siftfunnel", input_size=16, seed=seed).eval()
        with torch.no_grad():
            feature = network.edge(torch.randn(4, 3, 16, 16))
        assert bool((feature.amax(dim=(0, 2, 3)) > 0).all())


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_no_layer_changes_its_input_in_place(architecture: str) -> None:
    assert not [
        module for module in tiny_network(architecture).modules() if getattr(module, "inplace", False)
    ]


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("cnn", {"width": 32, "input_size": 40, "num_classes": 10}, "multiple of 16"),
        ("resnet18", {"width": 32, "input_size": 40, "num_classes": 10}, "multiple of 16"),
        ("vgg16", {"width": 32, "input_size": 48, "num_classes": 10}, "multiple of 32"),
        ("vgg16", {"width": 32, "input_size": 0, "num_classes": 10}, "multiple of 32"),
        ("cnn", {"width": 32, "input_size": 32, "num_classes": 1}, "two classes"),
        ("cnn", {"width": 16, "input_size": 32, "num_classes": 10}, "from 32, got 16"),
        ("cnn", {"width": 34, "input_size": 32, "num_classes": 10}, "from 32, got 34"),
        ("resnet18", {"width": 12, "input_size": 32, "num_classes": 10}, "from 16, got 12"),
        ("vgg16", {"width": 18, "input_size": 32, "num_classes": 10}, "from 16, got 18"),
        ("vgg16", {"width": 0, "input_size": 32, "num_classes": 10}, "at least 1"),
    ],
)
def test_sizes_that_cannot_work_are_refused(family: str, settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(f"{family}-siftfunnel", **settings)


def test_an_unknown_architecture_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="cnn-siftfunnel, cnn-slim, cnn-unprotected"):
        build_network("resnet", width=32, input_size=32, num_classes=10)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("variant", ["unprotected", "autoencoder", "bottleneck", "groupnorm"])
def test_a_network_is_cut_after_any_stage(family: str, variant: str) -> None:
    x = torch.randn(2, 3, 32, 32)
    sizes = {"width": TINY_WIDTH[family], "input_size": 32, "num_classes": 5}
    stages = list(FAMILIES[family].stages(*sizes.values()))[:-1]
    for after in stages:
        torch.manual_seed(0)
        network = build_network(f"{family}-{variant}", **sizes, cut_after=after).eval()
        with torch.no_grad():
            assert tuple(network.edge(x).shape[1:]) == network.feature_shape
            assert network(x).shape == (2, 5)


@pytest.mark.parametrize("family", FAMILIES)
def test_where_it_is_cut_does_not_change_what_a_network_computes(family: str) -> None:
    x, made = torch.randn(2, 3, 32, 32), []
    for after in list(FAMILIES[family].stages(16, 32, 5))[:-1]:
        torch.manual_seed(0)
        network = build_network(
            f"{family}-unprotected", width=16, input_size=32, num_classes=5, cut_after=after
        )
        made.append(network.eval()(x))
    assert all(torch.equal(each, made[0]) for each in made)


def test_no_cut_after_the_head_or_at_a_side_that_the_funnel_misses() -> None:
    sizes = {"width": 32, "input_size": 32, "num_classes": 5}
    with pytest.raises(ValueError, match="one after each of block 1, block 2"):
        build_network("cnn-unprotected", **sizes, cut_after="head")
    with pytest.raises(ValueError, match="ends at a side of 8, a cut after block 3 at 4"):
        build_network("cnn-siftfunnel", **sizes, cut_after="block 3")

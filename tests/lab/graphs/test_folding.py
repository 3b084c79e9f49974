import pytest
import torch
from torch import nn

from siftfunnel.lab.graphs.folding import folded_copy, round_to_half
from siftfunnel.lab.networks.necks import GaussianBottleneck
from siftfunnel.lab.networks.registry import NETWORKS
from siftfunnel.lab.networks.split import count_parameters
from tests.lab.tinynetwork import trained_like


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_a_folded_network_computes_the_same_without_normalisation_dropout_or_bottleneck(
    architecture: str,
) -> None:
    network = trained_like(architecture)
    x = torch.randn(2, 3, 32, 32)
    edge, cloud = folded_copy(network.edge), folded_copy(network.cloud)
    with torch.no_grad():
        wanted = network.edge(x)
        torch.testing.assert_close(edge(x), wanted, atol=1e-5 * float(wanted.max()), rtol=1e-4)
        logits = network.cloud(wanted)
        torch.testing.assert_close(cloud(wanted), logits, atol=1e-5 * float(logits.abs().max()), rtol=1e-4)
    gone = nn.BatchNorm2d | nn.Dropout | GaussianBottleneck
    assert not [module for half in (edge, cloud) for module in half.modules() if isinstance(module, gone)]


@pytest.mark.parametrize("architecture", ["cnn-unprotected", "cnn-siftfunnel", "cnn-bottleneck"])
def test_linear_layers_without_an_activation_between_them_become_one(architecture: str) -> None:
    *_, head = folded_copy(trained_like(architecture).cloud).children()
    assert [type(module) for module in head.children()] == [nn.Flatten, nn.Linear]
    assert head.get_parameter("1.weight").shape == (10, 1024)


def test_linear_layers_with_an_activation_between_them_stay() -> None:
    *_, head = folded_copy(trained_like("vgg16-unprotected").cloud).children()
    assert [type(module) for module in head.children()] == [
        nn.Flatten,
        nn.Linear,
        nn.ReLU,
        nn.Linear,
        nn.ReLU,
        nn.Linear,
    ]


def test_folding_leaves_the_original_alone() -> None:
    network = trained_like("cnn-siftfunnel")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    round_to_half(folded_copy(network))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_consecutive_convolutions_are_left_alone() -> None:
    network = trained_like("cnn-siftfunnel")
    neck = list(folded_copy(network.edge).children())[4]
    assert sum(isinstance(module, nn.Conv2d) for module in neck.children()) == 5


def test_rounding_makes_every_weight_a_half_precision_number() -> None:
    torch.manual_seed(0)
    layer = round_to_half(nn.Linear(3, 5))
    assert count_parameters(layer) == 20
    for value in layer.parameters():
        assert torch.equal(value.half().float(), value)


def test_a_weight_beyond_half_precision_is_refused() -> None:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 1e5)
    with pytest.raises(ValueError, match="weight does not fit half precision"):
        round_to_half(layer)

import pytest
import torch
from torch import nn

from lab.folding import folded_copy, round_to_half
from lab.models.cnn import NETWORKS, build_network, count_parameters


def shaken(network: nn.Module) -> nn.Module:
    """Give normalisations statistics that are not the identity, as training does."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_a_folded_network_computes_the_same(architecture: str) -> None:
    torch.manual_seed(0)
    network = shaken(build_network(architecture, width=32, input_size=32, num_classes=10))
    x = torch.randn(4, 3, 32, 32)
    edge, cloud = folded_copy(network.edge), folded_copy(network.cloud)
    with torch.no_grad():
        wanted = network.edge(x)
        torch.testing.assert_close(edge(x), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(cloud(wanted), network.cloud(wanted), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_no_normalisation_dropout_or_second_linear_layer_is_left(architecture: str) -> None:
    network = shaken(build_network(architecture, width=32, input_size=32, num_classes=10))
    for half in (network.edge, network.cloud):
        folded = folded_copy(half)
        assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d | nn.Dropout)]
    head = folded_copy(network.cloud)[-1]
    assert [type(module) for module in head] == [nn.Flatten, nn.Linear]
    assert head[1].weight.shape == (10, 1024)


def test_folding_leaves_the_original_alone() -> None:
    network = shaken(build_network("cnn-siftfunnel", width=32, input_size=32, num_classes=10))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    round_to_half(folded_copy(network))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_consecutive_convolutions_are_left_alone() -> None:
    network = build_network("cnn-siftfunnel", width=32, input_size=32, num_classes=10)
    neck = folded_copy(network.edge)[4]
    assert sum(isinstance(module, nn.Conv2d) for module in neck) == 5


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

import pytest
import torch

from lab.models.cnn import NETWORKS, SiftFunnelCNN, UnprotectedCNN, build_network, count_parameters


@pytest.mark.parametrize(("width", "parameters"), [(128, 299_520), (64, 76_032)])
def test_the_unprotected_edge_has_the_parameters_of_the_paper(width: int, parameters: int) -> None:
    network = UnprotectedCNN(width=width, input_size=64, num_classes=10)
    assert count_parameters(network.edge) == parameters


def test_the_funnel_edge_has_16354_parameters_at_width_128() -> None:
    network = SiftFunnelCNN(width=128, input_size=64, num_classes=10)
    parts = [count_parameters(part) for part in network.edge]
    assert parts == [3_840, 1_024, 300, 4_192, 6_780, 72, 146]
    assert count_parameters(network.edge) == 16_354


def test_the_cloud_restores_256_channels_with_617984_parameters() -> None:
    network = SiftFunnelCNN(width=128, input_size=64, num_classes=10)
    assert count_parameters(network.cloud[0]) == 617_984
    assert count_parameters(network.cloud[1]) == 300


def test_the_halves_after_the_funnel_are_the_unprotected_ones() -> None:
    funnel = SiftFunnelCNN(width=32, input_size=64, num_classes=20)
    unprotected = UnprotectedCNN(width=32, input_size=64, num_classes=20)
    assert count_parameters(funnel.cloud[2:]) == count_parameters(unprotected.cloud)


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
@pytest.mark.parametrize(("size", "side"), [(16, 4), (32, 8), (64, 16), (48, 12)])
def test_features_and_logits_have_the_stated_shapes(architecture: str, size: int, side: int) -> None:
    network = build_network(architecture, width=32, input_size=size, num_classes=7).eval()
    feature = network.edge(torch.zeros(2, 3, size, size))
    assert tuple(feature.shape[1:]) == network.feature_shape
    assert network.feature_shape[1:] == (side, side)
    assert network.cloud(feature).shape == (2, 7)


def test_the_funnel_sends_12_of_256_channels() -> None:
    assert SiftFunnelCNN(width=128, input_size=64, num_classes=2).feature_shape == (12, 16, 16)
    assert UnprotectedCNN(width=128, input_size=64, num_classes=2).feature_shape == (256, 16, 16)


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_features_are_never_negative(architecture: str) -> None:
    torch.manual_seed(0)
    network = build_network(architecture, width=32, input_size=32, num_classes=10).eval()
    assert float(network.edge(torch.randn(4, 3, 32, 32)).detach().min()) >= 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 32, "input_size": 40, "num_classes": 10}, "multiple of 16"),
        ({"width": 32, "input_size": 32, "num_classes": 1}, "two classes"),
        ({"width": 16, "input_size": 32, "num_classes": 10}, "width"),
        ({"width": 34, "input_size": 32, "num_classes": 10}, "width"),
    ],
)
def test_sizes_that_cannot_work_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SiftFunnelCNN(**settings)


def test_an_unknown_architecture_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="cnn-siftfunnel, cnn-unprotected"):
        build_network("resnet", width=32, input_size=32, num_classes=10)

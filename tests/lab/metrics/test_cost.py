import pytest
import torch
from torch import Tensor, nn

from siftfunnel.lab.graphs.folding import folded_copy
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.metrics.cost import (
    count_as_torchsummary,
    measure_edge,
    peak_memory,
    time_runs,
)
from siftfunnel.lab.networks.registry import build_network
from siftfunnel.lab.networks.split import count_parameters


class Twice(nn.Module):
    """One layer that is called twice, and one that never is."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.unused = nn.Linear(4, 100)
        self.alias = self.shared

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(x) + self.alias(x)


def test_a_shared_layer_counts_once_or_once_per_call() -> None:
    assert count_parameters(Twice()) == 20 + 500
    assert count_as_torchsummary(Twice(), (4,)) == 2 * 20


@pytest.mark.parametrize(
    ("architecture", "unique", "printed"),
    [("cnn-unprotected", 299_520, 299_520), ("cnn-siftfunnel", 16_354, 16_402)],
)
def test_the_papers_edges_have_the_papers_counts(architecture: str, unique: int, printed: int) -> None:
    edge = build_network(architecture, width=128, input_size=16, num_classes=10).edge
    assert count_parameters(edge) == unique
    assert count_as_torchsummary(edge, (3, 16, 16)) == printed


def test_counting_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count_as_torchsummary(network, (4,))
    peak_memory(network, (4,))
    assert [layer.training for layer in network] == [True, False, True]
    assert not any(layer._forward_hooks for layer in network.modules())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_memory_is_the_largest_sum_of_live_tensors() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 4, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    cost = peak_memory(chain, (3, 8, 8))
    picture, maps = 4 * 3 * 8 * 8, 4 * 4 * 8 * 8
    # while the ReLU runs, its input and its output are alive, and the caller holds the picture
    assert cost == {"activation_bytes": picture + 2 * maps, "parameter_bytes": 4 * (4 * 3 * 9 + 4)}
    five = peak_memory(chain, (3, 8, 8), batch=5)
    assert five["activation_bytes"] == 5 * cost["activation_bytes"]


def test_views_and_work_in_place_take_no_memory() -> None:
    layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 2), nn.ReLU(inplace=True), nn.Unflatten(1, (2, 1)))
    assert peak_memory(layers, (3, 2, 2))["activation_bytes"] == 4 * (12 + 2)


def test_the_warm_up_is_not_timed() -> None:
    calls: list[int] = []
    latency = time_runs(lambda: calls.append(1), device="test", runs=7, warm_up=3)
    assert len(calls) == 10
    assert latency["runs"] == 7
    assert 0 <= latency["p5_ms"] <= latency["median_ms"] <= latency["p95_ms"]
    with pytest.raises(ValueError, match="one timed run"):
        time_runs(lambda: None, device="test", runs=0)


def test_an_edge_is_measured_whole() -> None:
    edge = build_network("cnn-siftfunnel", width=32, input_size=16, num_classes=3).edge.eval()
    exported = write_onnx(
        folded_copy(edge), input_name="image", input_shape=(3, 16, 16), output_name="feature"
    )
    cost = measure_edge(edge, exported, (3, 16, 16), runs=3)
    assert cost["edge_file_bytes"] == len(exported)
    assert cost["edge_memory_bytes"]["parameter_bytes"] > 4 * count_parameters(edge)
    assert cost["edge_latency_ms_cpu"]["median_ms"] > 0
    assert "ONNX Runtime" in cost["edge_latency_ms_cpu"]["device"]
    assert (cost["edge_latency_ms_gpu"] is None) == (not torch.cuda.is_available())

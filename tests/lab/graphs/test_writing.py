import math

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from siftfunnel.lab.graphs.folding import folded_copy, round_to_half
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.networks.decoder import DecoderSettings, build_decoder
from siftfunnel.lab.networks.necks import GaussianBottleneck
from siftfunnel.lab.networks.registry import NETWORKS
from siftfunnel.lab.networks.residual import ResidualSum
from siftfunnel.lab.onnx_runner import Runner
from tests.lab.tinynetwork import shaken, trained_like


def halves(architecture: str, input_size: int = 32) -> list[tuple[nn.Module, tuple[int, ...]]]:
    network = trained_like(architecture, input_size=input_size)
    return [
        (round_to_half(folded_copy(network.edge)), (3, input_size, input_size)),
        (round_to_half(folded_copy(network.cloud)), network.feature_shape),
    ]


def written(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    return write_onnx(module, input_name="in", input_shape=shape, output_name="out")


def transposed_and_largest_values(graph: bytes) -> tuple[int, int]:
    """Values per picture of the largest tensor that a Transpose moves, and of the largest that there is."""
    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph)).graph
    values = {
        info.name: math.prod(dim.dim_value for dim in info.type.tensor_type.shape.dim[1:])
        for info in (*inferred.value_info, *inferred.input)
    }
    moved = [values[node.input[0]] for node in inferred.node if node.op_type == "Transpose"]
    return max(moved, default=0), max(values.values())


def sizes(architecture: str) -> tuple[int, ...]:
    """One size for all, and one that is no power of two (VGG16: larger) for the graphs that reshape."""
    if not architecture.endswith(("siftfunnel", "groupnorm")):
        return (32,)
    return (32, 64) if architecture.startswith("vgg16") else (32, 48)


@pytest.mark.parametrize(
    ("architecture", "input_size"), [(name, size) for name in sorted(NETWORKS) for size in sizes(name)]
)
def test_the_graph_computes_what_the_network_computes_and_never_just_permutes_a_map(
    architecture: str, input_size: int
) -> None:
    for module, shape in halves(architecture, input_size):
        x = torch.randn(2, *shape)
        with torch.no_grad():
            expected = module(x).numpy()
        graph = written(module, shape)
        result = Runner(graph).first(x.numpy())
        np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)
        transposed, largest = transposed_and_largest_values(graph)
        assert 4 * transposed <= largest


def test_float_weights_are_stored_in_half_precision_only() -> None:
    for module, shape in halves("cnn-siftfunnel"):
        graph = onnx.load_from_string(written(module, shape)).graph
        large = [tensor for tensor in graph.initializer if tensor.name.startswith("weight")]
        assert large
        assert {tensor.data_type for tensor in large} == {TensorProto.FLOAT16}
        assert all(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in graph.input)


def test_the_batch_axis_is_free() -> None:
    module, shape = halves("cnn-siftfunnel")[0]
    model = Runner(written(module, shape))
    x = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
    whole = model.first(x)
    singles = np.concatenate([model.first(x[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(whole, singles, atol=1e-6)


def test_a_decoder_graph_computes_what_the_decoder_computes() -> None:
    torch.manual_seed(0)
    decoder = build_decoder(torch.rand(6), torch.rand(6) + 0.1, DecoderSettings((8, 6, 4), (2, 1, 1)))
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.2)
    stored = round_to_half(folded_copy(decoder))
    x = torch.randn(2, 6, 5, 7)
    written_decoder = write_onnx(stored, input_name="feature", input_shape=(6, 5, 7), output_name="image")
    result = Runner(written_decoder).first(x.numpy())
    assert result.shape == (2, 3, 20, 28)
    assert 0 <= result.min() <= result.max() <= 1
    np.testing.assert_allclose(result, stored(x).detach().numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "module",
    [
        nn.BatchNorm2d(8),
        nn.GroupNorm(4, 8),
        nn.AvgPool2d(2),
        nn.MaxPool2d(3, 2),
        ResidualSum(nn.Identity(), nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, 8, 1))),
        ResidualSum(nn.Dropout(0.5), nn.Conv2d(8, 8, 1)),
        nn.Sequential(nn.Flatten(), GaussianBottleneck(8 * 6 * 5, 7)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_a_layer_outside_a_sequence_computes_the_same(module: nn.Module) -> None:
    torch.manual_seed(0)
    stored = round_to_half(folded_copy(shaken(module)))
    x = torch.randn(3, 8, 6, 5)
    with torch.no_grad():
        expected = stored(x).numpy()
    result = Runner(written(stored, (8, 6, 5))).first(x.numpy())
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_an_untransformed_bottleneck_is_written_as_its_mean() -> None:
    torch.manual_seed(0)
    bottleneck = GaussianBottleneck(4, 2).eval()
    x = torch.randn(3, 4)
    graph = write_onnx(bottleneck, input_name="in", input_shape=(4,), output_name="out", half_weights=False)
    np.testing.assert_allclose(Runner(graph).first(x.numpy()), bottleneck.mean(x).detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, padding=1), nn.AvgPool2d(2, ceil_mode=True)])
def test_pools_that_pad_are_refused(pool: nn.Module) -> None:
    with pytest.raises(ValueError, match="only square pools without padding"):
        written(nn.Sequential(pool), (2, 6, 6))


def test_a_layer_without_an_emitter_is_named() -> None:
    with pytest.raises(ValueError, match="no ONNX emitter for Tanh"):
        write_onnx(nn.Sequential(nn.Tanh()), input_name="a", input_shape=(1,), output_name="b")


def test_grouped_convolutions_are_refused() -> None:
    with pytest.raises(ValueError, match="grouped"):
        written(nn.Sequential(nn.Conv2d(2, 2, 1, groups=2)), (2, 4, 4))

"""The rewritten attention blocks compute what PyTorch's do, for every shape of map."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from siftfunnel.lab.graphs.folding import folded_copy
from siftfunnel.lab.graphs.gates import phased_kernel, phases_of
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.networks.attention import CBAM, SqueezeExcite, TripletAttention
from siftfunnel.lab.onnx_runner import Runner
from tests.lab.tinynetwork import shaken


@settings(max_examples=30, deadline=None)
@given(blocks=st.integers(1, 4), phases=st.sampled_from([1, 2, 4, 8]), columns=st.integers(1, 9))
def test_a_phased_convolution_is_the_convolution(blocks: int, phases: int, columns: int) -> None:
    rows = blocks * phases
    maps, weight = torch.randn(2, 2, rows, columns), torch.randn(1, 2, 7, 7)
    expected = functional.conv2d(maps, weight, padding=3)
    split = functional.conv2d(
        maps, phased_kernel(weight, phases, interleaved=False), stride=(phases, 1), padding=3
    )
    torch.testing.assert_close(
        split.transpose(1, 2).reshape(2, 1, rows, columns), expected, atol=1e-4, rtol=1e-4
    )
    alternating = maps.transpose(1, 2).reshape(2, 1, 2 * rows, columns)
    kernel = phased_kernel(weight, phases, interleaved=True)
    split = functional.conv2d(alternating, kernel, stride=(2 * phases, 1), padding=(6, 3))
    torch.testing.assert_close(
        split.transpose(1, 2).reshape(2, 1, rows, columns), expected, atol=1e-4, rtol=1e-4
    )


def test_phases_are_the_most_rows_that_fit() -> None:
    assert [phases_of(rows) for rows in (128, 8, 20, 6, 7)] == [8, 8, 4, 2, 1]


SHAPES = [(12, 8, 8), (16, 32, 32), (32, 7, 9), (9, 6, 16), (24, 4, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("excited", [False, True])
@pytest.mark.parametrize("block", [TripletAttention, CBAM])
def test_attention_is_written_as_it_computes(
    block: type[nn.Module], excited: bool, shape: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    channels = shape[0]
    attention = CBAM(channels, 3) if block is CBAM else TripletAttention()
    layers = [SqueezeExcite(channels, 4), attention] if excited else [attention]
    module = folded_copy(shaken(nn.Sequential(*layers)))
    graph = write_onnx(module, input_name="in", input_shape=shape, output_name="out", half_weights=False)
    for count in (1, 3):
        x = torch.randn(count, *shape)
        np.testing.assert_allclose(Runner(graph).first(x.numpy()), module(x).numpy(), atol=2e-5)


def test_an_excitation_before_anything_else_is_written_by_itself() -> None:
    torch.manual_seed(0)
    module = folded_copy(nn.Sequential(SqueezeExcite(8, 4), nn.ReLU()))
    graph = write_onnx(module, input_name="in", input_shape=(8, 4, 4), output_name="out", half_weights=False)
    x = torch.randn(2, 8, 4, 4)
    np.testing.assert_allclose(Runner(graph).first(x.numpy()), module(x).numpy(), atol=1e-6)


def test_a_relu_behind_a_pool_is_taken_before_it() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU())
    folded = folded_copy(module)
    assert [type(child) for child in folded.children()] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(folded(x), module(x))
    graph = write_onnx(folded, input_name="in", input_shape=(3, 8, 8), output_name="out")
    assert [node.op_type for node in onnx.load_from_string(graph).graph.node][-2:] == ["Relu", "MaxPool"]

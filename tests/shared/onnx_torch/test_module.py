"""Graphs as differentiable modules: the same values as ONNX Runtime, the same gradients as PyTorch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from siftfunnel.lab.graphs.folding import folded_copy, round_to_half
from siftfunnel.lab.graphs.writing import write_onnx
from siftfunnel.lab.networks.decoder import DecoderSettings, build_decoder
from siftfunnel.lab.networks.registry import NETWORKS
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.shared.onnx_torch import OnnxModule, UnsupportedOperatorError
from tests.lab.tinynetwork import trained_like


def one_node(operator: str, *, domain: str = "", outputs: int = 1, inputs: int = 1) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, ["N", 4]) for i in range(inputs)]
    ends_out = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, ["N", 4]) for i in range(outputs)]
    node = helper.make_node(
        operator, [end.name for end in ends], [end.name for end in ends_out], domain=domain
    )
    graph = helper.make_graph([node], "g", ends, ends_out)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize("architecture", sorted(NETWORKS))
def test_both_halves_of_every_network_compute_and_differentiate_alike(architecture: str) -> None:
    network = trained_like(architecture)
    shapes = {"edge": (3, 32, 32), "cloud": network.feature_shape}
    for half, shape in shapes.items():
        stored = round_to_half(folded_copy(getattr(network, half)))
        graph = write_onnx(stored, input_name="in", input_shape=shape, output_name="out")
        module = OnnxModule(graph)
        x = torch.randn(2, *shape, requires_grad=True)
        result = module(x)
        scale = float(result.detach().abs().max())
        expected = Runner(graph).first(x.detach().numpy())
        np.testing.assert_allclose(result.detach().numpy(), expected, atol=2e-5 * scale, rtol=0)
        weight = torch.randn_like(result)
        (gradient,) = torch.autograd.grad((result * weight).sum(), x)
        (wanted,) = torch.autograd.grad((stored(x) * weight).sum(), x)
        assert float(wanted.abs().max()) > 0
        # a rounding error may move a gradient across a kink, but only for a value in a thousand
        off = (gradient - wanted).abs() > 1e-4 * wanted.abs().max()
        assert float(off.float().mean()) < 1e-3


def test_a_decoder_of_ours_runs_too() -> None:
    torch.manual_seed(0)
    settings = DecoderSettings((8, 6, 4), (1, 1, 0))
    stored = round_to_half(folded_copy(build_decoder(torch.rand(6), torch.rand(6) + 0.1, settings)))
    graph = write_onnx(stored, input_name="feature", input_shape=(6, 5, 7), output_name="image")
    z = torch.randn(2, 6, 5, 7)
    torch.testing.assert_close(OnnxModule(graph)(z), stored(z), atol=1e-5, rtol=1e-4)


def test_a_model_is_read_from_bytes_from_a_file_and_as_it_is(tmp_path: Path) -> None:
    model = one_node("Sigmoid")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    x = torch.randn(3, 4)
    for source in (model, model.SerializeToString(), tmp_path / "m.onnx"):
        assert torch.equal(OnnxModule(source)(x), torch.sigmoid(x))


def test_weights_are_buffers_that_move_with_the_module_and_need_no_gradient() -> None:
    stored = round_to_half(folded_copy(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))))
    module = OnnxModule(write_onnx(stored, input_name="a", input_shape=(3, 6, 6), output_name="b"))
    assert not list(module.parameters())
    assert [tuple(buffer.shape) for buffer in module.buffers()] == [(4, 3, 3, 3), (4,)]
    # the casts from half precision were computed once, when the graph was loaded
    assert {buffer.dtype for buffer in module.buffers()} == {torch.float32}
    assert module.double()(torch.zeros(1, 3, 6, 6).double()).dtype == torch.float64


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(
        UnsupportedOperatorError, match=r"ONNX operator RandomNormalLike is not known.*black box"
    ):
        OnnxModule(one_node("RandomNormalLike"))


def test_an_operator_of_another_domain_is_named_with_it() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"com\.microsoft::FusedConv"):
        OnnxModule(one_node("FusedConv", domain="com.microsoft"))


def test_a_form_that_is_not_known_shows_when_the_graph_is_loaded() -> None:
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 6, 6])
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2])
    end = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "g", [entry], [end]), opset_imports=[helper.make_opsetid("", 19)]
    )
    with pytest.raises(UnsupportedOperatorError, match="AveragePool with dilation is not supported"):
        OnnxModule(model)


def test_a_graph_with_several_inputs_and_outputs_takes_and_gives_them_in_order() -> None:
    model = one_node("Sub", inputs=2)
    model.graph.node.append(helper.make_node("Neg", ["y0"], ["y1"]))
    model.graph.output.append(helper.make_tensor_value_info("y1", TensorProto.FLOAT, ["N", 4]))
    module = OnnxModule(model)
    assert (module.inputs, module.outputs) == (("x0", "x1"), ("y0", "y1"))
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    difference, negative = module(a, b)
    assert torch.equal(difference, a - b)
    assert torch.equal(negative, b - a)
    negative.sum().backward()
    assert a.grad is not None
    assert torch.equal(a.grad, -torch.ones(3, 4))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not an ONNX model"):
        OnnxModule(b"junk")
    (tmp_path / "m.onnx").write_bytes(b"junk")
    with pytest.raises(ValueError, match="not an ONNX model"):
        OnnxModule(tmp_path / "m.onnx")

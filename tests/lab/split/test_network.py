import hashlib
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import nn

from siftfunnel.lab import onnx_runner
from siftfunnel.lab.split.cuts import find_cuts
from siftfunnel.lab.split.network import NetworkError, load_network
from siftfunnel.lab.split.torch_network import network_of_factory, network_of_module
from siftfunnel.shared.tensors import OutputSpec
from tests.lab.split.smallnets import (
    CONV_WEIGHTS,
    PADDED,
    drawn,
    fixed_reshape,
    graph,
    merged_frames,
    network,
    node,
    residual,
    save,
)


def test_a_network_says_what_goes_in_and_what_comes_out(tmp_path: Path) -> None:
    place = save(residual(), tmp_path)
    net = load_network(place)
    assert (net.input.layout, net.input.shape, net.input.dtype) == ("NCHW", (3, 8, 8), "float32")
    assert net.outputs == (OutputSpec("out", "logits", (5,)),)
    assert net.original_sha256 == hashlib.sha256(place.read_bytes()).hexdigest()
    assert net(np.zeros((3, 3, 8, 8), np.float32))[0].shape == (3, 5)


def test_a_leading_transpose_and_scaling_are_told() -> None:
    nodes = [
        node("Transpose", "image", "t", perm=[0, 3, 1, 2]),
        node("Sub", "t half", "s"),
        node("Conv", "s w1", "c"),
        node("Flatten", "c", "out"),
    ]
    model = graph(nodes, {"half": np.float32(127.5), "w1": CONV_WEIGHTS["w1"]}, image=("N", 8, 8, 3))
    facts = network(model).input
    assert (facts.layout, facts.shape, facts.first_steps) == ("NHWC", (8, 8, 3), ("Transpose", "Sub 127.5"))


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        ([node("Gemm", "f w", "out")], "logits"),
        ([node("Gemm", "f w", "g"), node("Softmax", "g", "out")], "probabilities"),
        ([node("Gemm", "f w", "g"), node("LpNormalization", "g", "out", axis=1)], "embedding"),
        ([node("Gemm", "f w", "g"), node("Tanh", "g", "out")], "tensor"),
    ],
)
def test_kinds_of_outputs_are_guessed_from_graph_and_values(last: list[onnx.NodeProto], kind: str) -> None:
    model = graph([node("Flatten", "image", "f"), *last], {"w": drawn(192, 4)})
    assert [output.kind for output in network(model).outputs] == [kind]


def test_a_kind_that_was_guessed_wrongly_is_told() -> None:
    net = network(residual()).with_kinds({"out": "embedding"})
    assert net.outputs[0].kind == "embedding"
    assert net.scores is None
    with pytest.raises(NetworkError, match=r"no output other; there are out"):
        net.with_kinds({"other": "tensor"})


def test_an_open_size_is_asked_for_and_a_told_one_is_taken() -> None:
    model = residual(image=("N", 3, "H", "W"))
    with pytest.raises(NetworkError, match="--size"):
        network(model)
    assert network(model, size=(16, 12)).input.shape == (3, 16, 12)


def test_weights_in_another_file_are_read_counted_and_missed(tmp_path: Path) -> None:
    apart = {"save_as_external_data": True, "location": "net.bin", "size_threshold": 0}
    place = save(residual(), tmp_path, **apart)
    first = load_network(place).original_sha256
    data = bytearray((tmp_path / "net.bin").read_bytes())
    data[3] ^= 1
    (tmp_path / "net.bin").write_bytes(bytes(data))
    assert load_network(place).original_sha256 != first
    (tmp_path / "net.bin").unlink()
    with pytest.raises(NetworkError, match=r"net\.bin, which is missing"):
        load_network(place)


def test_a_network_beyond_protobufs_limit_runs_through_files(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = network(residual())
    monkeypatch.setattr("siftfunnel.lab.onnx_graphs.PROTOBUF_LIMIT", 16)
    stored = MagicMock(wraps=onnx_runner._stored)
    monkeypatch.setattr(onnx_runner, "_stored", stored)
    found = network(residual())
    frames = found.random_frames(2)
    assert stored.called
    np.testing.assert_allclose(found(frames)[0], expected(frames)[0], rtol=1e-5, atol=1e-6)


def test_a_file_that_is_no_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "junk.onnx").write_bytes(b"no graph at all")
    with pytest.raises(NetworkError, match=r"junk\.onnx is no ONNX network"):
        load_network(tmp_path / "junk.onnx")
    with pytest.raises(NetworkError, match="is a folder"):
        load_network(tmp_path)
    with pytest.raises(NetworkError, match="--torch MODULE:FUNCTION"):
        load_network(tmp_path / "weights.safetensors")


def test_what_no_split_can_take_is_named() -> None:
    newer = residual(opset=onnx.defs.onnx_opset_version() + 1)
    with pytest.raises(NetworkError, match="written for opset"):
        network(newer)
    foreign = graph([helper.make_node("Magic", ["image"], ["out"], domain="their.own")], {})
    with pytest.raises(NetworkError, match=r"their\.own::Magic"):
        network(foreign)
    texts = graph([node("Flatten", "image", "out")], {}, dtype=TensorProto.STRING)
    with pytest.raises(NetworkError, match="texts cannot be split: image"):
        network(texts)
    two = residual()
    two.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    with pytest.raises(NetworkError, match="has 2: image, mask"):
        network(two)
    flat = graph([node("Relu", "image", "out")], {}, image=("N", 10))
    with pytest.raises(NetworkError, match="four axes"):
        network(flat)


def test_tensors_of_half_precision_keep_their_names() -> None:
    nodes = [
        node("Conv", "image w1", "a"),
        node("Relu", "a", "b"),
        node("GlobalAveragePool", "b", "c"),
        node("Cast", "c", "out", to=TensorProto.FLOAT),
    ]
    net = network(graph(nodes, {"w1": CONV_WEIGHTS["w1"].astype(np.float16)}, dtype=TensorProto.FLOAT16))
    assert {"a", "b"} <= {cut.name for cut in find_cuts(net)}


def test_a_batch_that_is_a_number_in_the_graph_is_freed() -> None:
    for batch in (1, 4):
        net = network(fixed_reshape(batch))
        assert net.frames_per_run is None
        assert net(net.random_frames(3))[0].shape == (3, 3)


def test_frames_that_see_each_other_keep_their_batch() -> None:
    net = network(merged_frames(4))
    assert net.frames_per_run == 4
    assert any("batch of 4" in note for note in net.notes)
    assert net(net.random_frames(5))[0].shape == (5, 256)


def test_an_output_without_a_batch_is_named_and_can_be_left_out() -> None:
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("ReduceMax", "a", "most", keepdims=0),
        node("Flatten", "a", "out"),
    ]
    model = graph(nodes, {"w1": CONV_WEIGHTS["w1"]}, outputs=("out", "most"))
    with pytest.raises(NetworkError, match=r"most .*no batch.*--outputs"):
        network(model)
    assert [output.name for output in network(model, outputs=("out",)).outputs] == ["out"]


def test_batch_norm_padding_and_constants_are_gone() -> None:
    from tests.lab.split.smallnets import batch_norm_values

    nodes = [
        node("ConstantOfShape", "eight", "zeros"),
        node("Cast", "zeros", "pads", to=TensorProto.INT64),
        node("Pad", "image pads", "p"),
        node("Conv", "p w1", "a"),
        node("BatchNormalization", "a scale shift mean var", "b"),
        node("Identity", "b", "i"),
        node("Relu", "i", "c"),
        node("Flatten", "c", "out"),
    ]
    weights = {"eight": np.array([8]), "w1": CONV_WEIGHTS["w1"], **batch_norm_values(4)}
    net = network(graph(nodes, weights))
    assert [each.op_type for each in net.model.graph.node] == ["Conv", "Relu", "Flatten"]


def test_noise_on_purpose_is_noticed() -> None:
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("RandomNormalLike", "a", "noise"),
        node("Add", "a noise", "b"),
        node("Flatten", "b", "out"),
    ]
    net = network(graph(nodes, {"w1": CONV_WEIGHTS["w1"]}))
    assert net.stochastic
    assert not network(residual()).stochastic


def _module() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))
    return nn.Sequential(*layers)


def test_a_module_computes_the_same_as_a_network() -> None:
    module = _module().eval()
    net = network_of_module(module, (3, 8, 8), "mine")
    frames = net.random_frames(3)
    expected = module(torch.from_numpy(frames)).detach().numpy()
    np.testing.assert_allclose(net(frames)[0], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(NetworkError, match=r"call \.eval\(\)"):
        network_of_module(_module().train(), (3, 8, 8), "mine")


def test_a_factory_gets_its_weights_without_running_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "made_here", _module, raising=False)
    weights = {name: value + 1 for name, value in _module().state_dict().items()}
    save_file(weights, tmp_path / "w.safetensors")
    torch.save(weights, tmp_path / "w.pth")  # noqa: TID251
    torch.save(_module(), tmp_path / "code.pth")  # noqa: TID251
    factory = f"{__name__}:made_here"
    digests = {
        network_of_factory(factory, tmp_path / name, (3, 8, 8)).original_sha256
        for name in ("w.safetensors", "w.pth")
    }
    assert len(digests) == 1
    with pytest.raises(NetworkError, match="no plain weights: it is no whole file of PyTorch"):
        network_of_factory(factory, tmp_path / "code.pth", (3, 8, 8))
    with pytest.raises(NetworkError, match="no_such_module"):
        network_of_factory("no_such_module:make", None, (3, 8, 8))
    for function, told in (("nothing", "no attribute 'nothing'"), ("network", "missing 1 required")):
        with pytest.raises(NetworkError, match=rf"Error: .*{told}.*called without arguments"):
            network_of_factory(f"{__name__}:{function}", None, (3, 8, 8))


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    """Protobuf takes any bytes for a text, and fails where somebody reads it."""
    network = residual()
    network.graph.name = "graph-of-the-test"
    data = network.SerializeToString().replace(b"graph-of-the-test", b"\x9braph-of-the-test")
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(NetworkError, match="UTF-8"):
        load_network(tmp_path / "net.onnx")


def test_a_type_that_onnx_does_not_know_is_told(tmp_path: Path) -> None:
    model = residual()
    model.graph.input[0].type.tensor_type.elem_type = 40
    with pytest.raises(NetworkError, match="type 40"):
        load_network(save(model, tmp_path))

"""Edge halves of others: what is attacked is what leaves the device, or the audit refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.lab.targets.edges import EdgeError, OnnxHalf
from siftfunnel.lab.targets.target import Target, target_of_foreign

CPU = torch.device("cpu")
SIZE = 16
WEIGHTS = np.random.default_rng(1).normal(0, 0.3, (4, 3, 4, 4)).astype(np.float32)
CONV = helper.make_node("Conv", ["image", "w"], ["conv"], strides=[4, 4])
RELU = helper.make_node("Relu", ["conv"], ["feature"])
INPUT = {"height": SIZE, "width": SIZE, "mean": [0] * 3, "std": [1] * 3}
SPEC = {"input": INPUT, "feature": [4, 4, 4]}


def value(name: str, kind: int = TensorProto.FLOAT, shape: tuple[str | int, ...] | None = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def save(path: Path, nodes: list[Any], ends: tuple[list[Any], list[Any]], constants: dict[str, Any]) -> None:
    tensors = [numpy_helper.from_array(np.asarray(held), name) for name, held in constants.items()]
    graph = helper.make_graph(nodes, "half", *ends, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def write_edge(
    folder: Path,
    nodes: list[Any],
    outputs: tuple[str, ...] = ("feature",),
    image: Any = None,
    **constants: Any,
) -> Path:
    """An edge half of nodes that may use the weights `w`, with its spec beside it."""
    taken = image or value("image", shape=("n", 3, SIZE, SIZE))
    ends = ([taken], [value(name) for name in outputs])
    save(folder / "edge.onnx", nodes, ends, {"w": WEIGHTS, **constants})
    (folder / "spec.json").write_text(json.dumps(SPEC))
    return folder / "edge.onnx"


def target_in(folder: Path) -> Target:
    return target_of_foreign(folder / "edge.onnx", folder / "spec.json", CPU)


def plain_features(x_NCHW: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv2d(x_NCHW, torch.from_numpy(WEIGHTS), stride=4)


def test_a_second_output_is_refused_for_it_is_sent_too(tmp_path: Path) -> None:
    whole = helper.make_node("Identity", ["image"], ["picture"])
    write_edge(tmp_path, [CONV, RELU, whole], ("feature", "picture"))
    with pytest.raises(EdgeError, match=r"gives 2 outputs \(feature .*, picture .*name them all"):
        target_in(tmp_path)


def test_noise_within_the_graph_is_noticed_and_averaged(tmp_path: Path) -> None:
    noise = helper.make_node("RandomNormalLike", ["conv"], ["noise"], scale=0.5)
    write_edge(tmp_path, [CONV, noise, helper.make_node("Add", ["conv", "noise"], ["feature"])])
    victim = target_in(tmp_path).victim
    assert victim.stochastic
    x = torch.rand(8, 3, SIZE, SIZE)
    single = float((victim.observe(x) - plain_features(x)).std())
    averaged = float((victim.averaging(16).observe(x) - plain_features(x)).std())
    assert single == pytest.approx(0.5, rel=0.2)
    assert averaged == pytest.approx(0.125, rel=0.2)


def test_a_graph_without_noise_is_not_called_stochastic(tmp_path: Path) -> None:
    write_edge(tmp_path, [CONV, RELU])
    assert not target_in(tmp_path).victim.stochastic


def test_batch_normalisation_in_training_mode_is_refused(tmp_path: Path) -> None:
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    ends = ["feature", "running_mean", "running_var"]
    training = helper.make_node("BatchNormalization", ["conv", "s", "b", "m", "v"], ends, training_mode=1)
    write_edge(tmp_path, [CONV, training], s=ones, b=zeros, m=zeros, v=ones)
    with pytest.raises(EdgeError, match="is in training mode"):
        target_in(tmp_path)


def test_a_feature_that_depends_on_its_batch_is_refused(tmp_path: Path) -> None:
    mean = helper.make_node("ReduceMean", ["conv"], ["mean"], axes=[0])
    write_edge(tmp_path, [CONV, mean, helper.make_node("Sub", ["conv", "mean"], ["feature"])])
    with pytest.raises(EdgeError, match="depends on the other pictures of its batch"):
        target_in(tmp_path)


def test_a_batch_of_one_fixed_in_a_reshape_is_fed_one_by_one(tmp_path: Path) -> None:
    reshape = helper.make_node("Reshape", ["conv", "shape"], ["feature"])
    write_edge(tmp_path, [CONV, reshape], shape=np.array([1, 4, 4, 4]))
    x = torch.rand(5, 3, SIZE, SIZE)
    assert torch.allclose(target_in(tmp_path).victim.features(x), plain_features(x), atol=1e-4)


def test_another_batch_fixed_in_a_reshape_is_refused(tmp_path: Path) -> None:
    reshape = helper.make_node("Reshape", ["conv", "shape"], ["feature"])
    write_edge(tmp_path, [CONV, reshape], shape=np.array([7, 4, 4, 4]))
    with pytest.raises(EdgeError, match="does not run on a batch of 1"):
        target_in(tmp_path)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_floats_are_converted(tmp_path: Path, kind: int) -> None:
    cast = helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT)
    conv = helper.make_node("Conv", ["x", "w"], ["feature"], strides=[4, 4])
    write_edge(tmp_path, [cast, conv], image=value("image", kind, ("n", 3, SIZE, SIZE)))
    x = torch.rand(2, 3, SIZE, SIZE)
    assert torch.allclose(target_in(tmp_path).victim.features(x), plain_features(x), atol=1e-2)


def write_edge_of_bytes(folder: Path) -> Path:
    """An edge half of pictures of 0 to 255 with channels last."""
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["x"], ["y"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["y", "k"], ["z"]),
        helper.make_node("Conv", ["z", "w"], ["feature"], strides=[4, 4]),
    ]
    image = value("image", TensorProto.UINT8, ("n", SIZE, SIZE, 3))
    return write_edge(folder, nodes, image=image, k=np.float32(255))


def test_pictures_of_bytes_with_channels_last_are_given_as_such(tmp_path: Path) -> None:
    write_edge_of_bytes(tmp_path)
    x = torch.randint(0, 256, (2, 3, SIZE, SIZE)).float() / 255
    assert torch.allclose(target_in(tmp_path).victim.features(x), plain_features(x), atol=1e-4)


def test_pictures_of_bytes_are_not_normalised_twice(tmp_path: Path) -> None:
    write_edge_of_bytes(tmp_path)
    (tmp_path / "spec.json").write_text(json.dumps({**SPEC, "input": {**INPUT, "mean": [0.5] * 3}}))
    with pytest.raises(EdgeError, match="give mean 0 and std 1"):
        target_in(tmp_path)


def test_a_cloud_half_takes_no_bytes(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="is of type tensor"):
        OnnxHalf(write_edge_of_bytes(tmp_path))


def test_the_digest_covers_weights_in_other_files(tmp_path: Path) -> None:
    model = onnx.load(str(write_edge(tmp_path, [CONV, RELU])))
    onnx.save(
        model,
        str(tmp_path / "edge.onnx"),
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    before = target_in(tmp_path).digest
    weights = tmp_path / "weights"
    weights.write_bytes((-np.frombuffer(weights.read_bytes(), np.float32)).tobytes())
    assert target_in(tmp_path).digest != before


def test_the_digest_covers_the_cloud_half(tmp_path: Path) -> None:
    write_edge(tmp_path, [CONV, RELU])
    (tmp_path / "spec.json").write_text(json.dumps({**SPEC, "cloud": "cloud.onnx"}))
    digests = set()
    for operator in ("Relu", "Neg"):
        node = helper.make_node(operator, ["feature"], ["logits"])
        save(tmp_path / "cloud.onnx", [node], ([value("feature")], [value("logits")]), {})
        digests.add(target_in(tmp_path).digest)
    assert len(digests) == 2

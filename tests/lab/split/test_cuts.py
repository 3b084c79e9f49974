import dataclasses

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.split.cuts import cut_named, find_cuts
from siftfunnel.lab.split.halves import halves
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
)

FIRST, SECOND = 64 * 4 * 27, 64 * 4 * 36


def test_every_cut_of_one_tensor_is_found_with_its_cost() -> None:
    cuts = find_cuts(network(residual()))
    assert [(cut.name, cut.elements, cut.parameters, cut.macs) for cut in cuts] == [
        ("a", 256, 108, FIRST),
        ("b", 256, 108, FIRST),
        ("d", 256, 252, FIRST + SECOND),
        ("e", 4, 252, FIRST + SECOND),
        ("f", 4, 252, FIRST + SECOND),
        ("out", 5, 272, FIRST + SECOND + 20),
    ]
    assert cuts[-1].mac_share == 1
    assert [cut.name for cut in cuts if cut.is_sensible] == ["b", "d"]


@pytest.mark.parametrize(
    ("nodes", "weights", "macs"),
    [
        ([node("Conv", "image w", "a", group=3)], {"w": drawn(6, 1, 3, 3)}, 6 * 36 * 9),
        ([node("Conv", "image w", "a", strides=[2, 2])], {"w": drawn(4, 3, 2, 2)}, 4 * 16 * 12),
        ([node("ConvTranspose", "image w", "a", strides=[2, 2])], {"w": drawn(3, 5, 2, 2)}, 3 * 64 * 5 * 4),
        ([node("MatMul", "image w", "a")], {"w": drawn(8, 6)}, 3 * 8 * 6 * 8),
    ],
)
def test_multiply_adds_are_counted(nodes: list, weights: dict, macs: int) -> None:
    net = network(graph([*nodes, node("Relu", "a", "out")], weights))
    assert find_cuts(net)[0].macs == macs


def test_a_network_of_two_branches_is_cut_through_both() -> None:
    nodes = [
        node("Conv", "image w1", "l", strides=[2, 2], **PADDED),
        node("Conv", "image w1", "r", strides=[4, 4], **PADDED),
        node("Relu", "l", "lr"),
        node("Relu", "r", "rr"),
        node("Flatten", "lr", "left"),
        node("Flatten", "rr", "right"),
        node("Concat", "left right", "both", axis=1),
        node("Gemm", "both w", "out"),
    ]
    net = network(graph(nodes, {"w1": CONV_WEIGHTS["w1"], "w": drawn(80, 7)}))
    several = [cut for cut in find_cuts(net) if len(cut.tensors) > 1]
    named = cut_named(net, "lr+rr")
    assert named.elements == 80
    assert named.parameters == 108
    for cut in (*several, named):
        assert halves(net, cut).difference < 1e-6
    with pytest.raises(NetworkError, match=r"still needs the picture.*NAME\+NAME"):
        cut_named(net, "lr")


def test_a_weight_that_both_sides_use_is_counted_once_and_kept_on_both() -> None:
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("Conv", "a w2", "b", **PADDED),
        node("Relu", "b", "c"),
        node("Conv", "c w2", "d", **PADDED),
        node("Flatten", "d", "out"),
    ]
    net = network(graph(nodes, CONV_WEIGHTS))
    cut = cut_named(net, "c")
    made = halves(net, cut)
    assert (cut.parameters, find_cuts(net)[-1].parameters) == (108 + 144, 108 + 144)
    assert {tensor.name for tensor in made.edge.graph.initializer} == {"w1", "w2"}
    assert {tensor.name for tensor in made.cloud.graph.initializer} == {"w2"}


def test_halves_have_the_names_of_a_bundle_and_compute_the_whole() -> None:
    net = network(residual())
    for cut in find_cuts(net)[:-1]:
        made = halves(net, cut)
        edge, cloud = Runner(made.edge), Runner(made.cloud)
        assert [end.name for end in edge.inputs] == ["image"]
        sent = [tensor.name for tensor in made.tensors]
        assert [end.name for end in edge.outputs] == [end.name for end in cloud.inputs] == sent
        assert [end.name for end in cloud.outputs] == ["out"]
        frames = net.random_frames(3)
        np.testing.assert_allclose(cloud(*edge(frames))[0], net(frames)[0], rtol=1e-5, atol=1e-6)


def test_a_name_that_bundles_use_otherwise_gives_way() -> None:
    model = residual()
    for each in model.graph.node:
        each.input[:] = [
            "x/y:0" if name == "image" else "image" if name == "b" else name for name in each.input
        ]
        each.output[:] = ["image" if name == "b" else name for name in each.output]
    model.graph.input[0].name = "x/y:0"
    net = network(model)
    made = halves(net, cut_named(net, "image"))
    assert [tensor.name for tensor in made.tensors] == ["image_2"]
    assert made.difference < 1e-6


def test_half_precision_is_taken_as_it_is_and_crosses_as_float32() -> None:
    model = residual(dtype=TensorProto.FLOAT16)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    net = network(model)
    made = halves(net, find_cuts(net)[1])
    assert net.outputs[0].dtype == "float16"
    assert made.edge.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert made.cloud.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_a_network_of_eight_bits_is_cut_where_its_values_are_floats() -> None:
    nodes = [
        node("QuantizeLinear", "image s z", "q"),
        node("DequantizeLinear", "q s z", "x"),
        node("DequantizeLinear", "w s z8", "wf"),
        node("Conv", "x wf", "a", **PADDED),
        node("QuantizeLinear", "a s z", "aq"),
        node("DequantizeLinear", "aq s z", "b"),
        node("Flatten", "b", "out"),
    ]
    weights = {
        "s": np.float32(0.05),
        "z": np.uint8(128),
        "z8": np.int8(0),
        "w": np.random.default_rng(0).integers(-20, 20, (4, 3, 3, 3), dtype=np.int8),
    }
    net = network(graph(nodes, weights))
    names = [cut.name for cut in find_cuts(net)]
    assert {"q", "aq"}.isdisjoint(names)
    assert cut_named(net, "a").macs == FIRST
    assert halves(net, cut_named(net, "b")).difference < 1e-6
    with pytest.raises(NetworkError, match="holds uint8"):
        cut_named(net, "aq")


def _with_loop() -> object:
    body = helper.make_graph(
        [
            helper.make_node("Relu", ["state"], ["inner"]),
            helper.make_node("Add", ["inner", "one"], ["next"]),
            helper.make_node("Identity", ["on"], ["still"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        helper.make_node("Loop", ["times", "go", "a"], ["b"], body=body),
        node("Flatten", "b", "out"),
    ]
    weights = {"times": np.int64(3), "go": np.bool_(True), "one": np.float32([1]), "w1": CONV_WEIGHTS["w1"]}
    return graph(nodes, {name: np.asarray(value) for name, value in weights.items()})


def test_a_loop_is_kept_whole_and_cut_around() -> None:
    net = network(_with_loop())
    assert any("Loop" in note for note in net.notes)
    for name in ("a", "b"):
        assert halves(net, cut_named(net, name)).difference < 1e-6
    with pytest.raises(NetworkError, match="inside Loop"):
        cut_named(net, "inner")


def test_a_tensor_whose_shape_each_picture_decides_cannot_cross() -> None:
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("Greater", "a zero", "above"),
        node("NonZero", "above", "found"),
        node("Cast", "found", "places", to=TensorProto.FLOAT),
        node("ReduceSum", "places", "total", keepdims=0),
        node("Mul", "a total", "b"),
        node("Flatten", "b", "out"),
    ]
    # the total mixes the frames of a batch, so the graph is one of single frames
    model = graph(nodes, {"w1": CONV_WEIGHTS["w1"], "zero": np.float32(0)}, image=(1, 3, 8, 8))
    net = network(model)
    with pytest.raises(NetworkError, match=r"each picture decides its shape|no batch"):
        cut_named(net, "places")
    assert cut_named(net, "a").elements == 256


def test_a_cut_that_is_none_is_named() -> None:
    net = network(residual())
    with pytest.raises(NetworkError, match="no such tensor"):
        cut_named(net, "nowhere")
    with pytest.raises(NetworkError, match="the picture itself"):
        cut_named(net, "image")
    with pytest.raises(NetworkError, match="no picture changes it"):
        cut_named(net, "w1")


def test_a_network_of_fixed_batch_is_cut_and_proved_too() -> None:
    net = network(merged_frames(4))
    made = halves(net, cut_named(net, "a"))
    assert (made.frames_per_run, made.difference) == (4, 0)
    freed = network(fixed_reshape(2))
    assert halves(freed, cut_named(freed, "a")).difference < 1e-6


def test_noise_is_not_compared_value_by_value() -> None:
    nodes = [
        node("Conv", "image w1", "a", **PADDED),
        node("RandomNormalLike", "a", "noise"),
        node("Add", "a noise", "b"),
        node("Flatten", "b", "out"),
    ]
    net = network(graph(nodes, {"w1": CONV_WEIGHTS["w1"]}))
    assert halves(net, cut_named(net, "a")).difference is None


def test_halves_that_differ_from_the_network_are_refused() -> None:
    net = network(residual())
    other = residual()
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(2 * CONV_WEIGHTS["w1"], "w1"))
    wrong = dataclasses.replace(net, model=network(other).model)
    wrong.__dict__["runner"] = net.runner
    with pytest.raises(NetworkError, match="the halves together differ"):
        halves(wrong, cut_named(wrong, "b"))

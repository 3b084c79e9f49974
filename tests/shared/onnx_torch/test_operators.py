"""Each operator against ONNX Runtime."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.shared.onnx_torch import OnnxModule
from siftfunnel.shared.onnx_torch.operators import OPERATORS

Array = NDArray[Any]
GENERATOR = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return GENERATOR.normal(size=shape).astype(np.float32)


def integers(*values: int) -> Array:
    return np.array(values, np.int64)


class Case(NamedTuple):
    operator: str
    attributes: Mapping[str, Any] = MappingProxyType({})
    others: tuple[Array | None, ...] = ()
    shape: tuple[int, ...] = (2, 4, 6, 8)
    opset: int = 17
    positive: bool = False


def ratios(*values: float) -> Array:
    return np.array([1, 1, *values], np.float32)


ASYMMETRIC = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}
CASES = [
    Case("Conv", {"strides": [2, 1], "pads": [1, 1, 1, 1]}, (floats(6, 4, 3, 3), floats(6))),
    Case("Conv", {"pads": [0, 1, 2, 0]}, (floats(6, 4, 3, 3),)),
    Case("Conv", {"group": 2, "dilations": [2, 2]}, (floats(6, 2, 3, 3), floats(6))),
    Case("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (floats(5, 4, 3, 3),)),
    Case("Conv", {"auto_pad": "SAME_LOWER"}, (floats(5, 4, 2, 2),)),
    Case("Conv", {"auto_pad": "VALID"}, (floats(5, 4, 2, 2),)),
    Case("Conv", {"pads": [1, 1]}, (floats(5, 4, 3),), (2, 4, 9)),
    Case("ConvTranspose", {"strides": [2, 2], "pads": [1, 1, 1, 1]}, (floats(4, 3, 4, 4), floats(3))),
    Case("MaxPool", POOL),
    Case("MaxPool", {**POOL, "pads": [1, 1, 1, 1]}),
    Case("MaxPool", {**POOL, "pads": [0, 0, 1, 1]}),
    Case("MaxPool", {**POOL, "ceil_mode": 1}),
    Case("AveragePool", POOL),
    Case("AveragePool", {**POOL, "pads": [1, 1, 1, 1]}),
    Case("AveragePool", {**POOL, "pads": [0, 1, 1, 0]}),
    Case("AveragePool", {**POOL, "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Case("GlobalAveragePool"),
    Case("GlobalMaxPool"),
    Case("BatchNormalization", {"epsilon": 1e-3}, (floats(4), floats(4), floats(4), np.abs(floats(4)))),
    Case("InstanceNormalization", {"epsilon": 1e-3}, (floats(4), floats(4))),
    Case("LayerNormalization", {"axis": -1}, (floats(8), floats(8))),
    Case("Gemm", {"transB": 1}, (floats(3, 6), floats(3)), (5, 6)),
    Case("Gemm", {"transA": 1, "alpha": 0.5, "beta": 2.0}, (floats(5, 3), floats(3)), (5, 6)),
    Case("Gemm", {"alpha": 2.0}, (floats(6, 3),), (5, 6)),
    Case("MatMul", {}, (floats(8, 3),)),
    Case("Einsum", {"equation": "nchw,cd->ndhw"}, (floats(4, 3),)),
    Case("Pad", {}, (integers(0, 0, 1, 0, 0, 0, 2, 1), np.float32(0.5))),
    Case("Pad", {"mode": "reflect"}, (integers(0, 0, 1, 2, 0, 0, 2, 1),)),
    Case("Pad", {"mode": "edge"}, (integers(0, 0, 1, 2, 0, 0, 2, 1),)),
    Case("Pad", {"pads": [0, 0, 1, 2, 0, 0, 2, 1], "value": 1.5}, opset=10),
    *(Case(name, {}, (floats(4, 1, 1),)) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum")),
    Case("Sum", {}, (floats(2, 4, 6, 8), floats(2, 4, 6, 8))),
    Case("Pow", {}, (np.float32(2.5),), positive=True),
    *(
        Case(name)
        for name in (
            *("Neg", "Abs", "Exp", "Erf", "Sin", "Cos", "Relu", "LeakyRelu", "Elu", "Selu", "HardSwish"),
            *("HardSigmoid", "Sigmoid", "Tanh", "Softplus", "Identity"),
        )
    ),
    *(Case(name, positive=True) for name in ("Sqrt", "Log", "Reciprocal")),
    Case("LeakyRelu", {"alpha": 0.3}),
    Case("Elu", {"alpha": 0.3}),
    Case("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
    Case("PRelu", {}, (floats(4, 1, 1),)),
    Case("Mish", opset=18),
    Case("Gelu", opset=20),
    Case("Gelu", {"approximate": "tanh"}, opset=20),
    Case("Softmax"),
    Case("Softmax", {"axis": 1}),
    Case("Softmax", {"axis": 1}, opset=11),
    Case("LogSoftmax", {"axis": 2}),
    Case("Clip", {}, (np.float32(-0.3), np.float32(0.4))),
    Case("Clip", {}, (None, np.float32(0.4))),
    Case("Clip", {"min": -0.3, "max": 0.2}, opset=7),
    *(Case(f"Reduce{name}", {"axes": [1], "keepdims": 0}) for name in ("Mean", "Max", "Min", "L1", "L2")),
    Case("ReduceMean", {"axes": [2, 3]}),
    Case("ReduceMean"),
    Case("ReduceMax", {}, (integers(-1),), opset=18),
    Case("ReduceSum", {"keepdims": 0}, (integers(1, -1),)),
    Case("ReduceSum", {"noop_with_empty_axes": 1}),
    Case("Flatten"),
    Case("Flatten", {"axis": 2}),
    Case("Reshape", {}, (integers(0, -1, 3),)),
    Case("Transpose", {"perm": [0, 2, 3, 1]}),
    Case("Transpose"),
    Case("Unsqueeze", {}, (integers(1, -1),)),
    Case("Unsqueeze", {"axes": [1]}, opset=11),
    Case("Squeeze", {}, (integers(1),), (2, 1, 3, 1)),
    Case("Squeeze", {"axes": [1, 3]}, shape=(2, 1, 3, 1), opset=11),
    Case("Squeeze", shape=(2, 1, 3, 1)),
    Case("Concat", {"axis": 1}, (floats(2, 3, 6, 8),)),
    Case("Slice", {}, (integers(1, -3), integers(4, 99), integers(2, 3), integers(2, 1))),
    Case("Slice", {"starts": [1], "ends": [-1], "axes": [1]}, opset=9),
    Case("Gather", {"axis": 1}, (np.array([[0, -1], [2, 2]], np.int64),)),
    Case("Gather", {"axis": 2}, (np.array(3, np.int64),)),
    Case("Expand", {}, (integers(3, 1, 2, 1),), (4, 1, 3)),
    Case("DepthToSpace", {"blocksize": 2, "mode": "CRD"}),
    Case("DepthToSpace", {"blocksize": 2}),
    Case("SpaceToDepth", {"blocksize": 2}),
    Case("Cast", {"to": TensorProto.FLOAT16}),
    Case("Shape", opset=15),
    Case("Shape", {"start": 1, "end": 3}),
    Case("Dropout", opset=10),
    *(Case(name) for name in ("Floor", "Ceil", "Sign", "Softsign")),
    Case("ReduceProd", {"axes": [1, 3], "keepdims": 0}),
    Case("ReduceSumSquare", {"axes": [1]}),
    Case("Tile", {}, (integers(1, 2, 1, 3),)),
    Case("GroupNormalization", {"num_groups": 2}, (floats(4), floats(4)), opset=21),
    Case("Resize", ASYMMETRIC | {"nearest_mode": "floor"}, (None, ratios(2, 2))),
    Case("Resize", ASYMMETRIC | {"nearest_mode": "floor"}, (None, None, integers(2, 4, 9, 5))),
    Case("Resize", {"mode": "nearest"}, (None, ratios(3, 2))),
    Case("Resize", {"mode": "linear"}, (None, ratios(2, 1.5))),
    Case(
        "Resize",
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        (None, ratios(2, 1.5)),
    ),
    Case("Resize", {"mode": "cubic"}, (None, ratios(2, 2))),
    Case("Resize", {}, (ratios(2, 2),), opset=10),
    Case("Upsample", {}, (ratios(2, 3),), opset=9),
]


def model_of(nodes: list[Any], shape: tuple[int, ...], opset: int, others: dict[str, Array]) -> bytes:
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    ends = [onnx.ValueInfoProto(name="y")]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in others.items()]
    graph = helper.make_graph(nodes, "g", [entry], ends, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    # ONNX Runtime wants to know the type of the output
    inferred = onnx.shape_inference.infer_shapes(model)
    return inferred.SerializeToString()


def compare(model: bytes, x: Array) -> None:
    expected = Runner(model).raw(x)[0]
    result = OnnxModule(model)(torch.from_numpy(x)).numpy()
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.operator)
def test_an_operator_computes_what_onnx_runtime_computes(case: Case) -> None:
    names = [f"w{i}" for i in range(len(case.others))]
    given = {name: value for name, value in zip(names, case.others, strict=True) if value is not None}
    inputs = ["x", *(name if name in given else "" for name in names)]
    node = helper.make_node(case.operator, inputs, ["y"], **case.attributes)
    x = floats(*case.shape)
    compare(model_of([node], case.shape, case.opset, given), np.abs(x) + 0.1 if case.positive else x)


def test_shapes_are_computed_like_in_graphs_that_exporters_write() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["count"], axis=0),
        helper.make_node("Unsqueeze", ["count", "first"], ["count1"]),
        helper.make_node("Div", ["width", "two"], ["half"]),
        helper.make_node("Concat", ["count1", "half", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    others = {
        "zero": np.array(0, np.int64),
        "first": integers(0),
        "width": integers(9),
        "two": integers(2),
        "rest": integers(-1),
    }
    compare(model_of(nodes, (2, 4, 6), 17, others), floats(2, 4, 6))


def test_a_split_gives_its_parts() -> None:
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=1),
        helper.make_node("Concat", ["b", "a"], ["y"], axis=1),
    ]
    compare(model_of(nodes, (2, 5), 17, {"sizes": integers(2, 3)}), floats(2, 5))


def test_a_choice_between_two_values_follows_its_condition() -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("Constant", [], ["least"], value_float=0.25),
        helper.make_node("Greater", ["x", "least"], ["large"]),
        helper.make_node("Where", ["large", "x", "zeros"], ["y"]),
    ]
    compare(model_of(nodes, (2, 5), 17, {"size": integers(5)}), floats(2, 5))


@pytest.mark.parametrize("how", ["LessOrEqual", "GreaterOrEqual"])
@pytest.mark.parametrize("join", ["And", "Or"])
def test_conditions_are_joined_and_turned_round(how: str, join: str) -> None:
    nodes = [
        helper.make_node("Range", ["first", "end", "step"], ["row"]),
        helper.make_node(how, ["x", "row"], ["a"]),
        helper.make_node("Greater", ["x", "first"], ["positive"]),
        helper.make_node("Not", ["positive"], ["b"]),
        helper.make_node(join, ["a", "b"], ["c"]),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    others = {"first": np.float32(0), "end": np.float32(1), "step": np.float32(0.2)}
    compare(model_of(nodes, (2, 5), 17, others), floats(2, 5))


def test_every_operator_is_tried() -> None:
    tried = {case.operator for case in CASES}
    elsewhere = {"Split", "Where", "Constant", "ConstantOfShape", "Greater"}
    elsewhere |= {"Range", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not"}
    assert set(OPERATORS) - tried - elsewhere == {"Equal", "Less"}

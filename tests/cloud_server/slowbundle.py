"""A bundle whose cloud half takes as long as its features ask for: a real model that is really busy.

The graph counts to `max(feature) * STEPS_PER_UNIT` in a loop before its linear layer. Zeros, with which a
server warms up, cost nothing.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from siftfunnel.shared.bundle import Bundle, write_bundle
from tests.tinybundle import IR_VERSION, OPSET, make_tiny_bundle

STEPS_PER_UNIT = 100_000.0


def make_slow_bundle(directory: Path) -> Bundle:
    """A tiny bundle with the counting loop in front of its cloud half."""
    tiny = make_tiny_bundle(directory, name="slow")
    model = onnx.load(tiny.path("cloud.onnx"))
    graph = model.graph
    constants = {
        "steps_per_unit": np.array(STEPS_PER_UNIT, np.float32),
        "go_on": np.array(True),
        "zero": np.array(0.0, np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    front = [
        helper.make_node("ReduceMax", ["feature"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "steps_per_unit"], ["steps_float"]),
        helper.make_node("Cast", ["steps_float"], ["steps"], to=TensorProto.INT64),
        helper.make_node("Loop", ["steps", "go_on", "zero"], ["nothing"], body=_count()),
        helper.make_node("Add", ["feature", "nothing"], ["waited"]),
    ]
    graph.node[0].input[0] = "waited"
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    files = {"edge.onnx": tiny.path("edge.onnx").read_bytes(), "cloud.onnx": model.SerializeToString()}
    return write_bundle(directory, tiny.manifest, files, {})


def _count() -> onnx.GraphProto:
    """A loop body that hands on what it was given; sin(0) = 0 keeps it from being folded away."""
    taken = [
        helper.make_tensor_value_info("step", TensorProto.INT64, []),
        helper.make_tensor_value_info("still", TensorProto.BOOL, []),
        helper.make_tensor_value_info("carried", TensorProto.FLOAT, []),
    ]
    given = [
        helper.make_tensor_value_info("still_out", TensorProto.BOOL, []),
        helper.make_tensor_value_info("carried_out", TensorProto.FLOAT, []),
    ]
    nodes = [
        helper.make_node("Identity", ["still"], ["still_out"]),
        helper.make_node("Sin", ["carried"], ["carried_out"]),
    ]
    return helper.make_graph(nodes, "count", taken, given)

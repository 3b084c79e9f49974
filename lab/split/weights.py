"""The cloud half's own weights: which can be trained on, and putting others in their place."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from siftfunnel.lab.onnx_graphs import all_nodes, copy_of, reads
from siftfunnel.lab.split.halves import Halves

LEARNED: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), (1, 2)),
    **dict.fromkeys(("MatMul", "Add", "Mul"), (0, 1)),
    "PRelu": (1,),
    **dict.fromkeys(
        ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"), (1, 2)
    ),
}
"""Inputs of operators that training changes; elsewhere constants are limits, sizes and statistics."""
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def learned_names(model: onnx.ModelProto) -> tuple[str, ...]:
    """Initialisers of floats that were learned: more than one number, and nothing else reads them."""
    learned: set[str] = set()
    others: set[str] = set()
    for node in all_nodes(model.graph):
        places = LEARNED.get(node.op_type, ()) if node.domain in ("", "ai.onnx") else ()
        own = {name for place, name in enumerate(node.input) if place in places}
        learned |= own
        others |= {name for place, name in enumerate(node.input) if place not in places} | (reads(node) - own)
    return tuple(
        tensor.name
        for tensor in model.graph.initializer
        if tensor.name in learned - others and tensor.data_type in _FLOATS and np.prod(tensor.dims) > 1
    )


def with_weights(halves: Halves, weights: Mapping[str, NDArray[np.float32]]) -> Halves:
    """Halves whose cloud graph has other values in these initialisers; nothing else in it changes."""
    if not weights:
        return halves
    cloud = copy_of(halves.cloud)
    for tensor in cloud.graph.initializer:
        if tensor.name in weights:
            kind = numpy_helper.to_array(tensor).dtype
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].astype(kind), tensor.name))
    return replace(halves, cloud=cloud)

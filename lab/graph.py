"""Writing a folded network as an ONNX graph, node by node.

Every layer that our networks use has one emitter in ``EMITTERS``. Writing the graph ourselves keeps what a
tracer would not: weights stored in half precision behind a ``Cast`` that ONNX Runtime folds when it loads the
model, a free batch axis, and gates that reduce over the axis they need instead of permuting a full map.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from lab.models.attention import CBAM, PlaneGate, SqueezeExcite, TripletAttention
from lab.models.bottleneck import GaussianBottleneck
from lab.models.decoder import ResidualBlock, Standardise
from lab.models.residual import ResidualSum

OPSET = 17
IR_VERSION = 8


class GraphWriter:
    """Collects nodes and initialisers; ``node`` returns the name of a node's output."""

    def __init__(self, *, half_weights: bool) -> None:
        self.half_weights = half_weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._count = 0
        self._constants: dict[tuple[Any, ...], str] = {}

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output."""
        output = self._name(operator.lower())
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, value: Tensor) -> str:
        """A float tensor, stored in half precision when asked for."""
        array = value.detach().cpu().contiguous().numpy()
        name = self._name("weight")
        if not self.half_weights:
            self.initializers.append(numpy_helper.from_array(array.astype(np.float32), name))
            return name
        self.initializers.append(numpy_helper.from_array(array.astype(np.float16), name))
        return self.node("Cast", name, to=TensorProto.FLOAT)

    def integers(self, *values: int) -> str:
        """A one-dimensional ``int64`` constant, stored once."""
        key = ("integers", *values)
        if key not in self._constants:
            self._constants[key] = self._name("integers")
            self.initializers.append(
                numpy_helper.from_array(np.array(values, dtype=np.int64), self._constants[key])
            )
        return self._constants[key]

    def scalar(self, value: float) -> str:
        """A ``float32`` scalar constant, stored once."""
        key = ("scalar", value)
        if key not in self._constants:
            self._constants[key] = self._name("scalar")
            self.initializers.append(
                numpy_helper.from_array(np.array(value, dtype=np.float32), self._constants[key])
            )
        return self._constants[key]

    def emit(self, module: nn.Module, x: str) -> str:
        """Append a module; the name of its output."""
        emitter = EMITTERS.get(type(module))
        if emitter is None:
            raise ValueError(f"no ONNX emitter for {type(module).__name__}; add one to lab.graph.EMITTERS")
        return emitter(self, module, x)


Emitter = Callable[[GraphWriter, Any, str], str]
"""Appends a module's nodes after the named value; the name of the result."""


def _sequential(writer: GraphWriter, module: Any, x: str) -> str:
    for child in module:
        x = writer.emit(child, x)
    return x


def _conv(writer: GraphWriter, module: Any, x: str) -> str:
    if module.groups != 1 or module.dilation != (1, 1):
        raise ValueError("grouped and dilated convolutions are not exported")
    inputs = [x, writer.weight(module.weight)]
    if module.bias is not None:
        inputs.append(writer.weight(module.bias))
    pads = list(module.padding) * 2
    return writer.node(
        "Conv", *inputs, kernel_shape=list(module.kernel_size), strides=list(module.stride), pads=pads
    )


def _linear(writer: GraphWriter, module: Any, x: str) -> str:
    inputs = [x, writer.weight(module.weight)]
    if module.bias is not None:
        inputs.append(writer.weight(module.bias))
    return writer.node("Gemm", *inputs, transB=1)


def _pool(operator: str) -> Emitter:
    def emit(writer: GraphWriter, module: Any, x: str) -> str:
        size, stride = module.kernel_size, module.stride
        if module.padding or module.ceil_mode or not isinstance(size, int) or not isinstance(stride, int):
            raise ValueError("only square pools without padding are exported")
        return writer.node(operator, x, kernel_shape=[size, size], strides=[stride, stride])

    return emit


def _batch_norm(writer: GraphWriter, module: Any, x: str) -> str:
    """A normalisation that no convolution precedes, with its running statistics."""
    values = (module.weight, module.bias, module.running_mean, module.running_var)
    return writer.node("BatchNormalization", x, *map(writer.weight, values), epsilon=module.eps)


def _group_norm(writer: GraphWriter, module: Any, x: str) -> str:
    """Opset 17 has no group normalisation: lay a group out as one row and normalise the rows."""
    groups = module.num_groups
    rows = writer.node("Reshape", x, writer.integers(0, groups, -1))
    unscaled = writer.node(
        "InstanceNormalization",
        rows,
        writer.weight(torch.ones(groups)),
        writer.weight(torch.zeros(groups)),
        epsilon=module.eps,
    )
    back = writer.node("Reshape", unscaled, writer.node("Shape", x))
    scaled = writer.node("Mul", back, writer.weight(module.weight[:, None, None]))
    return writer.node("Add", scaled, writer.weight(module.bias[:, None, None]))


def _silu(writer: GraphWriter, module: Any, x: str) -> str:
    return writer.node("Mul", x, writer.node("Sigmoid", x))


def _channel_mean(writer: GraphWriter, x: str) -> str:
    """Global average per channel, N x C."""
    return writer.node("Flatten", writer.node("GlobalAveragePool", x), axis=1)


def _scale_channels(writer: GraphWriter, x: str, gate_NC: str) -> str:
    gate_NC11 = writer.node("Unsqueeze", gate_NC, writer.integers(2, 3))
    return writer.node("Mul", x, gate_NC11)


def _squeeze_excite(writer: GraphWriter, module: Any, x: str) -> str:
    hidden = writer.node("Relu", writer.emit(module.squeeze, _channel_mean(writer, x)))
    return _scale_channels(writer, x, writer.node("Sigmoid", writer.emit(module.excite, hidden)))


def _plane_gate(writer: GraphWriter, gate: PlaneGate, x: str, axis: int) -> str:
    """A gate with length 1 along ``axis``: reduce, convolve two maps, squash; the full map is not moved."""
    keep = int(axis == 1)
    maps = [
        writer.node("ReduceMax", x, axes=[axis], keepdims=keep),
        writer.node("ReduceMean", x, axes=[axis], keepdims=keep),
    ]
    if not keep:
        maps = [writer.node("Unsqueeze", plane, writer.integers(1)) for plane in maps]
    squashed = writer.node("Sigmoid", writer.emit(gate.conv, writer.node("Concat", *maps, axis=1)))
    if keep:
        return squashed
    return writer.node(
        "Unsqueeze", writer.node("Squeeze", squashed, writer.integers(1)), writer.integers(axis)
    )


def _triplet(writer: GraphWriter, module: Any, x: str) -> str:
    third = writer.scalar(1 / 3)
    gates = [
        writer.node("Mul", _plane_gate(writer, gate, x, axis), third)
        for gate, axis in ((module.over_height, 2), (module.over_width, 3), (module.over_channels, 1))
    ]
    total = writer.node("Add", writer.node("Add", gates[0], gates[1]), gates[2])
    return writer.node("Mul", x, total)


def _cbam(writer: GraphWriter, module: Any, x: str) -> str:
    maximum = writer.node("Flatten", writer.node("GlobalMaxPool", x), axis=1)
    both = writer.node(
        "Add", writer.emit(module.shared, _channel_mean(writer, x)), writer.emit(module.shared, maximum)
    )
    y = _scale_channels(writer, x, writer.node("Sigmoid", both))
    maps = writer.node(
        "Concat",
        writer.node("ReduceMean", y, axes=[1], keepdims=1),
        writer.node("ReduceMax", y, axes=[1], keepdims=1),
        axis=1,
    )
    return writer.node("Mul", y, writer.node("Sigmoid", writer.emit(module.spatial, maps)))


def _standardise(writer: GraphWriter, module: Any, x: str) -> str:
    return writer.node(
        "Add", writer.node("Mul", x, writer.weight(module.scale)), writer.weight(module.offset)
    )


def _residual(writer: GraphWriter, module: Any, x: str) -> str:
    return writer.node("Add", x, writer.emit(module.body, x))


def _residual_sum(writer: GraphWriter, module: Any, x: str) -> str:
    return writer.node("Add", writer.emit(module.skip, x), writer.emit(module.body, x))


def _nothing(writer: GraphWriter, module: Any, x: str) -> str:
    return x


EMITTERS: dict[type[nn.Module], Emitter] = {
    nn.Sequential: _sequential,
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.BatchNorm2d: _batch_norm,
    nn.GroupNorm: _group_norm,
    nn.MaxPool2d: _pool("MaxPool"),
    nn.AvgPool2d: _pool("AveragePool"),
    nn.Identity: _nothing,
    nn.Dropout: _nothing,
    nn.ReLU: lambda writer, module, x: writer.node("Relu", x),
    nn.SiLU: _silu,
    nn.Sigmoid: lambda writer, module, x: writer.node("Sigmoid", x),
    nn.Flatten: lambda writer, module, x: writer.node("Flatten", x, axis=1),
    nn.PixelShuffle: lambda writer, module, x: writer.node(
        "DepthToSpace", x, blocksize=module.upscale_factor, mode="CRD"
    ),
    SqueezeExcite: _squeeze_excite,
    TripletAttention: _triplet,
    CBAM: _cbam,
    Standardise: _standardise,
    ResidualBlock: _residual,
    ResidualSum: _residual_sum,
    GaussianBottleneck: lambda writer, module, x: writer.emit(module.mean, x),
}
"""How each kind of layer is written; a layer without an entry cannot be exported."""


@torch.no_grad()
def write_onnx(
    module: nn.Module,
    *,
    input_name: str,
    input_shape: tuple[int, ...],
    output_name: str,
    half_weights: bool = True,
) -> bytes:
    """Write a folded module as a checked ONNX model with a free batch axis ``N``.

    Args:
        module: From ``lab.folding.folded_copy``, weights already rounded when ``half_weights``.
        input_name: Name of the graph's input.
        input_shape: Shape of one input, without the batch axis.
        output_name: Name of the graph's output.
        half_weights: Store weights in half precision, cast to float32 when loaded.

    Raises:
        ValueError: a layer without an emitter.
    """
    writer = GraphWriter(half_weights=half_weights)
    result = writer.emit(module, input_name)
    assert writer.nodes[-1].output[0] == result
    writer.nodes[-1].output[0] = output_name
    output_shape = tuple(module(torch.zeros(2, *input_shape)).shape[1:])
    graph = helper.make_graph(
        writer.nodes,
        "siftfunnel",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["N", *input_shape])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["N", *output_shape])],
        writer.initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="siftfunnel"
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data

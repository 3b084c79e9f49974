"""Writing a folded network as an ONNX graph, node by node.

Every layer that our networks use has one emitter in ``EMITTERS``. Writing the graph ourselves keeps what a
tracer would not: weights stored in half precision behind a ``Cast`` that ONNX Runtime folds when it loads the
model, a free batch axis, and gates that reduce over the axis they need instead of permuting a full map.
"""

from collections.abc import Callable
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from siftfunnel.lab.graphs.gates import write_cbam, write_triplet
from siftfunnel.lab.graphs.writer import GraphWriter
from siftfunnel.lab.networks.attention import CBAM, SqueezeExcite, TripletAttention
from siftfunnel.lab.networks.canonical import LEAST_VARIANCE, Oriented, Standardised, sides
from siftfunnel.lab.networks.decoder import Crop, Standardise
from siftfunnel.lab.networks.necks import GaussianBottleneck
from siftfunnel.lab.networks.rearranged import Parted, Rearranged
from siftfunnel.lab.networks.residual import ResidualSum

OPSET = 17
IR_VERSION = 8


Emitter = Callable[[GraphWriter, Any, str], str]
"""Appends a module's nodes after the named value; the name of the result."""


def emit(writer: GraphWriter, module: nn.Module, x: str) -> str:
    """Append a module; the name of its output."""
    emitter = EMITTERS.get(type(module))
    if emitter is None:
        kind = type(module).__name__
        raise ValueError(f"no ONNX emitter for {kind}; add one to siftfunnel.lab.graphs.writing.EMITTERS")
    return emitter(writer, module, x)


_BEHIND_EXCITATION: dict[type[nn.Module], Callable[..., str]] = {
    TripletAttention: write_triplet,
    CBAM: write_cbam,
}


def _sequential(writer: GraphWriter, module: Any, x: str) -> str:
    """One after the other, but an excitation together with the attention block behind it."""
    children = list(module)
    while children:
        child = children.pop(0)
        write = _BEHIND_EXCITATION.get(type(children[0])) if children else None
        if isinstance(child, SqueezeExcite) and write is not None:
            block = children.pop(0)
            x = write(writer, block, child, x, writer.shapes[block])
        else:
            x = emit(writer, child, x)
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


def _conv_transpose(writer: GraphWriter, module: Any, x: str) -> str:
    if module.groups != 1 or module.dilation != (1, 1) or any(module.output_padding):
        raise ValueError("grouped, dilated and unevenly padded transposed convolutions are not exported")
    inputs = [x, writer.weight(module.weight)]
    if module.bias is not None:
        inputs.append(writer.weight(module.bias))
    return writer.node(
        "ConvTranspose",
        *inputs,
        kernel_shape=list(module.kernel_size),
        strides=list(module.stride),
        pads=list(module.padding) * 2,
    )


def _parted(writer: GraphWriter, module: Any, x: str) -> str:
    flat, start, parts = writer.node("Flatten", x, axis=1), 0, []
    for size, way in zip(module.sizes, module.ways, strict=True):
        ends = (writer.integers(start), writer.integers(start + size), writer.integers(1))
        parts.append(emit(writer, way, writer.node("Slice", flat, *ends)))
        start += size
    return writer.node("Concat", *parts, axis=1)


def _rearranged(writer: GraphWriter, module: Any, x: str) -> str:
    flat = writer.node("Flatten", x, axis=1)
    taken = writer.node("Gather", flat, writer.integers(*module.index.tolist()), axis=1)
    return writer.node("Reshape", taken, writer.integers(0, *module.maps))


def _crop(writer: GraphWriter, module: Any, x: str) -> str:
    ends = writer.integers(module.height, module.width)
    return writer.node("Slice", x, writer.integers(0, 0), ends, writer.integers(2, 3))


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
    hidden = writer.node("Relu", emit(writer, module.squeeze, _channel_mean(writer, x)))
    return _scale_channels(writer, x, writer.node("Sigmoid", emit(writer, module.excite, hidden)))


def _attention(write: Callable[..., str]) -> Emitter:
    return lambda writer, module, x: write(writer, module, None, x, writer.shapes[module])


def _standardise(writer: GraphWriter, module: Any, x: str) -> str:
    return writer.node(
        "Add", writer.node("Mul", x, writer.weight(module.scale)), writer.weight(module.offset)
    )


def _standardised(writer: GraphWriter, module: Any, x: str) -> str:
    centred = writer.node("Sub", x, writer.node("ReduceMean", x, axes=[2, 3]))
    variance = writer.node("ReduceMean", writer.node("Mul", centred, centred), axes=[1, 2, 3])
    floored = writer.node("Add", variance, writer.scalar(LEAST_VARIANCE))
    return writer.node("Div", centred, writer.node("Sqrt", floored))


def _oriented(writer: GraphWriter, module: Any, x: str) -> str:
    width = writer.shapes[module][2]
    columns = writer.node("ReduceMean", x, axes=[1, 2], keepdims=0)
    brighter = writer.node("MatMul", columns, writer.constant(sides(width)[:, None]))
    turn = writer.node("Unsqueeze", writer.node("Less", brighter, writer.scalar(0.0)), writer.integers(2, 3))
    backwards = writer.integers(*range(width - 1, -1, -1))
    return writer.node("Where", turn, writer.node("Gather", x, backwards, axis=3), x)


def _residual_sum(writer: GraphWriter, module: Any, x: str) -> str:
    return writer.node("Add", emit(writer, module.skip, x), emit(writer, module.body, x))


def _nothing(writer: GraphWriter, module: Any, x: str) -> str:
    return x


EMITTERS: dict[type[nn.Module], Emitter] = {
    nn.Sequential: _sequential,
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _conv_transpose,
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
    nn.Unflatten: lambda writer, module, x: writer.node(
        "Reshape", x, writer.integers(0, *module.unflattened_size)
    ),
    nn.Flatten: lambda writer, module, x: writer.node("Flatten", x, axis=1),
    nn.PixelShuffle: lambda writer, module, x: writer.node(
        "DepthToSpace", x, blocksize=module.upscale_factor, mode="CRD"
    ),
    SqueezeExcite: _squeeze_excite,
    TripletAttention: _attention(write_triplet),
    CBAM: _attention(write_cbam),
    Standardise: _standardise,
    Standardised: _standardised,
    Oriented: _oriented,
    Rearranged: _rearranged,
    Parted: _parted,
    Crop: _crop,
    ResidualSum: _residual_sum,
    GaussianBottleneck: lambda writer, module, x: emit(writer, module.mean, x),
}
"""How each kind of layer is written; a layer without an entry cannot be exported."""


def record_shapes(
    module: nn.Module, input_shape: tuple[int, ...]
) -> tuple[dict[nn.Module, tuple[int, ...]], tuple[int, ...]]:
    """Input shapes of all modules and the output's, without the batch axis."""
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(part: nn.Module, inputs: tuple[Any, ...]) -> None:
        shapes[part] = tuple(inputs[0].shape[1:])

    hooks = [part.register_forward_pre_hook(note) for part in module.modules()]
    try:
        output_shape = tuple(module(torch.zeros(2, *input_shape)).shape[1:])
    finally:
        for hook in hooks:
            hook.remove()
    return shapes, output_shape


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
        module: From ``lab.graphs.folding.folded_copy``, weights already rounded when ``half_weights``.
        input_name: Name of the graph's input.
        input_shape: Shape of one input, without the batch axis.
        output_name: Name of the graph's output.
        half_weights: Store weights in half precision, cast to float32 when loaded.

    Raises:
        ValueError: a layer without an emitter.
    """
    shapes, output_shape = record_shapes(module, input_shape)
    writer = GraphWriter(half_weights=half_weights, shapes=shapes)
    result = emit(writer, module, input_name)
    assert writer.nodes[-1].output[0] == result
    writer.nodes[-1].output[0] = output_name
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

"""What each ONNX operator computes, in differentiable PyTorch operations.

One function per operator, all in ``OPERATORS``. The meaning is that of the ONNX operator specification from
opset 7 on: arguments that moved from attributes to inputs over time are read from where they stand. Tensors
of integers (shapes, axes, indices) stay on the CPU.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional

from siftfunnel.shared.onnx_torch import layers
from siftfunnel.shared.onnx_torch.call import Call, Result

DTYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT8: torch.uint8,
    TensorProto.BOOL: torch.bool,
}


def _divide(call: Call) -> Tensor:
    a, b = call.tensor(0), call.tensor(1)
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _clip(call: Call) -> Tensor:
    x = call.tensor()
    if call.has(1) or call.has(2):
        return torch.clamp(x, call.optional(1), call.optional(2))
    least, most = call.get("min"), call.get("max")
    return x if least is None and most is None else torch.clamp(x, least, most)


def _reduction(reduce: Callable[..., Tensor]) -> Callable[[Call], Tensor]:
    def compute(call: Call) -> Tensor:
        x, axes = call.tensor(), call.integers("axes", 1)
        if not axes:
            if call.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.dim()))
        return reduce(x, dim=axes, keepdim=bool(call.get("keepdims", 1)))

    return compute


def _product(x: Tensor, dim: list[int], keepdim: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in dim), reverse=True):
        x = x.prod(dim=axis, keepdim=keepdim)
    return x


def _reshape(call: Call) -> Tensor:
    x, shape = call.tensor(), [int(size) for size in call.tensor(1).tolist()]
    if not call.get("allowzero", 0):
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return x.reshape(shape)


def _flatten(call: Call) -> Tensor:
    x = call.tensor()
    axis = call.get("axis", 1) % (x.dim() + 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _transpose(call: Call) -> Tensor:
    x = call.tensor()
    return x.permute(call.get("perm", list(reversed(range(x.dim())))))


def _unsqueeze(call: Call) -> Tensor:
    x, axes = call.tensor(), call.integers("axes", 1) or []
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(call: Call) -> Tensor:
    x, axes = call.tensor(), call.integers("axes", 1)
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


def _concat(call: Call) -> Tensor:
    return torch.cat([value for value in call.inputs if value is not None], dim=call.attributes["axis"])


def _split(call: Call) -> tuple[Tensor, ...]:
    x, axis = call.tensor(), call.get("axis", 0)
    sizes = call.integers("split", 1)
    if sizes is None:
        if "num_outputs" not in call.attributes:
            raise call.unsupported("without sizes")
        return torch.split(x, math.ceil(x.shape[axis] / call.attributes["num_outputs"]), dim=axis)
    return torch.split(x, sizes, dim=axis)


def _slice(call: Call) -> Tensor:
    x = call.tensor()
    starts, ends = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    if any(step < 1 for step in steps):
        raise call.unsupported("with a negative step")
    index = [slice(None)] * x.dim()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis % x.dim()] = slice(start, end, step)
    return x[tuple(index)]


def _gather(call: Call) -> Tensor:
    x, indices = call.tensor(0), call.tensor(1).long()
    axis = call.get("axis", 0) % x.dim()
    flat = torch.where(indices < 0, indices + x.shape[axis], indices).flatten().to(x.device)
    shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
    return x.index_select(axis, flat).reshape(shape)


def _expand(call: Call) -> Tensor:
    x, wanted = call.tensor(), [int(size) for size in call.tensor(1).tolist()]
    return x.expand(torch.broadcast_shapes(x.shape, wanted))  # type: ignore[no-untyped-call]


def _soft(compute: Callable[..., Tensor]) -> Callable[[Call], Tensor]:
    def run(call: Call) -> Tensor:
        x = call.tensor()
        if call.opset >= 13:
            return compute(x, dim=call.get("axis", -1))
        # before opset 13 everything from the axis on is one row
        return compute(x.flatten(call.get("axis", 1)), dim=-1).reshape(x.shape)

    return run


def _range(call: Call) -> Tensor:
    start, limit, step = (call.tensor(position) for position in range(3))
    return torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


def _tile(call: Call) -> Tensor:
    return call.tensor(0).repeat([int(count) for count in call.tensor(1).tolist()])


def _cast(call: Call) -> Tensor:
    kind = call.attributes["to"]
    if kind not in DTYPES:
        names = {number: name for name, number in TensorProto.DataType.items()}
        raise call.unsupported(f"to {names.get(kind, kind)}")
    return call.tensor().to(DTYPES[kind])


def _shape(call: Call) -> Tensor:
    sizes = list(call.tensor().shape)[call.get("start", 0) : call.get("end")]
    return torch.tensor(sizes, dtype=torch.int64)


def _constant(call: Call) -> Tensor:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in call.attributes:
            return torch.as_tensor(call.attributes[name])
    raise call.unsupported("with a text or sparse value")


def _constant_of_shape(call: Call) -> Tensor:
    value: Tensor = call.get("value", torch.zeros(1))
    return value.reshape(()).expand([int(size) for size in call.tensor().tolist()]).clone()


def _depth_to_space(call: Call) -> Tensor:
    x, block = call.tensor(), call.attributes["blocksize"]
    if call.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x, block)
    count, channels, height, width = x.shape
    kept = channels // block**2
    cells = x.reshape(count, block, block, kept, height, width).permute(0, 3, 4, 1, 5, 2)
    return cells.reshape(count, kept, height * block, width * block)


def _space_to_depth(call: Call) -> Tensor:
    x, block = call.tensor(), call.attributes["blocksize"]
    count, channels, height, width = x.shape
    cells = x.reshape(count, channels, height // block, block, width // block, block)
    return cells.permute(0, 3, 5, 1, 2, 4).reshape(
        count, channels * block**2, height // block, width // block
    )


def _dropout(call: Call) -> Tensor:
    if call.has(2) and bool(call.tensor(2)):
        raise call.unsupported("in training mode")
    return call.tensor()


def _fold(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Call], Tensor]:
    def compute(call: Call) -> Tensor:
        total = call.tensor(0)
        for position in range(1, len(call.inputs)):
            total = combine(total, call.tensor(position))
        return total

    return compute


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: function(call.tensor())


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: function(call.tensor(0), call.tensor(1))


def _global(reduce: Callable[..., Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: reduce(call.tensor(), dim=list(range(2, call.tensor().dim())), keepdim=True)


def _gelu(call: Call) -> Tensor:
    return functional.gelu(call.tensor(), approximate=call.get("approximate", "none"))


def _prelu(call: Call) -> Tensor:
    x = call.tensor(0)
    return torch.where(x < 0, call.tensor(1) * x, x)


def _hard_sigmoid(call: Call) -> Tensor:
    return torch.clamp(call.get("alpha", 0.2) * call.tensor() + call.get("beta", 0.5), 0, 1)


def _einsum(call: Call) -> Tensor:
    equation = call.attributes["equation"]
    return torch.einsum(equation, *(value for value in call.inputs if value is not None))


OPERATORS: Mapping[str, Callable[[Call], Result]] = MappingProxyType(
    {
        "Conv": layers.conv,
        "ConvTranspose": layers.conv_transpose,
        "MaxPool": layers.max_pool,
        "AveragePool": layers.average_pool,
        "GlobalAveragePool": _global(torch.mean),
        "GlobalMaxPool": _global(torch.amax),
        "BatchNormalization": layers.batch_norm,
        "InstanceNormalization": layers.instance_norm,
        "LayerNormalization": layers.layer_norm,
        "GroupNormalization": layers.group_norm,
        "Resize": layers.resize,
        "Upsample": layers.resize,
        "Gemm": layers.gemm,
        "MatMul": _binary(torch.matmul),
        "Einsum": _einsum,
        "Pad": layers.pad,
        "Add": _binary(torch.add),
        "Sub": _binary(torch.sub),
        "Mul": _binary(torch.mul),
        "Div": _divide,
        "Pow": _binary(torch.pow),
        "Max": _fold(torch.maximum),
        "Min": _fold(torch.minimum),
        "Sum": _fold(torch.add),
        "Neg": _unary(torch.neg),
        "Abs": _unary(torch.abs),
        "Sqrt": _unary(torch.sqrt),
        "Exp": _unary(torch.exp),
        "Log": _unary(torch.log),
        "Reciprocal": _unary(torch.reciprocal),
        "Erf": _unary(torch.erf),
        "Floor": _unary(torch.floor),
        "Ceil": _unary(torch.ceil),
        "Sign": _unary(torch.sign),
        "Softsign": _unary(functional.softsign),
        "Sin": _unary(torch.sin),
        "Cos": _unary(torch.cos),
        "Relu": _unary(torch.relu),
        "LeakyRelu": lambda call: functional.leaky_relu(call.tensor(), call.get("alpha", 0.01)),
        "PRelu": _prelu,
        "Elu": lambda call: functional.elu(call.tensor(), call.get("alpha", 1.0)),
        "Selu": _unary(functional.selu),
        "Gelu": _gelu,
        "Mish": _unary(functional.mish),
        "HardSwish": _unary(functional.hardswish),
        "HardSigmoid": _hard_sigmoid,
        "Sigmoid": _unary(torch.sigmoid),
        "Tanh": _unary(torch.tanh),
        "Softplus": _unary(functional.softplus),
        "Softmax": _soft(torch.softmax),
        "LogSoftmax": _soft(torch.log_softmax),
        "Clip": _clip,
        "ReduceMean": _reduction(torch.mean),
        "ReduceSum": _reduction(torch.sum),
        "ReduceMax": _reduction(torch.amax),
        "ReduceMin": _reduction(torch.amin),
        "ReduceProd": _reduction(_product),
        "ReduceSumSquare": _reduction(lambda x, **how: x.square().sum(**how)),
        "ReduceL1": _reduction(lambda x, **how: x.abs().sum(**how)),
        "ReduceL2": _reduction(lambda x, **how: x.square().sum(**how).sqrt()),
        "Flatten": _flatten,
        "Reshape": _reshape,
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
        "Squeeze": _squeeze,
        "Concat": _concat,
        "Split": _split,
        "Slice": _slice,
        "Gather": _gather,
        "Expand": _expand,
        "Tile": _tile,
        "Range": _range,
        "Where": lambda call: torch.where(call.tensor(0), call.tensor(1), call.tensor(2)),
        "Equal": _binary(torch.eq),
        "Less": _binary(torch.lt),
        "Greater": _binary(torch.gt),
        "LessOrEqual": _binary(torch.le),
        "GreaterOrEqual": _binary(torch.ge),
        "And": _binary(torch.logical_and),
        "Or": _binary(torch.logical_or),
        "Not": _unary(torch.logical_not),
        "DepthToSpace": _depth_to_space,
        "SpaceToDepth": _space_to_depth,
        "Cast": _cast,
        "Shape": _shape,
        "Constant": _constant,
        "ConstantOfShape": _constant_of_shape,
        "Identity": _unary(lambda x: x),
        "Dropout": _dropout,
    }
)
"""Every operator that is understood; a graph with another one raises ``UnsupportedOperatorError``."""

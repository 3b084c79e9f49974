"""What a graph says by itself about its input and outputs, and what running it shows of all its tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from siftfunnel.lab.onnx_graphs import NetworkError, constant_names, copy_of, given_inputs, type_name, weights
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.split.prepare import NUMPY_TYPES
from siftfunnel.shared.input_spec import Layout
from siftfunnel.shared.tensors import OutputKind, OutputSpec

_FIRST_STEPS = ("Transpose", "Cast", "Div", "Mul", "Sub", "Add", "Identity", "BatchNormalization", "Pad")
_PASSES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Transpose")
_EMBEDDING_WORDS = ("embed", "feat", "descriptor")


@dataclass(frozen=True)
class InputFacts:
    """A network's input as the graph has it.

    Attributes:
        name: of the graph's input.
        layout: where its channels are.
        channels: 1 or 3.
        height: rows, pixels.
        width: columns, pixels.
        dtype: "float32", "float16" or "uint8".
        first_steps: what the graph does to pixels before anything is learned: "Transpose", "Sub 127.5", ...
        notes: what of this was decided rather than read, for people.
    """

    name: str
    layout: Layout
    channels: int
    height: int
    width: int
    dtype: str
    first_steps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one frame."""
        if self.layout == "NCHW":
            return (self.channels, self.height, self.width)
        return (self.height, self.width, self.channels)


def input_facts(model: onnx.ModelProto, size: tuple[int, int] | None) -> tuple[InputFacts, int | None]:
    """Read the input, and the number of frames that it takes at once (None: free).

    Raises:
        NetworkError: no picture fits it, or its size is open and `size` is not given.
    """
    (value,) = given_inputs(model.graph)
    tensor = value.type.tensor_type
    axes = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    axes = [axis if axis and axis > 0 else None for axis in axes]
    kind = NUMPY_TYPES.get(tensor.elem_type)
    if len(axes) != 4 or kind is None:
        name = type_name(tensor.elem_type)
        raise NetworkError(
            f"input {value.name} is {name} {axes}; a picture goes into four axes (NCHW or NHWC) "
            "of float32, float16 or uint8"
        )
    layout, channels = _layout(axes, value.name)
    read = (axes[2], axes[3]) if layout == "NCHW" else (axes[1], axes[2])
    height, width = size or read
    if height is None or width is None:
        raise NetworkError(
            f"the file leaves the height and width of input {value.name} open: say them, --size HEIGHTxWIDTH"
        )
    notes = []
    if size and None not in read and size != read:
        notes.append(f"the file says {read[0]}x{read[1]} pixels, taken at {height}x{width} as told")
    steps = _first_steps(model, value.name)
    facts = InputFacts(value.name, layout, channels, height, width, np.dtype(kind).name, steps, tuple(notes))
    return facts, axes[0]


def _layout(axes: Sequence[int | None], name: str) -> tuple[Layout, int]:
    if axes[1] in (1, 3) and axes[3] not in (1, 3):
        return "NCHW", int(axes[1] or 0)
    if axes[3] in (1, 3):
        return "NHWC", int(axes[3] or 0)
    if axes[1] in (1, 3):
        return "NCHW", int(axes[1] or 0)
    if axes[1] is None and axes[3] is None:
        return "NCHW", 3
    raise NetworkError(
        f"input {name} has axes {list(axes)}: pictures have 1 or 3 channels, second or last of four axes"
    )


def _first_steps(model: onnx.ModelProto, name: str) -> tuple[str, ...]:
    """The chain of simple steps behind the input, with their constant where it is one number or a few."""
    stored, steps = weights(model.graph), []
    while len(readers := [node for node in model.graph.node if name in node.input]) == 1:
        (node,) = readers
        if node.op_type not in _FIRST_STEPS:
            break
        values = [numpy_helper.to_array(stored[n]) for n in node.input if n in stored]
        numbers = values[0].ravel() if node.op_type in ("Div", "Mul", "Sub", "Add") and values else None
        told = "" if numbers is None or numbers.size > 4 else " " + " ".join(f"{v:g}" for v in numbers)
        if node.op_type != "Identity":
            steps.append(node.op_type + told)
        name = node.output[0]
    return tuple(steps)


@dataclass(frozen=True)
class Observed:
    """A tensor as two runs showed it.

    Attributes:
        shape: of one frame; an axis that the picture's values decide is None.
        dtype: NumPy's name of its type.
        has_batch: whether its first axis is the batch.
    """

    shape: tuple[int | None, ...]
    dtype: str
    has_batch: bool


def observe(
    model: onnx.ModelProto, frames: NDArray[Any], frames_per_run: int | None
) -> Mapping[str, Observed]:
    """Shapes and types of all tensors that depend on the picture.

    Args:
        model: A prepared graph.
        frames: Two runs' worth of inputs: twice `frames_per_run`, or two frames.
        frames_per_run: As `Prepared` has it.
    """
    exposed = copy_of(model)
    constant = constant_names(exposed.graph)
    del exposed.graph.output[:]
    names = [name for node in model.graph.node for name in node.output if name and name not in constant]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    runner = Runner(exposed, optimise=False)
    step = frames_per_run or 1
    one, other = runner.raw(frames[:step]), runner.raw(frames[step : 2 * step])
    both = one if frames_per_run else runner.raw(frames[: 2 * step])
    seen = {
        name: _observed(a, b, c, step, frames_per_run is None)
        for name, a, b, c in zip(names, one, other, both, strict=True)
    }
    (image,) = runner.inputs
    return {image.name: Observed(tuple(frames.shape[1:]), str(frames.dtype), True), **seen}


def _observed(one: Any, other: Any, both: Any, step: int, free: bool) -> Observed:
    if not isinstance(one, np.ndarray):
        return Observed((), "sequence", False)
    has_batch = one.ndim > 0 and len(one) == step and (not free or (both.ndim > 0 and len(both) == 2 * step))
    if one.shape[1:] != other.shape[1:] and one.ndim == other.ndim:
        axes = tuple(a if a == b else None for a, b in zip(one.shape[1:], other.shape[1:], strict=True))
        return Observed(axes, str(one.dtype), has_batch)
    return Observed(tuple(one.shape[1:] if has_batch else one.shape), str(one.dtype), has_batch)


def guess_outputs(
    model: onnx.ModelProto, tensors: Mapping[str, Observed], values: Sequence[NDArray[Any]]
) -> tuple[OutputSpec, ...]:
    """Every output with its shape and the kind that the graph and a run suggest; one is scores at most."""
    outputs: list[OutputSpec] = []
    for value, array in zip(model.graph.output, values, strict=True):
        shape = tensors[value.name].shape if value.name in tensors else tuple(array.shape[1:])
        kind = _kind(model, value.name, shape, array)
        if kind in ("logits", "probabilities") and any(output.is_scores for output in outputs):
            kind = "tensor"
        try:
            outputs.append(OutputSpec(value.name, kind, shape, str(array.dtype)))  # type: ignore[arg-type]  # checked there
        except ValueError as error:
            raise NetworkError(f"{error}; leave it out with --outputs NAME,...") from error
    return tuple(outputs)


def _kind(
    model: onnx.ModelProto, name: str, shape: tuple[int | None, ...], array: NDArray[Any]
) -> OutputKind:
    if len(shape) != 1 or None in shape or (shape[0] or 0) < 2 or array.dtype.kind != "f":
        return "tensor"
    rows = array.astype(np.float64)
    if rows.min() >= 0 and np.allclose(rows.sum(1), 1, atol=1e-2):
        return "probabilities"
    if np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-2):
        return "embedding"
    if any(word in name.lower() for word in _EMBEDDING_WORDS):
        return "embedding"
    return "logits" if _last_operator(model, name) in ("Gemm", "MatMul", "Add", "Conv") else "tensor"


def _last_operator(model: onnx.ModelProto, name: str) -> str:
    makers = {output: node for node in model.graph.node for output in node.output}
    while (node := makers.get(name)) is not None and node.op_type in _PASSES:
        name = node.input[0]
    return str(node.op_type) if node is not None else ""

"""What flows through a graph, seen by running it: the shape and type of every tensor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from siftfunnel.lab.onnx_graphs import constant_names, copy_of
from siftfunnel.lab.onnx_runner import Runner


@dataclass(frozen=True)
class Seen:
    """A tensor as two runs showed it.

    Attributes:
        shape: of one frame; an axis that the picture's values decide is None.
        dtype: NumPy's name of its type.
        has_batch: whether its first axis is the batch.
    """

    shape: tuple[int | None, ...]
    dtype: str
    has_batch: bool


def observe(model: onnx.ModelProto, frames: NDArray[Any], frames_per_run: int | None) -> Mapping[str, Seen]:
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
        name: _seen(a, b, c, step, frames_per_run is None)
        for name, a, b, c in zip(names, one, other, both, strict=True)
    }
    (image,) = runner.inputs
    return {image.name: Seen(tuple(frames.shape[1:]), str(frames.dtype), True), **seen}


def _seen(one: Any, other: Any, both: Any, step: int, free: bool) -> Seen:
    if not isinstance(one, np.ndarray):
        return Seen((), "sequence", False)
    has_batch = one.ndim > 0 and len(one) == step and (not free or (both.ndim > 0 and len(both) == 2 * step))
    if one.shape[1:] != other.shape[1:] and one.ndim == other.ndim:
        axes = tuple(a if a == b else None for a, b in zip(one.shape[1:], other.shape[1:], strict=True))
        return Seen(axes, str(one.dtype), has_batch)
    return Seen(tuple(one.shape[1:] if has_batch else one.shape), str(one.dtype), has_batch)

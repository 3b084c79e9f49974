"""Outputs of the cloud half on their way to a client: which ones it asks for, and how they stand in a reply.

names -> choose -> positions -> choice_as_text -> call metadata -> read_choice -> positions
arrays -> add_tensor -> Prediction.outputs -> read_tensors -> arrays
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.tensors import MAX_FEATURE_VALUES, OutputSpec

_SHOWN = 32


def choose(given: Sequence[OutputSpec], names: Iterable[str] | None) -> tuple[int, ...]:
    """Positions of outputs in a manifest's list.

    Args:
        given: `Manifest.given`.
        names: None asks for every output that is not the classes' scores.

    Raises:
        ValueError: a name that is none of theirs, or one that is asked for twice; lists what there is.

    >>> choose([OutputSpec("logits", "logits", (3,)), OutputSpec("e", "embedding", (8,))], None)
    (1,)
    """
    if names is None:
        return tuple(position for position, output in enumerate(given) if not output.is_scores)
    positions = {output.name: position for position, output in enumerate(given)}
    chosen = []
    for name in names:
        if name not in positions:
            listed = ", ".join(list(positions)[:_SHOWN]) + (", ..." if len(positions) > _SHOWN else "")
            raise ValueError(f"no output {name[:_SHOWN]!r} in this bundle; it has {listed}")
        chosen.append(positions[name])
    if len(set(chosen)) < len(chosen):
        raise ValueError("an output is asked for twice")
    return tuple(chosen)


def most_bytes(given: Sequence[OutputSpec], positions: Iterable[int], ceiling: int) -> int:
    """What some outputs of one frame take at most: their size, or the ceiling where pictures decide it."""
    total = 0
    for output in (given[position] for position in positions):
        if None in output.shape:
            return ceiling
        total += math.prod(axis or 0 for axis in output.shape) * _dtype(output).itemsize
    return min(total, ceiling)


def add_tensor(prediction: pb.Prediction, position: int, array: NDArray[np.generic]) -> None:
    """Put an output of one frame into a prediction.

    Args:
        prediction: is added to.
        position: of the output in the manifest's list.
        array: without the axis of the batch, of the manifest's type.
    """
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    prediction.outputs.add(output=position, shape=array.shape, data=data)


def read_tensors(
    tensors: Sequence[pb.Tensor], given: Sequence[OutputSpec], positions: Sequence[int], ceiling: int
) -> dict[str, NDArray[np.generic]]:
    """The outputs of a reply by name, in the order in which they were asked for; read-only, not copied.

    Args:
        tensors: what the reply holds; nothing in it is trusted.
        given: `Manifest.given`.
        positions: what was asked for.
        ceiling: what they may take together, bytes.

    Raises:
        ValueError: one is missing, was not asked for, is not of the manifest's shape and type, or all of them
            together are larger than the ceiling.
    """
    found: dict[int, NDArray[np.generic]] = {}
    if (total := sum(len(tensor.data) for tensor in tensors)) > ceiling:
        raise ValueError(f"outputs of {total} bytes, more than the {ceiling} that are taken")
    for tensor in tensors:
        if tensor.output not in positions:
            raise ValueError(f"output {tensor.output}, which was not asked for")
        if tensor.output in found:
            raise ValueError(f"output {given[tensor.output].name} twice")
        found[tensor.output] = _read(tensor, given[tensor.output])
    if missing := [given[position].name for position in positions if position not in found]:
        raise ValueError(f"no output {', '.join(missing)}; an older server knows none")
    return {given[position].name: found[position] for position in positions}


def _read(tensor: pb.Tensor, output: OutputSpec) -> NDArray[np.generic]:
    shape, dtype = tuple(tensor.shape), _dtype(output)
    told = f"output {output.name} of shape {shape[:8]} and {len(tensor.data)} bytes"
    if not output.fits(shape) or math.prod(max(axis, 1) for axis in shape) > MAX_FEATURE_VALUES:
        raise ValueError(f"{told}, the bundle says {output.dtype} {output.shape}")
    if math.prod(shape) * dtype.itemsize != len(tensor.data):
        raise ValueError(f"{told}, which do not go together as {output.dtype}")
    if output.dtype == "bool" and tensor.data.strip(b"\0\1"):
        raise ValueError(f"{told}, which are no booleans")
    values: NDArray[np.generic] = np.frombuffer(tensor.data, dtype).reshape(shape)
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def _dtype(output: OutputSpec) -> np.dtype[np.generic]:
    return np.dtype(output.dtype).newbyteorder("<")

"""Tensors that cross the wire: those between the halves, and those that the cloud half gives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

MAX_FEATURE_VALUES = 2**24
MAX_RANK = 6

OutputKind = Literal["logits", "probabilities", "embedding", "tensor"]
OutputType = Literal["float32", "float16", "float64", "int64", "int32", "uint8", "bool"]


@dataclass(frozen=True)
class FeatureSpec:
    """The feature of one frame as codecs, queues and attackers handle it.

    Attributes:
        channels: feature maps, at least 1.
        height: rows of a map.
        width: columns of a map.

    Raises:
        ValueError: a size below 1, or more than `MAX_FEATURE_VALUES` values.
    """

    channels: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or self.size > MAX_FEATURE_VALUES:
            raise ValueError(
                f"a feature needs 1 to {MAX_FEATURE_VALUES} values and no side of 0, not {self.shape}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (self.channels, self.height, self.width)

    @property
    def size(self) -> int:
        """Values in one feature tensor."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class TensorSpec:
    """A tensor between the halves: an output of the edge half and an input of the cloud half, float32.

    Attributes:
        name: in both graphs.
        shape: without the batch axis, which comes first in the graphs.

    Raises:
        ValueError: no name, no axis or more than `MAX_RANK`, an axis below 1, too many values.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a tensor between the halves needs a name")
        if not 1 <= len(self.shape) <= MAX_RANK or min(self.shape) < 1 or self.size > MAX_FEATURE_VALUES:
            raise ValueError(
                f"tensor {self.name}: needs 1 to {MAX_RANK} axes and 1 to {MAX_FEATURE_VALUES} values, "
                f"not {self.shape}"
            )

    @property
    def size(self) -> int:
        """Values in it."""
        return math.prod(self.shape)

    @property
    def as_feature(self) -> FeatureSpec:
        """Channels first, everything behind the second axis as one: how a codec with channels sees it."""
        height = self.shape[1] if len(self.shape) > 1 else 1
        return FeatureSpec(self.shape[0], height, math.prod(self.shape[2:]))


def pack(tensors: tuple[TensorSpec, ...]) -> FeatureSpec:
    """The feature of a frame of several tensors: one tensor as it is, several laid end to end, N x 1 x 1.

    >>> pack((TensorSpec("a", (2, 3, 4)), TensorSpec("b", (5,)))).shape
    (29, 1, 1)
    """
    if len(tensors) == 1:
        return tensors[0].as_feature
    return FeatureSpec(sum(tensor.size for tensor in tensors), 1, 1)


def pack_arrays(
    arrays: Sequence[NDArray[np.float32]], tensors: tuple[TensorSpec, ...]
) -> NDArray[np.float32]:
    """The tensors of some frames as the one array that codecs and queues handle, `pack(tensors)` each.

    Args:
        arrays: one for each tensor, [N, *its shape]; float32.
        tensors: `Manifest.sent`.

    Returns:
        [N, channels, height, width]; one tensor alone is not copied.

    Raises:
        ValueError: another number of arrays, or one of another shape or type; the text names the tensor.
    """
    if len(arrays) != len(tensors):
        raise ValueError(f"{len(tensors)} tensors are wanted, {len(arrays)} given")
    frames = len(arrays[0])
    for array, tensor in zip(arrays, tensors, strict=True):
        if array.dtype != np.float32 or array.shape != (frames, *tensor.shape):
            raise ValueError(
                f"tensor {tensor.name}: expected float32 of shape {(frames, *tensor.shape)}, "
                f"not {array.dtype} {array.shape}"
            )
    flat = [array.reshape(frames, tensor.size) for array, tensor in zip(arrays, tensors, strict=True)]
    return (flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)).reshape(frames, *pack(tensors).shape)


def unpack_array(
    features: NDArray[np.float32], tensors: tuple[TensorSpec, ...]
) -> tuple[NDArray[np.float32], ...]:
    """What `pack_arrays` packed: one array for each tensor, [N, *its shape], each contiguous.

    Raises:
        ValueError: features of another shape.
    """
    frames = len(features)
    if features.shape != (frames, *pack(tensors).shape):
        raise ValueError(f"features have shape {features.shape[1:]}, the tensors need {pack(tensors).shape}")
    ends = np.cumsum([tensor.size for tensor in tensors])
    parts = np.split(features.reshape(frames, pack(tensors).size), ends[:-1], axis=1)
    return tuple(
        np.ascontiguousarray(part).reshape(frames, *tensor.shape)
        for part, tensor in zip(parts, tensors, strict=True)
    )


@dataclass(frozen=True)
class OutputSpec:
    """An output of the cloud half.

    Attributes:
        name: in the graph, and what a client asks for.
        kind: "logits" and "probabilities" are scores of the manifest's classes, before and after softmax;
            "embedding" is a vector whose directions mean likeness; "tensor" is anything else.
        shape: without the batch axis; None is an axis whose length each picture decides.
        dtype: of its values.

    Raises:
        ValueError: no name, an unknown kind or type, an axis below 1, too many axes or values.
    """

    name: str
    kind: OutputKind
    shape: tuple[int | None, ...]
    dtype: OutputType = "float32"

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("an output needs a name")
        for word, words in ((self.kind, OutputKind), (self.dtype, OutputType)):
            if word not in get_args(words):
                raise ValueError(f"output {self.name}: {word!r} is none of {', '.join(get_args(words))}")
        known = [axis for axis in self.shape if axis is not None]
        if len(self.shape) > MAX_RANK or any(axis < 1 for axis in known):
            raise ValueError(f"output {self.name}: needs at most {MAX_RANK} axes of 1 or more: {self.shape}")
        if math.prod(known) > MAX_FEATURE_VALUES:
            raise ValueError(f"output {self.name}: more than {MAX_FEATURE_VALUES} values: {self.shape}")
        if self.kind != "tensor" and (len(self.shape) != 1 or None in self.shape):
            raise ValueError(f"output {self.name}: {self.kind} are one axis of known length: {self.shape}")

    @property
    def is_scores(self) -> bool:
        """Whether classes are ranked by it."""
        return self.kind in ("logits", "probabilities")

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array without its batch axis may be this output."""
        return len(shape) == len(self.shape) and all(
            wanted in (None, found) for wanted, found in zip(self.shape, shape, strict=True)
        )

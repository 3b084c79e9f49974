"""A foreign graph made ready to be cut: shapes known, constants folded, its batch free where that is sound.

    as read -> one input shape -> ONNX Runtime's basic optimiser (constants, padding, BatchNorm, Identity)
            -> batch freed -> compared with the network as read, and a batch of two with two batches of one

What does not compute the same is not used: the next gentler way is tried, at last the graph as it was read.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from siftfunnel.lab.onnx_graphs import (
    RANDOM,
    NetworkError,
    all_nodes,
    copy_of,
    exceeds_protobuf,
    given_inputs,
    rename,
    set_shape,
    subgraphs,
    type_name,
    weights,
)
from siftfunnel.lab.onnx_runner import (
    Runner,
    open_session,
    relative_difference,
    session_options,
)

TOLERANCE = 1e-3
ROUGH_TOLERANCE = 3e-2
"""For half precision and eight bits, where another order of the same sums rounds to another step."""
NUMPY_TYPES: dict[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.UINT8: np.uint8,
}
_IN_SINGLE = "InsertedPrecisionFreeCast_"
"""Before a tensor's name where ONNX Runtime computes in single precision what a graph has in half."""
_ROUGH_TYPES = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.UINT8)


@dataclass(frozen=True)
class Prepared:
    """A graph that can be cut.

    Attributes:
        model: computes what the network as read computes.
        frames_per_run: frames it takes at once where that number could not be freed, else None.
        difference: from the network as read, relative to its largest value; None where it draws noise.
        notes: what was done and found, for people.
    """

    model: onnx.ModelProto
    frames_per_run: int | None
    difference: float | None
    notes: tuple[str, ...]


def prepare(model: onnx.ModelProto, shape: tuple[int, ...], batch: int | None) -> Prepared:
    """Fold and free a graph with one input.

    Args:
        model: With weights, and none of them among its inputs.
        shape: Of one frame as the input takes it.
        batch: Frames at once that the graph says it takes; None where they are free.

    Raises:
        NetworkError: the network as read does not run, or gives an output whose first axis is no batch.
    """
    original = with_batch(model, shape, batch or 1)
    frames = random_frames(model, (2 * (batch or 1), *shape))
    reference = Runner(original, batch or 1, optimise=False)
    expected = reference(frames)
    stochastic = draws_noise(model) and _differs(reference(frames), expected)
    rough = is_rough(model)
    for make, fixed in _ways(model, shape, batch):
        try:
            candidate = make()
            found = Runner(candidate, fixed)(frames)
            if not stochastic and fixed is None:
                _require_equal(Runner(candidate, 1)(frames), found, rough)
            difference = None if stochastic else _require_equal(found, expected, rough)
        except NetworkError:
            continue
        return Prepared(candidate, fixed, difference, _notes(model, candidate, fixed, stochastic))
    raise NetworkError("the network runs neither as it is nor prepared: two runs of it differ")


def random_frames(model: onnx.ModelProto, shape: tuple[int, ...]) -> NDArray[Any]:
    """Values of the input's type from a fixed seed: 0 to 255 where it takes bytes, else mostly -2 to 2.

    Raises:
        NetworkError: an input of another type.
    """
    (value,) = given_inputs(model.graph)
    kind = NUMPY_TYPES.get(value.type.tensor_type.elem_type)
    if kind is None:
        name = type_name(value.type.tensor_type.elem_type)
        raise NetworkError(f"input {value.name} takes {name}; pictures go in as float32, float16 or uint8")
    rng = np.random.default_rng(0)
    if kind is np.uint8:
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape).astype(kind)


def draws_noise(model: onnx.ModelProto) -> bool:
    """Whether a node draws random values."""
    return any(
        node.op_type in RANDOM or (node.op_type == "Dropout" and len(node.input) > 2)
        for node in all_nodes(model.graph)
    )


def is_rough(model: onnx.ModelProto) -> bool:
    """Whether it computes in half precision or eight bits."""
    stored = {tensor.data_type for tensor in model.graph.initializer}
    quantised = any("Quantize" in node.op_type for node in model.graph.node)
    return quantised or not stored.isdisjoint(_ROUGH_TYPES)


def with_batch(model: onnx.ModelProto, shape: tuple[int, ...], batch: int | str) -> onnx.ModelProto:
    """A copy that takes so many frames of a shape, or any number under a name; other shapes are left open."""
    copy = copy_of(model)
    set_shape(copy.graph.input[0], (batch, *shape))
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    return copy


def _ways(
    model: onnx.ModelProto, shape: tuple[int, ...], batch: int | None
) -> Iterator[tuple[Callable[[], onnx.ModelProto], int | None]]:
    """Ways to prepare, the most thorough first, with the frames per run that each leaves."""
    fixed, free = with_batch(model, shape, batch or 1), with_batch(model, shape, "N")
    yield lambda: free_batch(fold(fixed), shape, batch or 1), None
    if batch is None:
        yield lambda: fold(free), None
        yield lambda: free, None
    yield lambda: fold(fixed), batch or 1
    yield lambda: fixed, batch or 1


def fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """What ONNX Runtime's optimiser makes of a graph at the level that keeps to standard operators.

    Raises:
        NetworkError: ONNX Runtime cannot load it.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "folded.onnx"
        options = session_options(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)
        options.optimized_model_filepath = str(place)
        if exceeds_protobuf(model):
            options.add_session_config_entry(
                "session.optimized_model_external_initializers_file_name", "folded.bin"
            )
        open_session(model, options)
        folded = onnx.load(str(place))
    used = {node.domain for node in all_nodes(folded.graph)}
    kept = [entry for entry in folded.opset_import if entry.domain in used | {""}]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    del folded.graph.value_info[:]
    _take_names_back(folded)
    return folded


def _take_names_back(model: onnx.ModelProto) -> None:
    """Give tensors of half precision that are computed in single precision the names they had."""
    nodes = list(all_nodes(model.graph))
    made = [name for node in nodes for name in node.output]
    taken = {*made, *weights(model.graph), *(value.name for value in model.graph.input)}
    back = {name: name.removeprefix(_IN_SINGLE) for name in made if name.startswith(_IN_SINGLE)}
    back = {name: old for name, old in back.items() if old not in taken}
    rename(model.graph.node, back)


def free_batch(model: onnx.ModelProto, shape: tuple[int, ...], batch: int) -> onnx.ModelProto:
    """A copy with a free first axis: shapes that hold the batch as a number take it from their input."""
    copy = with_batch(model, shape, "N")
    stored = weights(copy.graph)
    changed: dict[str, str] = {}
    for node in copy.graph.node:
        if node.op_type == "Reshape" and node.input[1] in stored:
            node.input[1] = _freed_target(copy.graph, stored[node.input[1]], batch, changed)
    return copy


def _freed_target(graph: onnx.GraphProto, target: TensorProto, batch: int, changed: dict[str, str]) -> str:
    axes = numpy_helper.to_array(target).copy()
    if not axes.size or axes[0] != batch:
        return str(target.name)
    if target.name not in changed:
        axes[0] = 0 if -1 in axes else -1
        changed[target.name] = f"{target.name}_any_batch"
        graph.initializer.append(numpy_helper.from_array(axes, changed[target.name]))
    return changed[target.name]


def _differs(found: tuple[NDArray[Any], ...], expected: tuple[NDArray[Any], ...]) -> bool:
    pairs = zip(found, expected, strict=True)
    return any(relative_difference(a, b) > 0 for a, b in pairs)


def _require_equal(found: tuple[NDArray[Any], ...], expected: tuple[NDArray[Any], ...], rough: bool) -> float:
    difference = max(relative_difference(a, b) for a, b in zip(found, expected, strict=True))
    if not difference <= (ROUGH_TOLERANCE if rough else TOLERANCE):
        raise NetworkError(f"prepared, the network's outputs differ by {difference:.1e} of the largest value")
    return difference


def _notes(
    before: onnx.ModelProto, after: onnx.ModelProto, fixed: int | None, stochastic: bool
) -> tuple[str, ...]:
    notes = [f"{len(before.graph.node)} nodes, {len(after.graph.node)} once prepared"]
    if fixed is not None:
        notes.append(
            f"its batch of {fixed} is part of what it computes and stays: {fixed} frames in a run, filled up"
        )
    if stochastic:
        notes.append("it draws noise, so two runs differ and nothing can be compared value by value")
    flow = sorted({node.op_type for node in all_nodes(after.graph) if any(subgraphs(node))})
    if flow:
        notes.append(f"control flow ({', '.join(flow)}) is kept whole: a cut goes before or after it")
    return tuple(notes)

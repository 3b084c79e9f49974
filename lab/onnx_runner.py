"""Running any ONNX graph on the CPU: from memory or a file, many inputs and outputs, fixed batches, any size.

run = Runner(Path("half.onnx"))
(scores,) = run(frames)             # arrays in, arrays out; the first axis of each is the batch
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from siftfunnel.lab.onnx_graphs import NetworkError, copy_of, exceeds_protobuf
from siftfunnel.lab.turns import interleaved_times_ms
from siftfunnel.shared import graphs

BATCH = 100
VALUES_AT_ONCE = 2**22
"""Of one input, in a run of a graph that takes any number of frames."""
TIMED_RUNS = 15
NUMPY_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    **{f"tensor({name})": name for name in ("uint8", "int8", "int32", "int64", "bool")},
}
"""NumPy's names of ONNX Runtime's types."""
_LEVELS = onnxruntime.GraphOptimizationLevel

Graph = onnx.ModelProto | bytes | Path


@dataclass(frozen=True)
class End:
    """An input or output as a graph describes it.

    Attributes:
        name: In the graph.
        type: ONNX Runtime's word for it.
        shape: With the batch; a free axis is its name or None.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]

    @property
    def dtype(self) -> str | None:
        """NumPy's name of the type; None where it has none."""
        return NUMPY_TYPES.get(self.type)


class Runner:
    """A graph that is run on arrays whose first axis is the batch.

    Args:
        graph: In memory, of any size, or its file; weights in other files lie beside that.
        frames_per_run: Frames that it takes at once where that number is fixed in it; None believes what its
            inputs say.
        threads: CPU threads.
        optimise: False runs the graph node by node as it stands.

    Attributes:
        frames_per_run: Likewise; None where any number is taken.
        inputs: In the graph's order.
        outputs: In the graph's order.

    Raises:
        NetworkError: ONNX Runtime cannot load it.
    """

    def __init__(
        self, graph: Graph, frames_per_run: int | None = None, *, threads: int = 1, optimise: bool = True
    ) -> None:
        level = _LEVELS.ORT_ENABLE_ALL if optimise else _LEVELS.ORT_DISABLE_ALL
        self._session = open_session(graph, session_options(level, threads))
        self.inputs = _ends(self._session.get_inputs())
        self.outputs = _ends(self._session.get_outputs())
        self.frames_per_run = frames_per_run or _told_batch(self.inputs)

    def __call__(self, *arrays: NDArray[Any], names: Sequence[str] = ()) -> tuple[NDArray[Any], ...]:
        """One array per input in, one per output out, batch by batch; a fixed batch is filled up.

        Args:
            arrays: In the inputs' order.
            names: Of the outputs that are wanted, in this order; none takes all.

        Raises:
            NetworkError: ONNX Runtime refuses the values, or an output's first axis is no batch.
        """
        step = self.frames_per_run or frames_at_once(arrays)
        parts = [
            self._piece([array[start : start + step] for array in arrays], names)
            for start in range(0, len(arrays[0]), step)
        ]
        return tuple(np.concatenate(values) for values in zip(*parts, strict=True))

    def first(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        """The first output alone, as of a graph that has one."""
        return self(*arrays, names=[self.outputs[0].name])[0]

    def _piece(self, arrays: Sequence[NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
        frames = len(arrays[0])
        missing = (self.frames_per_run or frames) - frames
        if missing:
            arrays = [np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for array in arrays]
        outputs = self.raw(*arrays, names=names)
        self._require_batch(outputs, frames + missing, names)
        return [output[:frames] for output in outputs] if missing else outputs

    def _require_batch(self, outputs: Sequence[NDArray[Any]], frames: int, names: Sequence[str]) -> None:
        told = names or [end.name for end in self.outputs]
        bad = [
            f"{name} {getattr(output, 'shape', 'sequence')}"
            for name, output in zip(told, outputs, strict=True)
            if not isinstance(output, np.ndarray) or output.ndim == 0 or len(output) != frames
        ]
        if bad:
            raise NetworkError(
                f"of {frames} frames in a run the first axis of {', '.join(bad)} is no batch: leave such "
                "outputs out (--outputs NAME,...), or export the network with a dynamic batch and without "
                "what merges frames"
            )

    def raw(self, *arrays: NDArray[Any], names: Sequence[str] = ()) -> list[NDArray[Any]]:
        """One run with the arrays as they are.

        Raises:
            NetworkError: ONNX Runtime refuses them.
        """
        fed = {end.name: np.ascontiguousarray(a) for end, a in zip(self.inputs, arrays, strict=True)}
        try:
            outputs: list[NDArray[Any]] = self._session.run(list(names) or None, fed)
        except Exception as error:  # ONNX Runtime's own errors share no public class
            raise NetworkError(f"ONNX Runtime cannot run the network: {_first_line(error)}") from error
        return outputs

    def milliseconds(self, *arrays: NDArray[Any]) -> float:
        """Median time of one frame on this machine, of runs of as few frames as the graph takes."""
        step = self.frames_per_run or 1
        once = [array[:step] for array in arrays]
        times_ms = interleaved_times_ms({"run": lambda: self(*once)}, TIMED_RUNS)["run"]
        return round(float(np.median(times_ms)) / step, 3)


def frames_at_once(arrays: Sequence[NDArray[Any]]) -> int:
    """Frames of a run where any number is taken: of large ones fewer, so that memory stays bounded."""
    values = max((array[0].size for array in arrays if len(array)), default=1)
    return max(1, min(BATCH, VALUES_AT_ONCE // max(values, 1)))


def _ends(found: Sequence[Any]) -> tuple[End, ...]:
    return tuple(End(end.name, end.type, tuple(end.shape)) for end in found)


def _told_batch(inputs: Sequence[End]) -> int | None:
    """The number of frames that all inputs say; None where one leaves it free."""
    told = {end.shape[0] if end.shape else None for end in inputs}
    (batch,) = told if len(told) == 1 else (None,)
    return batch if isinstance(batch, int) and batch > 0 else None


def session_options(level: Any, threads: int = 1) -> Any:
    """Options for quiet, single-minded sessions."""
    options = graphs.session_options(threads, spins=True)
    options.log_severity_level = 4
    options.graph_optimization_level = level
    return options


def open_session(graph: Graph, options: Any) -> Any:
    """A session of a graph; one in memory that protobuf cannot serialise goes through a temporary folder.

    Raises:
        NetworkError: ONNX Runtime cannot load it; the text has its reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = _source(graph, Path(folder))
        try:
            return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no public class
            raise NetworkError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load the network: {_first_line(error)}"
            ) from error


def _source(graph: Graph, folder: Path) -> bytes | str:
    if isinstance(graph, Path):
        return str(graph)
    if isinstance(graph, bytes):
        return graph
    return _stored(graph, folder) if exceeds_protobuf(graph) else bytes(graph.SerializeToString())


def _stored(model: onnx.ModelProto, folder: Path) -> str:
    place = folder / "network.onnx"
    # saving moves the weights out of the message that it is given
    onnx.save_model(copy_of(model), str(place), save_as_external_data=True, location="weights.bin")
    return str(place)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def relative_difference(value: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference, divided by the largest value; infinity where shapes differ.

    >>> relative_difference(np.float32([1, 2]), np.float32([1, 4]))
    0.5
    """
    if value.shape != expected.shape:
        return float("inf")
    if not value.size or np.array_equal(value, expected, equal_nan=value.dtype.kind == "f"):
        return 0.0
    a, b = value.astype(np.float64), expected.astype(np.float64)
    largest = float(np.abs(b).max()) or 1.0
    difference = float(np.abs(a - b).max()) / largest
    return difference if np.isfinite(difference) else float("inf")

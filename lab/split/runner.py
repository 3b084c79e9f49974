"""Running any graph with ONNX Runtime on the CPU: many inputs and outputs, fixed batches, any size."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from siftfunnel.lab.split.graphs import NetworkError, copy_of, exceeds_protobuf

BATCH = 16
_LEVELS = onnxruntime.GraphOptimizationLevel


class Runner:
    """A graph that is run on arrays whose first axis is the batch.

    Args:
        model: Of any size.
        frames_per_run: Frames that the graph takes at once where that number is fixed in it.
        threads: CPU threads.
        optimise: False runs the graph node by node as it stands.

    Raises:
        NetworkError: ONNX Runtime cannot run it.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        frames_per_run: int | None = None,
        *,
        threads: int = 1,
        optimise: bool = True,
    ) -> None:
        level = _LEVELS.ORT_ENABLE_ALL if optimise else _LEVELS.ORT_DISABLE_ALL
        self._session = open_session(model, session_options(level, threads))
        self._fixed = frames_per_run
        self.inputs: list[str] = [value.name for value in self._session.get_inputs()]
        self.outputs: list[str] = [value.name for value in self._session.get_outputs()]

    def __call__(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """One array per input in, one per output out, batch by batch; a fixed batch is filled up.

        Raises:
            NetworkError: ONNX Runtime refuses the values.
        """
        step = self._fixed or BATCH
        parts = [
            self._piece([array[start : start + step] for array in arrays])
            for start in range(0, len(arrays[0]), step)
        ]
        return tuple(np.concatenate(values) for values in zip(*parts, strict=True))

    def _piece(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        frames = len(arrays[0])
        missing = (self._fixed or frames) - frames
        if missing:
            arrays = [np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for array in arrays]
        outputs = self.raw(*arrays)
        return [output[:frames] for output in outputs] if missing else outputs

    def raw(self, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        """One run with the arrays as they are."""
        fed = {name: np.ascontiguousarray(a) for name, a in zip(self.inputs, arrays, strict=True)}
        try:
            outputs: list[NDArray[Any]] = self._session.run(None, fed)
        except Exception as error:  # ONNX Runtime's own errors share no public class
            raise NetworkError(f"ONNX Runtime cannot run the network: {_first_line(error)}") from error
        return outputs


def session_options(level: Any, threads: int = 1) -> Any:
    """Options for quiet, single-minded sessions."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4
    options.graph_optimization_level = level
    return options


def open_session(model: onnx.ModelProto, options: Any) -> Any:
    """A session of a graph in memory; one that protobuf cannot serialise goes through a temporary folder.

    Raises:
        NetworkError: ONNX Runtime cannot load it; the text has its reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        source: bytes | str = _stored(model, Path(folder)) if exceeds_protobuf(model) else _bytes(model)
        try:
            return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors share no public class
            raise NetworkError(
                f"ONNX Runtime {onnxruntime.__version__} cannot load the network: {_first_line(error)}"
            ) from error


def _bytes(model: onnx.ModelProto) -> bytes:
    data: bytes = model.SerializeToString()
    return data


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

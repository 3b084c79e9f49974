"""Running an exported half with ONNX Runtime, on one thread, in batches."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

BATCH = 100


class OnnxModel:
    """A model with one input and one output, from a file or from its bytes."""

    def __init__(self, model: bytes | Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else model
        self._session: Any = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run all of ``values`` (the first axis is the batch)."""
        outputs = [
            self._session.run(None, {self._input: np.ascontiguousarray(values[start : start + BATCH])})[0]
            for start in range(0, len(values), BATCH)
        ]
        return np.concatenate(outputs)

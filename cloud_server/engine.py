"""The cloud half behind one small interface; `ENGINES` lists what can run it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

INPUT, OUTPUT = "feature", "logits"


class EngineError(ValueError):
    """A cloud half that cannot be opened or does not fit its manifest; the text names the file."""


class Engine(Protocol):
    """Runs the cloud half. Called from worker threads, several at a time."""

    def run(self, features_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, K] for N feature tensors; any exception means that this batch failed."""


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is told when it opens.

    Attributes:
        threads: threads for one run of the model, at least 1.

    Raises:
        ValueError: threads below 1.
    """

    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"an engine needs at least 1 thread, not {self.threads}")


class OnnxRuntimeEngine:
    """`cloud.onnx` on the CPU with ONNX Runtime.

    Raises:
        EngineError: the file is not a model, or its input or output is not the one agreed on.
    """

    def __init__(self, model_path: Path, options: EngineOptions) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        # Spinning threads would take the core that the streams need.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                model_path.read_bytes(), settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise EngineError(f"{model_path}: ONNX Runtime cannot load it: {error}") from error
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = [value.name for value in self._session.get_outputs()]
        if inputs != [INPUT] or outputs != [OUTPUT]:
            raise EngineError(
                f"{model_path}: needs one input {INPUT!r} and one output {OUTPUT!r}, "
                f"has {inputs} and {outputs}; export the bundle again"
            )

    def run(self, features_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, K]; the lock of the interpreter is free meanwhile."""
        return cast("NDArray[np.float32]", self._session.run([OUTPUT], {INPUT: features_NCHW})[0])


EngineFactory = Callable[[Path, EngineOptions], Engine]

ENGINES: Mapping[str, EngineFactory] = {"onnxruntime": OnnxRuntimeEngine}


def open_engine(name: str, model_path: Path, options: EngineOptions) -> Engine:
    """Open a model with the engine of that name.

    Raises:
        EngineError: unknown name, or the engine refuses the model.
    """
    if name not in ENGINES:
        raise EngineError(f"unknown engine {name!r}; known: {', '.join(ENGINES)}")
    return ENGINES[name](model_path, options)


def warm_up(engine: Engine, shape: tuple[int, int, int], num_classes: int, max_batch_size: int) -> None:
    """Run one frame and a full batch, so that no stream pays for the first run, and check the sizes.

    Raises:
        EngineError: the model fails or does not give one logit per class.
    """
    for batch_size in sorted({1, max_batch_size}):
        try:
            logits = engine.run(np.zeros((batch_size, *shape), np.float32))
        except Exception as error:
            raise EngineError(f"the model does not take features of shape {shape}: {error}") from error
        if logits.shape != (batch_size, num_classes):
            raise EngineError(
                f"the model gives {logits.shape} for {batch_size} frames, the manifest's {num_classes} "
                f"classes need {(batch_size, num_classes)}; export the bundle again"
            )

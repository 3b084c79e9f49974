"""An ONNX edge half in the attacker's hands: with gradients where every operator is known, else queried."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.preprocess import InputSpec

BATCH = 100

Edge = Callable[[Tensor], Tensor]


class EdgeError(ValueError):
    """An ONNX half that cannot be audited: says what is wrong with it and what to do."""


class OnnxHalf:
    """A half with one input, run by ONNX Runtime; also one that was exported for a fixed batch.

    Args:
        path: The model.
        threads: CPU threads.

    Raises:
        EdgeError: not a model, or one with several inputs.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        if not path.is_file():
            raise EdgeError(f"{path}: no such file")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # ONNX Runtime raises one class per kind of damage, all of them below Exception only
            raise EdgeError(f"{path}: not a model that ONNX Runtime loads ({error})") from None
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise EdgeError(f"{path}: takes {len(inputs)} inputs; an edge half takes one, the picture")
        self._input = inputs[0].name
        self._path = path
        fixed = inputs[0].shape[0] if inputs[0].shape else None
        self._batch = fixed if isinstance(fixed, int) and fixed > 0 else None

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first output for all of ``values``; the first axis is the batch.

        Raises:
            EdgeError: the model does not take values of this shape.
        """
        step = self._batch or BATCH
        parts = [self._run(values[start : start + step]) for start in range(0, len(values), step)]
        return np.concatenate(parts)

    def _run(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        missing = (self._batch or len(part)) - len(part)
        padded = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
        try:
            output = self._session.run(None, {self._input: np.ascontiguousarray(padded)})[0]
        except Exception as error:
            raise EdgeError(
                f"{self._path}: does not run on {part.dtype} values of shape {part.shape[1:]} ({error}); "
                "check the input and feature shapes in the spec or manifest"
            ) from None
        return np.asarray(output[: len(part)], dtype=np.float32)


@dataclass(frozen=True)
class LoadedEdge:
    """An edge half and the access that it gives.

    Attributes:
        edge: Normalised pictures to features.
        white_box: Whether gradients pass.
        reason: Why, for the report.
    """

    edge: Edge
    white_box: bool
    reason: str


def queried(half: OnnxHalf) -> Edge:
    """An edge that answers queries and gives no gradients."""

    def edge(x_NCHW: Tensor) -> Tensor:
        return torch.from_numpy(half(x_NCHW.detach().cpu().float().numpy())).to(x_NCHW.device)

    return edge


def load_edge(path: Path, device: torch.device, *, black_box: bool = False) -> LoadedEdge:
    """The edge half with gradients if every operator of its graph is understood.

    Args:
        path: The model.
        device: Where it computes.
        black_box: Query it only.
    """
    half = OnnxHalf(path)
    if black_box:
        return LoadedEdge(
            queried(half), False, "the edge half is queried, as agreed for one that is not ours"
        )
    from shared.onnx_torch import OnnxModule, UnsupportedOperatorError

    try:
        module = OnnxModule(onnx.load(str(path))).to(device).eval().requires_grad_(False)
    except UnsupportedOperatorError as error:
        return LoadedEdge(queried(half), False, f"no gradients through the edge half: {error}")
    return LoadedEdge(module, True, "every operator of the edge half is known, so gradients pass")


def probe_edge(
    edge: Edge, spec: InputSpec, feature: tuple[int, ...], device: torch.device, name: str
) -> None:
    """Refuse an edge half that does not do what its spec or manifest says.

    Raises:
        EdgeError: another shape, values that are no numbers, or the same feature for different pictures.
    """
    x_NCHW = torch.rand(2, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z = edge(x_NCHW.to(device))
    if tuple(z.shape[1:]) != feature:
        raise EdgeError(
            f"{name}: the edge half makes features of shape {list(z.shape[1:])}, {list(feature)} is promised"
        )
    if not bool(torch.isfinite(z).all()):
        raise EdgeError(f"{name}: the edge half makes values that are no numbers of a random picture")
    if bool((z[0] == z[1]).all()):
        raise EdgeError(f"{name}: the edge half makes the same feature of two pictures; nothing is sent")

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

from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.preprocess import InputSpec

BATCH = 100

Edge = Callable[[Tensor], Tensor]

_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_CLOSE = 1e-3
"""What two runs of a graph may differ by, of the largest value: half precision, other ways to add up."""


class EdgeError(ValueError):
    """An ONNX half that cannot be audited: says what is wrong with it and what to do."""


class OnnxHalf:
    """A half with one input and one output, run by ONNX Runtime; also one exported for a fixed batch.

    Args:
        path: The model.
        threads: CPU threads.
        takes_pictures: Whether its input is pictures: one with channels last then gets them so, and one of
            ``uint8`` gets pictures of [0, 1] as 0 to 255.

    Raises:
        EdgeError: not a model, several inputs or outputs, or an input of a type that is neither a picture's
            nor a feature's.
    """

    def __init__(self, path: Path, threads: int = 1, *, takes_pictures: bool = False) -> None:
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
        self._path = path
        taken = self._only(self._session.get_inputs(), "takes", "input")
        self._only(self._session.get_outputs(), "gives", "output")
        self._input = taken.name
        self._dtype = self._type_of(taken, takes_pictures)
        shape = taken.shape
        self._channels_last = takes_pictures and len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        self._batch = shape[0] if shape and isinstance(shape[0], int) and shape[0] > 0 else None

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes pictures of 0 to 255."""
        return bool(self._dtype == np.uint8)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output for all of ``values``; the first axis is the batch.

        Raises:
            EdgeError: the model does not take values of this shape.
        """
        try:
            return self._batches(values, self._batch or BATCH)
        except EdgeError:
            if self._batch is not None or len(values) < 2:
                raise
        # a graph may say that it takes any batch and still hold the one it was exported with
        made = self._batches(values, 1)
        self._batch = 1
        return made

    def _batches(self, values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        parts = [self._run(values[start : start + step]) for start in range(0, len(values), step)]
        return np.concatenate(parts)

    def _run(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        missing = (self._batch or len(part)) - len(part)
        padded = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
        try:
            output = np.asarray(self._session.run(None, {self._input: self._as_taken(padded)})[0])
        except Exception as error:
            raise EdgeError(
                f"{self._path}: does not run on a batch of {len(padded)} values of shape {part.shape[1:]} "
                f"({error}); check the input and feature shapes in the spec or manifest"
            ) from None
        if output.ndim == 0 or len(output) != len(padded):
            raise EdgeError(
                f"{self._path}: makes an output of shape {output.shape} of a batch of {len(padded)}; a batch "
                "is fixed within the graph: export it with a dynamic one"
            )
        return output[: len(part)].astype(np.float32)

    def _as_taken(self, values: NDArray[np.float32]) -> NDArray[Any]:
        if self._channels_last:
            values = values.transpose(0, 2, 3, 1)
        if self.takes_bytes:
            values = (values * 255).round().clip(0, 255)
        return np.ascontiguousarray(values, dtype=self._dtype)

    def _only(self, ends: list[Any], verb: str, what: str) -> Any:
        if len(ends) != 1:
            listed = ", ".join(f"{end.name} {end.shape}" for end in ends)
            raise EdgeError(
                f"{self._path}: {verb} {len(ends)} {what}s ({listed}), and a half has one. All that leaves "
                f"an edge half is sent, so an audit of one {what} says too little: join them in the graph"
            )
        return ends[0]

    def _type_of(self, taken: Any, takes_pictures: bool) -> Any:
        dtype = _TYPES.get(taken.type)
        if dtype is None or (dtype == np.uint8 and not takes_pictures):
            raise EdgeError(
                f"{self._path}: its input {taken.name!r} is of type {taken.type}; a half takes float, "
                "float16 or double, an edge half also uint8 pictures: convert within the graph"
            )
        return dtype


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


def load_edge(path: Path, device: torch.device, spec: InputSpec, *, black_box: bool = False) -> LoadedEdge:
    """The edge half with gradients if every operator of its graph is understood.

    Args:
        path: The model.
        device: Where it computes.
        spec: Size and normalisation of its pictures.
        black_box: Query it only.

    Raises:
        EdgeError: it cannot be audited.
    """
    half = OnnxHalf(path, takes_pictures=True)
    if half.takes_bytes and (any(spec.mean) or any(value != 1 for value in spec.std)):
        raise EdgeError(
            f"{path}: takes pictures of 0 to 255, so it normalises them itself; give mean 0 and std 1, not "
            f"mean {list(spec.mean)} and std {list(spec.std)}"
        )
    _refuse_training_mode(path)
    if black_box:
        return LoadedEdge(
            queried(half), False, "the edge half is queried, as agreed for one that is not ours"
        )
    from siftfunnel.shared.onnx_torch import OnnxModule, UnsupportedOperatorError

    try:
        module = OnnxModule(onnx.load(str(path))).to(device).eval().requires_grad_(False)
    except UnsupportedOperatorError as error:
        return LoadedEdge(queried(half), False, f"no gradients through the edge half: {error}")
    return LoadedEdge(module, True, "every operator of the edge half is known, so gradients pass")


def _refuse_training_mode(path: Path) -> None:
    """Refuse a BatchNormalization that normalises by its batch; its state changes, which looks like noise."""
    for node in onnx.load(str(path), load_external_data=False).graph.node:
        if node.op_type == "BatchNormalization" and any(
            entry.name == "training_mode" and entry.i for entry in node.attribute
        ):
            raise EdgeError(
                f"{path}: {node.name or 'a BatchNormalization'} is in training mode, so a picture's feature "
                "depends on those before it and beside it; export the network in evaluation mode"
            )


def probe_edge(
    edge: Edge, spec: InputSpec, feature: tuple[int, ...], device: torch.device, name: str
) -> bool:
    """Refuse an edge half that does not do what its spec or manifest says.

    Returns:
        Whether the graph draws noise of its own: the same picture twice, two features.

    Raises:
        EdgeError: another shape, values that are no numbers, the same feature for different pictures, or a
            feature that depends on the other pictures of its batch.
    """
    generator = torch.Generator().manual_seed(0)
    # of differing brightness: statistics of a batch would hardly change between equally bright ones
    brightness = torch.tensor([1.0, 0.6, 0.1]).view(3, 1, 1, 1)
    x_NCHW = (torch.rand(3, 3, spec.height, spec.width, generator=generator) * brightness).to(device)
    with torch.no_grad():
        z, again, beside_another = edge(x_NCHW[:2]), edge(x_NCHW[:2]), edge(x_NCHW[[0, 2]])
        alone = edge(x_NCHW[:1])
    if tuple(z.shape[1:]) != feature:
        raise EdgeError(
            f"{name}: the edge half makes features of shape {list(z.shape[1:])}, {list(feature)} is promised"
        )
    if not bool(torch.isfinite(z).all()):
        raise EdgeError(f"{name}: the edge half makes values that are no numbers of a random picture")
    if bool((z[0] == z[1]).all()):
        raise EdgeError(f"{name}: the edge half makes the same feature of two pictures; nothing is sent")
    if not _is_close(z, again):
        return True
    if not (_is_close(z[:1], beside_another[:1]) and _is_close(z[:1], alone)):
        raise EdgeError(
            f"{name}: a picture's feature depends on the other pictures of its batch, which a device does "
            "not have; export the network in evaluation mode, and with a dynamic batch"
        )
    return False


def _is_close(a: Tensor, b: Tensor) -> bool:
    return float((a - b).abs().max()) <= _CLOSE * float(a.abs().max())


def digest_of_graphs(*paths: Path) -> str:
    """SHA-256 over graphs with all of their weights, those in other files included.

    Raises:
        EdgeError: a file that is no graph, or weights that are not where it says.
    """
    try:
        whole = [onnx.load(str(path)).SerializeToString(deterministic=True) for path in paths]
    except Exception as error:
        # protobuf's and onnx's own classes, without a stable place to import them from
        raise EdgeError(f"{', '.join(map(str, paths))}: not complete ONNX models ({error})") from None
    return sha256_hex(b"".join(sha256_hex(graph).encode() for graph in whole))

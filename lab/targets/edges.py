"""An ONNX edge half in the attacker's hands: with gradients where every operator is known, else queried."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siftfunnel.lab.graphs.graph_input import graph_input, is_plain
from siftfunnel.lab.onnx_graphs import NetworkError
from siftfunnel.lab.onnx_runner import End, Runner
from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.onnx_torch import OnnxModule, UnsupportedOperatorError
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shared.tensors import TensorSpec, pack_arrays, unpack_array

Edge = Callable[[Tensor], Tensor]

_TYPES = ("float32", "float16", "float64", "uint8")
_CLOSE = 1e-3
"""What two runs of a graph may differ by, of the largest value: half precision, other ways to add up."""


class EdgeError(ValueError):
    """An ONNX half that cannot be audited: says what is wrong with it and what to do."""


class OnnxHalf:
    """A half run by ONNX Runtime; also one exported for a fixed batch, or with several tensors at the cut.

    Args:
        path: The model; names it in errors.
        takes_pictures: Whether its input is pictures, which may be of ``uint8``.
        tensors: What lies between the halves where that is several tensors: they are packed behind an edge
            half, and unpacked before a cloud half, as they travel.
        several: Whether it may give several outputs: a cloud half's answers.

    Raises:
        EdgeError: not a model, several inputs or outputs that nobody named, one that is named and not there,
            or an input of a type that is neither a picture's nor a feature's.
    """

    def __init__(
        self,
        path: Path,
        *,
        takes_pictures: bool = False,
        tensors: Sequence[TensorSpec] = (),
        several: bool = False,
    ) -> None:
        if not path.is_file():
            raise EdgeError(f"{path}: no such file")
        try:
            self._runner = Runner(path)
        except NetworkError as error:
            raise EdgeError(f"{path}: not a model that ONNX Runtime loads ({error})") from None
        self._path = path
        names = [tensor.name for tensor in tensors] if len(tensors) > 1 else []
        taken, given = self._runner.inputs, self._runner.outputs
        self._packs = tuple(tensors) if names and takes_pictures else ()
        self._unpacks = tuple(tensors) if names and not takes_pictures else ()
        self._require(taken, "takes", "input", [] if takes_pictures else names)
        if not several:
            self._require(given, "gives", "output", names if takes_pictures else [])
        self._input = taken[0]
        self._types = {end.name: self._type_of(end, takes_pictures) for end in taken}
        self.output_names = tuple(end.name for end in given)
        self.fixed_outputs = tuple(
            end.name for end in given if all(isinstance(side, int) for side in end.shape[1:])
        )

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes pictures of 0 to 255."""
        return self._input.dtype == "uint8"

    @property
    def takes_channels_last(self) -> bool:
        """Whether its input is N x H x W x 3 by its shape."""
        shape = self._input.shape
        return len(shape) == 4 and shape[3] == 3 and shape[1] != 3

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first output, or all that are packed, for all of ``values``; the first axis is the batch.

        Raises:
            EdgeError: the model does not take values of this shape.
        """
        if not self._packs:
            return self.outputs(values)[0].astype(np.float32)
        given = self.outputs(values, [tensor.name for tensor in self._packs])
        return pack_arrays([output.astype(np.float32) for output in given], self._packs)

    def outputs(self, values: NDArray[np.float32], names: Sequence[str] = ()) -> tuple[NDArray[Any], ...]:
        """Outputs of these names, or all, for all of ``values``.

        Raises:
            EdgeError: the model does not take values of this shape.
        """
        try:
            parts = unpack_array(values, self._unpacks) if self._unpacks else (values,)
            by_name = dict(zip([t.name for t in self._unpacks] or self._types, parts, strict=True))
            return self._run([self._as_taken(by_name[name], name) for name in self._types], names)
        except ValueError as error:
            batch = self._runner.frames_per_run or len(values)
            raise EdgeError(
                f"{self._path}: does not run on a batch of {batch} values of shape {values.shape[1:]} "
                f"({error}); check the input and feature shapes in the spec or manifest"
            ) from None

    def _run(self, arrays: Sequence[NDArray[Any]], names: Sequence[str]) -> tuple[NDArray[Any], ...]:
        runner = self._runner
        try:
            return runner(*arrays, names=names)
        except NetworkError:
            if runner.frames_per_run is not None or len(arrays[0]) < 2:
                raise
        # a graph may say that it takes any batch and still hold the one it was exported with
        runner.frames_per_run = 1
        return runner(*arrays, names=names)

    def _as_taken(self, values: NDArray[np.float32], name: str) -> NDArray[Any]:
        if self._types[name] == "uint8":
            values = values.round().clip(0, 255)
        return values.astype(self._types[name], copy=False)

    def _require(self, ends: Sequence[End], verb: str, what: str, names: Sequence[str]) -> None:
        found = [end.name for end in ends]
        missing = [name for name in names if name not in found]
        if missing:
            raise EdgeError(
                f"{self._path}: {verb} no tensor {missing[0]!r}; it {verb} {', '.join(sorted(found))}; the "
                "spec or manifest names other tensors"
            )
        if not names and len(ends) != 1:
            listed = ", ".join(f"{end.name} {list(end.shape)}" for end in ends)
            raise EdgeError(
                f"{self._path}: {verb} {len(ends)} {what}s ({listed}), and one is expected. All that leaves "
                f'an edge half is sent, so an audit of one {what} says too little: name them all in "tensors"'
            )

    def _type_of(self, taken: End, takes_pictures: bool) -> str:
        if taken.dtype not in _TYPES or (taken.dtype == "uint8" and not takes_pictures):
            raise EdgeError(
                f"{self._path}: its input {taken.name!r} is of type {taken.type}; a half takes float, "
                "float16 or double, an edge half also uint8 pictures: convert within the graph"
            )
        return str(taken.dtype)


class PackedOutputs(nn.Module):
    """A graph's outputs laid end to end, N x values x 1 x 1, as the tensors of a frame travel.

    Args:
        module: The graph.
        tensors: Which, in their order.
    """

    def __init__(self, module: OnnxModule, tensors: Sequence[TensorSpec]) -> None:
        super().__init__()
        self.module = module
        self._places = [module.outputs.index(tensor.name) for tensor in tensors]

    def forward(self, x: Tensor) -> Tensor:
        """Differentiable in the pictures."""
        given = self.module(x)
        flat = torch.cat([given[place].flatten(1) for place in self._places], dim=1)
        return flat[:, :, None, None]


@dataclass(frozen=True)
class LoadedEdge:
    """An edge half and the access that it gives.

    Attributes:
        edge: Pictures, normalised by ``mean`` and ``std``, to features.
        white_box: Whether gradients pass.
        reason: Why, for the report.
        mean: What a victim subtracts from pictures in [0, 1] before ``edge``.
        std: What it divides them by then.
    """

    edge: Edge
    white_box: bool
    reason: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, graph: Edge, spec: InputSpec, *, white_box: bool, reason: str) -> "LoadedEdge":
        """A graph whose input is prepared as ``spec`` says; only the plain way is a victim's own."""
        if is_plain(spec):
            return cls(graph, white_box, reason, spec.mean, spec.std)

        def edge(x_NCHW: Tensor) -> Tensor:
            return graph(graph_input(x_NCHW, spec))

        return cls(edge, white_box, reason, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def queried(half: OnnxHalf) -> Edge:
    """An edge that answers queries and gives no gradients."""

    def edge(x: Tensor) -> Tensor:
        return torch.from_numpy(half(x.detach().cpu().float().numpy())).to(x.device)

    return edge


def settled(path: Path, half: OnnxHalf, spec: InputSpec) -> InputSpec:
    """The input with what the graph itself says of it: channels last, pixels of ``uint8``.

    Raises:
        EdgeError: pixels of ``uint8``, and a normalisation that the graph cannot be given.
    """
    if half.takes_channels_last:
        spec = replace(spec, layout="NHWC")
    if not half.takes_bytes or spec.dtype == "uint8":
        return spec
    if any(spec.mean) or any(value != 1 for value in spec.std):
        raise EdgeError(
            f"{path}: takes pictures of 0 to 255, so it normalises them itself; give mean 0 and std 1, not "
            f"mean {list(spec.mean)} and std {list(spec.std)}"
        )
    return replace(spec, scale=1.0, dtype="uint8")


def load_edge(
    path: Path,
    device: torch.device,
    spec: InputSpec,
    *,
    tensors: Sequence[TensorSpec] = (),
    black_box: bool = False,
) -> LoadedEdge:
    """The edge half with gradients if every operator of its graph is understood.

    Args:
        path: The model.
        device: Where it computes.
        spec: What it wants of pictures.
        tensors: What it gives, where that is several tensors: they come packed.
        black_box: Query it only.

    Raises:
        EdgeError: it cannot be audited.
    """
    half = OnnxHalf(path, takes_pictures=True, tensors=tensors)
    spec = settled(path, half, spec)
    _refuse_training_mode(path)
    if black_box:
        reason = "the edge half is queried, as agreed for one that is not ours"
        return LoadedEdge.of(queried(half), spec, white_box=False, reason=reason)
    try:
        graph = OnnxModule(onnx.load(str(path)))
    except UnsupportedOperatorError as error:
        reason = f"no gradients through the edge half: {error}"
        return LoadedEdge.of(queried(half), spec, white_box=False, reason=reason)
    module = PackedOutputs(graph, tensors) if len(tensors) > 1 else graph
    module = module.to(device).eval().requires_grad_(False)
    reason = "every operator of the edge half is known, so gradients pass"
    return LoadedEdge.of(module, spec, white_box=True, reason=reason)


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
    loaded: LoadedEdge, spec: InputSpec, feature: tuple[int, ...], device: torch.device, name: str
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
    mean, std = (torch.tensor(values).view(1, -1, 1, 1).to(device) for values in (loaded.mean, loaded.std))
    x_NCHW = (x_NCHW - mean) / std
    edge = loaded.edge
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

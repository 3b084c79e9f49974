"""ONNX graphs of a bundle opened with ONNX Runtime, and their ends compared with the manifest.

One place for what every party asks of a graph; ONNX Runtime is imported when a graph is opened.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.shared.manifest import BundleError, Manifest
from siftfunnel.shared.onnx_references import reads_other_files

INPUT = "image"
"""Name of the edge half's input."""
MOST_BYTES = 2**31 - 1
"""Of one file of ONNX: protobuf has no longer messages."""
_TYPES = {
    "float32": "tensor(float)",
    "float16": "tensor(float16)",
    "float64": "tensor(double)",
    **{name: f"tensor({name})" for name in ("int64", "int32", "uint8", "bool")},
}
_ERRORS_ONLY = 3
_NEWER = re.compile(r"Opset (\d+) is under development|Unsupported model IR version: (\d+)|ValidateOpset")
_UNKNOWN = re.compile(
    r"Fatal error: (\S+?)\(-?\d+\) is not a registered|No Op registered for (\S+)|"
    r"No opset import for domain '(\S+?)'"
)

Shape = tuple[int | None, ...]
"""None is an axis that is free."""


class GraphError(BundleError):
    """A graph that does not open, run or fit its manifest; the text names the file and what to do."""


def open_session(model: bytes, place: str, threads: int = 1) -> Any:
    """An ONNX Runtime session on the CPU.

    Args:
        model: the graph; from memory, so that what was verified is what runs.
        place: its name, for messages.
        threads: for one run.

    Raises:
        GraphError: not a graph, one that needs other files, a newer runtime or operators of somebody's own.
    """
    import onnxruntime

    if len(model) > MOST_BYTES:
        raise GraphError(
            f"{place}: {len(model)} bytes; one file of ONNX has at most {MOST_BYTES}: cut elsewhere"
        )
    if reads_other_files(model):
        raise GraphError(f"{place}: keeps weights in other files; export it again as one file")
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    try:
        return onnxruntime.InferenceSession(
            model, session_options(threads), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        # ONNX Runtime's exceptions share no base class below Exception
        raise GraphError(f"{place}: {_reason(str(error), onnxruntime.__version__)}") from error


def session_options(threads: int = 1, spins: bool = False) -> Any:
    """How ONNX Runtime runs a graph: one node at a time, telling errors only.

    Args:
        threads: for one node.
        spins: whether they wait by spinning, which is a little faster and takes the core that gRPC and the
            codec need.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    if not spins:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _reason(text: str, version: str) -> str:
    if "protobuf parsing failed" in text or "No graph was found" in text:
        return "is no ONNX graph, or a part of one; export it again"
    if _NEWER.search(text):
        return (
            f"was written for a newer ONNX than ONNX Runtime {version} reads; update onnxruntime, or export "
            "it with an older opset"
        )
    if unknown := _UNKNOWN.search(text):
        name = next(group for group in unknown.groups() if group)
        return (
            f"has the operator {name}, which ONNX Runtime {version} does not know; export it with ONNX's own "
            "operators"
        )
    return f"ONNX Runtime {version} cannot load it: {text.strip()}"


def check_edge_ends(session: Any, manifest: Manifest, place: str) -> int | None:
    """Compare the edge half's inputs and outputs with the manifest, before it runs.

    Returns:
        Frames that it takes at once; None for any number.

    Raises:
        GraphError: another name, type or shape.
    """
    given = {INPUT: (manifest.input.dtype, manifest.input.tensor_shape)}
    frames = _check_ends("input", session.get_inputs(), given, place)
    _check_ends("output", session.get_outputs(), _sent(manifest), place)
    return frames


def check_cloud_ends(session: Any, manifest: Manifest, place: str) -> int | None:
    """Compare the cloud half's inputs and outputs with the manifest, before it runs.

    Returns:
        Frames that it takes at once; None for any number.

    Raises:
        GraphError: another name, type, shape or number of frames.
    """
    frames = _check_ends("input", session.get_inputs(), _sent(manifest), place)
    given = {output.name: (output.dtype, output.shape) for output in manifest.given}
    _check_ends("output", session.get_outputs(), given, place)
    if frames is not None and frames != manifest.frames_per_run:
        said = manifest.frames_per_run or "any number"
        raise GraphError(
            f"{place}: takes {frames} frames at once, neither more nor less, the manifest says {said}; "
            f"export it with a batch axis that is free, or say frames_per_run {frames} (schema 2)"
        )
    return frames


def _sent(manifest: Manifest) -> dict[str, tuple[str, Shape]]:
    return {tensor.name: ("float32", tensor.shape) for tensor in manifest.sent}


def _check_ends(
    what: str, ports: Sequence[Any], wanted: Mapping[str, tuple[str, Shape]], place: str
) -> int | None:
    """Names, types and shapes; the number of frames that all ends agree on."""
    if sorted(port.name for port in ports) != sorted(wanted):
        found = ", ".join(port.name for port in ports) or "none"
        raise GraphError(
            f"{place}: needs the {what}s {', '.join(wanted)}, has {found}; export the bundle again with the "
            "manifest's names"
        )
    for port in ports:
        dtype, shape = wanted[port.name]
        if port.type != _TYPES[dtype] or not _may_be(port.shape, shape):
            raise GraphError(
                f"{place}: {what} {port.name} is {port.type} {_told(port.shape)}, the manifest says "
                f"{_TYPES[dtype]} {_told(['N', *shape])}; export the bundle again"
            )
    fixed = {port.shape[0] for port in ports if port.shape and isinstance(port.shape[0], int)}
    if what == "input" and len(fixed) > 1:
        raise GraphError(f"{place}: its inputs take different numbers of frames: {sorted(fixed)}")
    return next(iter(fixed), None)


def _may_be(found: Sequence[Any], wanted: Shape) -> bool:
    """Whether a graph's declared shape, frames first, leaves room for what is wanted."""
    return not found or (
        len(found) == 1 + len(wanted)
        and all(
            axis is None or not isinstance(side, int) or side == axis
            for side, axis in zip(found[1:], wanted, strict=True)
        )
    )


def _told(shape: Sequence[Any]) -> str:
    return "x".join("?" if side is None else str(side) for side in shape) or "of unknown shape"


def run(
    session: Any, feeds: Mapping[str, NDArray[Any]], names: Sequence[str], place: str
) -> list[NDArray[Any]]:
    """Outputs by name.

    Raises:
        GraphError: it does not run.
    """
    try:
        return [np.asarray(array) for array in session.run(list(names), dict(feeds))]
    except Exception as error:
        shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in feeds.items())
        raise GraphError(f"{place}: does not run on {shapes}: {str(error).strip()}") from error

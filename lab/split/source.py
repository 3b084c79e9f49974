"""Reading a network's file: weights in other files, what it needs of the runtime, its digest."""

import hashlib
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto

from siftfunnel.lab.onnx_graphs import NetworkError, all_nodes, copy_of, given_inputs, weights

ORT_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})


def read_onnx(path: Path, *, is_whole: bool = True) -> tuple[onnx.ModelProto, str]:
    """A network with its weights, and the SHA-256 of what it was read from.

    Where weights lie in other files, the digest is that of the digests: the graph's file first, then the
    others by name.

    Args:
        path: The graph's file.
        is_whole: Whether it takes a picture; a cloud half takes tensors.

    Raises:
        NetworkError: no ONNX file, weights that are missing, or something in it that cannot be taken.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() in (".pt", ".pth", ".ckpt", ".safetensors"):
        raise NetworkError(
            f"{path} holds PyTorch weights without the network: name a function that makes it, "
            "--torch MODULE:FUNCTION --weights FILE"
        )
    if path.is_dir():
        raise NetworkError(f"{path} is a folder: name the ONNX file in it")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise NetworkError(f"{path} is no ONNX network: {error}") from error
    if not model.graph.node:
        raise NetworkError(f"{path} is no ONNX network, or one without a node")
    others = _other_files(model, path)
    if others:
        onnx.load_external_data_for_model(model, str(path.parent))
    require_ordinary(model, str(path), is_whole=is_whole)
    return model, _digest(path, others)


def _other_files(model: onnx.ModelProto, path: Path) -> list[Path]:
    names = {
        entry.value
        for tensor in _tensors(model.graph)
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    missing = sorted(name for name in names if not (path.parent / name).is_file())
    if missing:
        raise NetworkError(
            f"{path}: its weights lie in {', '.join(missing)}, which is missing: put it beside the network"
        )
    root = path.parent.resolve()
    outside = sorted(name for name in names if not (path.parent / name).resolve().is_relative_to(root))
    if outside:
        raise NetworkError(f"{path}: reads {', '.join(outside)}, outside its own folder: put it there")
    return [path.parent / name for name in sorted(names)]


def _tensors(graph: onnx.GraphProto) -> list[TensorProto]:
    attributes = [attribute for node in all_nodes(graph) for attribute in node.attribute]
    return [*graph.initializer, *(attribute.t for attribute in attributes if attribute.HasField("t"))]


def _digest(path: Path, others: list[Path]) -> str:
    digests = [_sha256(place) for place in (path, *others)]
    return digests[0] if not others else hashlib.sha256("".join(digests).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_ordinary(model: onnx.ModelProto, where: str, *, is_whole: bool = True) -> None:
    """Refuse what no split can take, by name.

    Raises:
        NetworkError: names that are no text, an opset beyond this onnx, operators of other makers, tensors of
            texts, or not exactly one input.
    """
    if not _is_readable(model):
        raise NetworkError(f"{where}: a name in it is no text in UTF-8: the file is damaged; export it again")
    known = onnx.defs.onnx_opset_version()
    newest = max(
        (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1
    )
    if newest > known:
        raise NetworkError(
            f"{where}: written for opset {newest}, this onnx {onnx.__version__} knows {known}: "
            "export it with an older opset (17 is safe), or update onnx and onnxruntime"
        )
    own = {(function.domain, function.name) for function in model.functions}
    foreign = sorted(
        f"{node.domain}::{node.op_type}"
        for node in all_nodes(model.graph)
        if node.domain not in ORT_DOMAINS and (node.domain, node.op_type) not in own
    )
    if foreign:
        raise NetworkError(
            f"{where}: operators that ONNX Runtime does not have: {', '.join(dict.fromkeys(foreign))}; "
            "export it with standard operators"
        )
    texts = [v.name for v in (*model.graph.input, *model.graph.output) if _is_text(v)]
    texts += [tensor.name for tensor in _tensors(model.graph) if tensor.data_type == TensorProto.STRING]
    if texts:
        raise NetworkError(f"{where}: tensors of texts cannot be split: {', '.join(texts)}; leave them out")
    inputs = [value.name for value in given_inputs(model.graph)]
    if is_whole and len(inputs) != 1:
        raise NetworkError(
            f"{where}: a picture goes into one input, this network has {len(inputs)}: "
            f"{', '.join(inputs) or 'none'}; make constants of the others"
        )


def _is_readable(message: Message) -> bool:
    """Whether every text in a message is one: protobuf gives the bytes of what is none."""
    for field, value in message.ListFields():
        parts = value if field.is_repeated else (value,)
        if field.message_type is not None and not all(map(_is_readable, parts)):
            return False
        if field.type == field.TYPE_STRING and not all(isinstance(part, str) for part in parts):
            return False
    return True


def _is_text(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.STRING)


def with_weights_apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose weights are no inputs: an optimiser must not take them for values that may change."""
    copy = copy_of(model)
    stored = weights(copy.graph)
    kept = [value for value in copy.graph.input if value.name not in stored]
    del copy.graph.input[:]
    copy.graph.input.extend(kept)
    copy.ir_version = max(copy.ir_version, 4)
    return copy


def with_outputs(model: onnx.ModelProto, names: tuple[str, ...]) -> onnx.ModelProto:
    """A copy that gives only these outputs, in this order.

    Raises:
        NetworkError: a name that is none of its outputs.
    """
    there = {value.name: value for value in model.graph.output}
    unknown = [name for name in names if name not in there]
    if unknown:
        raise NetworkError(f"no output {', '.join(unknown)}; there are {', '.join(there)}")
    copy = copy_of(model)
    del copy.graph.output[:]
    copy.graph.output.extend(there[name] for name in names)
    return copy

"""The feature spec: what must be known of an edge half that is not a bundle of ours.

    {"input": {"height": 64, "width": 64, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
     "feature": [12, 16, 16]}

``mean`` and ``std`` apply to pictures in [0, 1]; 0 and 1 mean that the edge half takes those. An input may
also say what a manifest's says: ``scale``, ``colour`` (RGB, BGR, grey), ``layout``, ``dtype``, ``crop``,
``shorter_side``, ``filter``, ``antialias``, ``padding``. ``feature`` is the shape of the output without the
batch: channels, height, width; or tokens, width of a token; or one number of values. Of several outputs all
are named instead: ``"tensors": [{"name": "p3", "shape": [64, 28, 28]}, ...]``. May be given: ``name``;
``classes`` in the order of the logits; ``label_kind`` (``category`` or ``identity``); ``cloud``, the other
half as an ONNX file beside the spec, for the accuracy.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from siftfunnel.shared.json_fields import FieldError, Fields, parse_object
from siftfunnel.shared.manifest import MAX_FEATURE_VALUES
from siftfunnel.shared.manifest_fields import MAX_SIDE_PIXELS, read_tensor
from siftfunnel.shared.preprocess import InputSpec
from siftfunnel.shared.tensors import TensorSpec, pack

OPTIONAL = ("name", "classes", "label_kind", "cloud")


class SpecError(ValueError):
    """A feature spec that cannot be used: says which field and what is wrong with it."""


@dataclass(frozen=True)
class FeatureContract:
    """A foreign edge half, as its spec describes it.

    Attributes:
        name: What the report calls it.
        input: Size and normalisation of pictures.
        feature: Shape of one feature, one to three numbers; of several tensors as they are packed.
        classes: Names in the order of the logits, or None.
        label_kind: ``category``, ``identity`` or None where nobody said.
        cloud: The other half, or None.
        tensors: What the edge half gives, where they are named.
    """

    name: str
    input: InputSpec
    feature: tuple[int, ...]
    classes: tuple[str, ...] | None = None
    label_kind: Literal["category", "identity"] | None = None
    cloud: Path | None = None
    tensors: tuple[TensorSpec, ...] = ()


def load_spec(path: Path) -> FeatureContract:
    """Read a spec.

    Raises:
        SpecError: missing, not JSON, or a field that is missing, unknown or out of range.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return _read(Fields(parse_object(data, str(path)), str(path)), path)
    except FieldError as error:
        raise SpecError(str(error)) from None


def _read(fields: Fields, path: Path) -> FeatureContract:
    given = set(fields.names())
    name = fields.text("name") if "name" in given else path.stem
    classes = fields.texts("classes") if "classes" in given else None
    label_kind = fields.text("label_kind") if "label_kind" in given else None
    if label_kind not in (None, "category", "identity"):
        raise fields.error("label_kind", f"is category or identity, not {label_kind!r}")
    cloud = path.parent / fields.text("cloud") if "cloud" in given else None
    if cloud is not None and not cloud.is_file():
        raise fields.error("cloud", f"names {cloud}, which is not there")
    tensors = _tensors(fields) if "tensors" in given else ()
    feature = pack(tensors).shape if tensors else _feature(fields)
    picture = _input(fields.nested("input"))
    fields.finish()
    return FeatureContract(name, picture, feature, classes, label_kind, cloud, tensors)  # type: ignore[arg-type]


def _tensors(fields: Fields) -> tuple[TensorSpec, ...]:
    try:
        tensors = tuple(read_tensor(entry) for entry in fields.nested_list("tensors"))
        if len({tensor.name for tensor in tensors}) < max(2, len(tensors)):
            raise ValueError("must list two or more tensors, each once; one is told by feature")
        pack(tensors)
    except ValueError as error:
        raise fields.error("tensors", str(error)) from None
    return tensors


def _feature(fields: Fields) -> tuple[int, ...]:
    sides = fields.items("feature")
    if not 1 <= len(sides) <= 3 or not all(type(side) is int and side > 0 for side in sides):
        raise fields.error("feature", f"must list one to three positive whole numbers, not {sides}")
    if math.prod(sides) > MAX_FEATURE_VALUES:
        raise fields.error("feature", f"has more than {MAX_FEATURE_VALUES} values")
    return tuple(sides)


def _input(fields: Fields) -> InputSpec:
    given = set(fields.names())
    height, width = (fields.integer(side, 11, MAX_SIDE_PIXELS) for side in ("height", "width"))
    mean, std = fields.numbers("mean"), fields.numbers("std")
    readers: dict[str, Any] = {
        "scale": fields.number,
        "antialias": fields.boolean,
        "shorter_side": lambda name: fields.integer(name, 1, 2 * MAX_SIDE_PIXELS),
        "padding": lambda name: fields.integer(name, 0, 255),
        **dict.fromkeys(("crop", "filter", "colour", "layout", "dtype"), fields.text),
    }
    more = {name: read(name) for name, read in readers.items() if name in given}
    fields.finish()
    try:
        return InputSpec(height, width, mean, std, **more)
    except ValueError as error:
        raise SpecError(str(error)) from None

"""The feature spec: what must be known of an edge half that is not a bundle of ours.

    {"input": {"height": 64, "width": 64, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
     "feature": [12, 16, 16]}

``mean`` and ``std`` apply to pictures in [0, 1]; 0 and 1 mean that the edge half takes those. ``feature`` is
the shape of the output without the batch: channels, height, width; or tokens, width of a token; or one number
of values. May be given: ``name``; ``classes`` in the order of the logits; ``label_kind`` (``category``
or ``identity``); ``cloud``, the other half as an ONNX file beside the spec, for the accuracy.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from siftfunnel.shared.json_fields import FieldError, Fields, parse_object
from siftfunnel.shared.manifest import MAX_FEATURE_VALUES
from siftfunnel.shared.manifest_fields import MAX_SIDE_PIXELS
from siftfunnel.shared.preprocess import InputSpec

OPTIONAL = ("name", "classes", "label_kind", "cloud")


class SpecError(ValueError):
    """A feature spec that cannot be used: says which field and what is wrong with it."""


@dataclass(frozen=True)
class FeatureContract:
    """A foreign edge half, as its spec describes it.

    Attributes:
        name: What the report calls it.
        input: Size and normalisation of pictures.
        feature: Shape of one feature, one to three numbers.
        classes: Names in the order of the logits, or None.
        label_kind: ``category``, ``identity`` or None where nobody said.
        cloud: The other half, or None.
    """

    name: str
    input: InputSpec
    feature: tuple[int, ...]
    classes: tuple[str, ...] | None = None
    label_kind: Literal["category", "identity"] | None = None
    cloud: Path | None = None


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
    feature = _feature(fields)
    picture = _input(fields.nested("input"))
    fields.finish()
    return FeatureContract(name, picture, feature, classes, label_kind, cloud)  # type: ignore[arg-type]


def _feature(fields: Fields) -> tuple[int, ...]:
    sides = fields.items("feature")
    if not 1 <= len(sides) <= 3 or not all(type(side) is int and side > 0 for side in sides):
        raise fields.error("feature", f"must list one to three positive whole numbers, not {sides}")
    if math.prod(sides) > MAX_FEATURE_VALUES:
        raise fields.error("feature", f"has more than {MAX_FEATURE_VALUES} values")
    return tuple(sides)


def _input(fields: Fields) -> InputSpec:
    height, width = (fields.integer(side, 11, MAX_SIDE_PIXELS) for side in ("height", "width"))
    mean, std = fields.numbers("mean"), fields.numbers("std")
    fields.finish()
    try:
        return InputSpec(height, width, mean, std)
    except ValueError as error:
        raise SpecError(str(error)) from None

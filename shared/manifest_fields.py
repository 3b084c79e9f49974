"""The parts of a manifest in JSON: how each is written and read."""

from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any

from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.json_fields import Fields
from siftfunnel.shared.manifest_parts import CodecSpec, EdgeStage, FileEntry
from siftfunnel.shared.tensors import MAX_FEATURE_VALUES, MAX_RANK, FeatureSpec, OutputSpec, TensorSpec

MAX_SIDE_PIXELS = 4096


_INPUT_1 = ("height", "width", "mean", "std", "crop")
"""What schema 1 has words for."""


def as_json(part: Any) -> dict[str, Any]:
    """A part of a manifest, its fields in their order; an axis that is free is null."""
    told = {each.name: getattr(part, each.name) for each in fields_of(part)}
    for name, value in told.items():
        if isinstance(value, tuple | Mapping):
            told[name] = list(value) if isinstance(value, tuple) else dict(value)
    return told


def input_as_json(picture: InputSpec, schema_version: int) -> dict[str, Any]:
    """An input; schema 1 has no words for the later fields."""
    told = as_json(picture)
    told |= {name: [float(value) for value in told[name]] for name in ("mean", "std")}
    return told if schema_version > 1 else {name: told[name] for name in _INPUT_1}


def read_input(fields: Fields, schema_version: int) -> InputSpec:
    """An input.

    Raises:
        FieldError: a field is missing, unknown, ill-typed or out of range.
        ValueError: fields that do not go together.
    """
    mean, std = fields.numbers("mean"), fields.numbers("std")
    later: dict[str, Any] = {}
    if schema_version == 1:
        # of schema 2 the colours decide how many
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3:
                raise fields.error(name, f"must list 3 numbers, not {len(values)}")
    else:
        later = {
            "scale": fields.number("scale"),
            "shorter_side": fields.optional_integer("shorter_side", 1, 2 * MAX_SIDE_PIXELS),
            "antialias": fields.boolean("antialias"),
            "padding": fields.integer("padding", 0, 255),
            **{name: fields.text(name) for name in ("filter", "colour", "layout", "dtype")},
        }
    spec = InputSpec(
        height=fields.integer("height", 1, MAX_SIDE_PIXELS),
        width=fields.integer("width", 1, MAX_SIDE_PIXELS),
        mean=mean,
        std=std,
        crop=fields.text("crop"),  # type: ignore[arg-type]  # checked by InputSpec
        **later,
    )
    fields.finish()
    return spec


def read_feature(fields: Fields) -> FeatureSpec:
    """Channels, height and width."""
    sides = [fields.integer(side, 1, MAX_FEATURE_VALUES) for side in ("channels", "height", "width")]
    fields.finish()
    return FeatureSpec(*sides)


def read_tensor(fields: Fields) -> TensorSpec:
    """A tensor between the halves."""
    tensor = TensorSpec(fields.text("name"), fields.integers("shape", 1, MAX_FEATURE_VALUES, MAX_RANK))
    fields.finish()
    return tensor


def read_output(fields: Fields) -> OutputSpec:
    """An output of the cloud half."""
    axes = fields.items("shape")
    if not all(axis is None or (type(axis) is int and 1 <= axis <= MAX_FEATURE_VALUES) for axis in axes):
        raise fields.error("shape", "must list whole numbers from 1 on, or null for an axis that is free")
    output = OutputSpec(
        name=fields.text("name"),
        kind=fields.text("kind"),  # type: ignore[arg-type]  # checked by OutputSpec
        shape=tuple(axes),
        dtype=fields.text("dtype"),  # type: ignore[arg-type]  # checked by OutputSpec
    )
    fields.finish()
    return output


def read_edge_stage(fields: Fields) -> EdgeStage:
    """An edge stage."""
    stage = EdgeStage(fields.text("kind"), fields.mapping("parameters"))
    fields.finish()
    return stage


def read_codec(fields: Fields) -> CodecSpec:
    """A codec, its parameters unread."""
    codec = CodecSpec(
        fields.text("name"),
        fields.text("kind"),  # type: ignore[arg-type]  # checked by CodecSpec
        fields.mapping("parameters"),
    )
    fields.finish()
    return codec


def read_file_entries(fields: Fields, name: str = "files") -> dict[str, FileEntry]:
    """The object of file entries that manifests and inverters share."""
    group = fields.nested(name)
    entries = {}
    for file_name in group.names():
        entry = group.nested(file_name)
        entries[file_name] = FileEntry(entry.text("sha256"), entry.integer("size_bytes", 0, 2**40))
        entry.finish()
    return entries

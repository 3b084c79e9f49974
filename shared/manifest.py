"""The manifest: what a bundle is, in one JSON file whose SHA-256 is the bundle's digest.

Both sides read it before a byte of a payload is decoded: the sizes of every tensor, the
codecs with their tables, the classes and the digests of the model files stand here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from siftfunnel.shared.digests import is_digest
from siftfunnel.shared.json_fields import FieldError, Fields, parse_object
from siftfunnel.shared.preprocess import InputSpec

SCHEMA_VERSION = 1
MAX_MANIFEST_BYTES = 16 * 2**20
MAX_SIDE_PIXELS = 4096
MAX_FEATURE_VALUES = 2**24
MAX_CODECS = 64

LabelKind = Literal["category", "identity"]
CodecKind = Literal["float", "affine", "table", "lattice"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BundleError(ValueError):
    """A bundle or inverter that cannot be used; the text names the file, the field and what to do."""


def is_name(text: str) -> bool:
    """Whether a text may name a bundle, a codec or a file: safe as one path component.

    >>> is_name("cifar10-siftfunnel"), is_name("../etc")
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True)
class FeatureSpec:
    """The tensor between the halves.

    Attributes:
        channels: feature maps, at least 1.
        height: rows of a map.
        width: columns of a map.

    Raises:
        ValueError: a size below 1, or more than `MAX_FEATURE_VALUES` values.
    """

    channels: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or self.size > MAX_FEATURE_VALUES:
            raise ValueError(
                f"a feature needs 1 to {MAX_FEATURE_VALUES} values and no side of 0, not {self.shape}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return (self.channels, self.height, self.width)

    @property
    def size(self) -> int:
        """Values in one feature tensor."""
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class CodecSpec:
    """A codec as the manifest states it; `siftfunnel.shared.wire` says what the parameters of each kind are.

    Attributes:
        name: what people call it: "fp16", "q6".
        kind: "float", "affine", "table" or "lattice".
        parameters: JSON values.
    """

    name: str
    kind: CodecKind
    # tables are long: left out of reprs
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"a codec's name must be letters, digits, '.', '_' or '-', not {self.name!r}")
        if self.kind not in get_args(CodecKind):
            raise ValueError(f"unknown codec kind {self.kind!r}; known: {', '.join(get_args(CodecKind))}")


@dataclass(frozen=True)
class EdgeStage:
    """What the device does to the feature after the edge half and before the codec, such as noise.

    A device that does not know a stage must refuse the bundle: leaving it out would send
    more than the defence allows.

    Attributes:
        kind: names the stage.
        parameters: JSON values.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FileEntry:
    """A file that belongs to a bundle.

    Attributes:
        sha256: of its bytes, 64 lower-case hex digits.
        size_bytes: its length.
    """

    sha256: str
    size_bytes: int

    def __post_init__(self) -> None:
        if not is_digest(self.sha256):
            raise ValueError(f"sha256 must be 64 lower-case hex digits, not {self.sha256!r}")
        if self.size_bytes < 0:
            raise ValueError(f"size_bytes must not be negative, not {self.size_bytes}")


@dataclass(frozen=True)
class Manifest:
    """All that both sides must agree on about a bundle.

    Attributes:
        name: the bundle's name, also its directory's by convention.
        architecture: the network's family and width, for people: "cnn-w32".
        defence: "none", "siftfunnel", ...
        split_point: where the network is cut, for people: "block2".
        input: size, crop and normalisation of pictures.
        feature: shape of the tensor on the wire.
        classes: names in logit order, two or more, each once.
        label_kind: "category" (what it is) or "identity" (who it is: the answer itself is the secret).
        codecs: position is the index on the wire.
        default_codec: the name of the recommended one.
        edge_stages: applied in order on the device.
        files: model files by name; filled in by `write_bundle`.
        schema_version: of this format.

    Raises:
        ValueError: a value outside its range.
    """

    name: str
    architecture: str
    defence: str
    split_point: str
    input: InputSpec
    feature: FeatureSpec
    classes: tuple[str, ...]
    label_kind: LabelKind
    codecs: tuple[CodecSpec, ...]
    default_codec: str
    edge_stages: tuple[EdgeStage, ...] = ()
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise ValueError(
                f"schema version {self.schema_version} is not {SCHEMA_VERSION}, the one known here"
            )
        if not is_name(self.name):
            raise ValueError(f"name must be letters, digits, '.', '_' or '-', not {self.name!r}")
        if max(self.input.height, self.input.width) > MAX_SIDE_PIXELS:
            raise ValueError(f"input must be at most {MAX_SIDE_PIXELS} pixels high and wide")
        _require_distinct("classes", self.classes, least=2)
        if self.label_kind not in get_args(LabelKind):
            known = ", ".join(get_args(LabelKind))
            raise ValueError(f"unknown label_kind {self.label_kind!r}; known: {known}")
        names = tuple(codec.name for codec in self.codecs)
        _require_distinct("codecs", names, least=1)
        if len(names) > MAX_CODECS:
            raise ValueError(f"codecs must be at most {MAX_CODECS}, not {len(names)}")
        if self.default_codec not in names:
            raise ValueError(f"default_codec {self.default_codec!r} is not one of {', '.join(names)}")
        for name in self.files:
            if not is_name(name) or name in {"manifest.json", "report.json"}:
                raise ValueError(f"files: {name!r} cannot name a file of a bundle")

    def to_json(self) -> bytes:
        """The bytes that are stored, whose SHA-256 is the digest; equal manifests give equal bytes."""
        text = json.dumps(_as_json(self), indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8") + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Read stored bytes.

        Raises:
            BundleError: too long, not JSON, another schema, or a field that is missing,
                unknown, ill-typed or out of range; the text names the field.
        """
        if len(data) > MAX_MANIFEST_BYTES:
            raise BundleError(f"manifest.json: {len(data)} bytes, more than {MAX_MANIFEST_BYTES}")
        try:
            return _from_fields(Fields(parse_object(data, "manifest.json"), "manifest.json"))
        except FieldError as error:
            raise BundleError(str(error)) from None
        except ValueError as error:
            raise BundleError(f"manifest.json: {error}") from error


def _require_distinct(what: str, names: tuple[str, ...], least: int) -> None:
    if len(names) < least:
        raise ValueError(f"{what} must be at least {least}, not {len(names)}")
    if len(set(names)) != len(names) or not all(names):
        raise ValueError(f"{what} must be non-empty texts, each once")


def _as_json(manifest: Manifest) -> dict[str, Any]:
    picture = manifest.input
    return {
        "schema_version": manifest.schema_version,
        "name": manifest.name,
        "architecture": manifest.architecture,
        "defence": manifest.defence,
        "split_point": manifest.split_point,
        "input": {
            "height": picture.height,
            "width": picture.width,
            "mean": [float(value) for value in picture.mean],
            "std": [float(value) for value in picture.std],
            "crop": picture.crop,
        },
        "feature": {
            "channels": manifest.feature.channels,
            "height": manifest.feature.height,
            "width": manifest.feature.width,
        },
        "classes": list(manifest.classes),
        "label_kind": manifest.label_kind,
        "edge_stages": [
            {"kind": stage.kind, "parameters": dict(stage.parameters)} for stage in manifest.edge_stages
        ],
        "default_codec": manifest.default_codec,
        "codecs": [
            {"name": codec.name, "kind": codec.kind, "parameters": dict(codec.parameters)}
            for codec in manifest.codecs
        ],
        "files": {
            name: {"sha256": entry.sha256, "size_bytes": entry.size_bytes}
            for name, entry in sorted(manifest.files.items())
        },
    }


def _from_fields(fields: Fields) -> Manifest:
    version = fields.integer("schema_version", 1, 2**31)
    if version != SCHEMA_VERSION:
        raise fields.error(
            "schema_version",
            f"is {version}, this siftfunnel reads {SCHEMA_VERSION}: update it, or export anew",
        )
    manifest = Manifest(
        schema_version=version,
        name=fields.text("name"),
        architecture=fields.text("architecture"),
        defence=fields.text("defence"),
        split_point=fields.text("split_point"),
        input=_input(fields.nested("input")),
        feature=_feature(fields.nested("feature")),
        classes=fields.texts("classes"),
        label_kind=fields.text("label_kind"),  # type: ignore[arg-type]  # checked by Manifest
        edge_stages=tuple(_edge_stage(stage) for stage in fields.nested_list("edge_stages")),
        default_codec=fields.text("default_codec"),
        codecs=tuple(_codec(codec) for codec in fields.nested_list("codecs")),
        files=read_file_entries(fields),
    )
    fields.finish()
    return manifest


def _input(fields: Fields) -> InputSpec:
    mean, std = fields.numbers("mean"), fields.numbers("std")
    if len(mean) != 3:
        raise fields.error("mean", f"must list 3 numbers, not {len(mean)}")
    if len(std) != 3:
        raise fields.error("std", f"must list 3 numbers, not {len(std)}")
    spec = InputSpec(
        height=fields.integer("height", 1, MAX_SIDE_PIXELS),
        width=fields.integer("width", 1, MAX_SIDE_PIXELS),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        crop=fields.text("crop"),  # type: ignore[arg-type]  # checked by InputSpec
    )
    fields.finish()
    return spec


def _feature(fields: Fields) -> FeatureSpec:
    sides = [fields.integer(side, 1, MAX_FEATURE_VALUES) for side in ("channels", "height", "width")]
    fields.finish()
    return FeatureSpec(*sides)


def _edge_stage(fields: Fields) -> EdgeStage:
    stage = EdgeStage(fields.text("kind"), fields.mapping("parameters"))
    fields.finish()
    return stage


def _codec(fields: Fields) -> CodecSpec:
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

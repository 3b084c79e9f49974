"""The manifest: what a bundle is, in one JSON file whose SHA-256 is the bundle's digest.

Both sides read it before a byte of a payload is decoded: the sizes of every tensor, the
codecs with their tables, the classes and the digests of the model files stand here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from siftfunnel.shared import manifest_fields as told
from siftfunnel.shared.digests import is_digest
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.json_fields import FieldError, Fields, parse_object
from siftfunnel.shared.manifest_fields import MAX_SIDE_PIXELS
from siftfunnel.shared.manifest_fields import read_file_entries as read_file_entries
from siftfunnel.shared.manifest_parts import BundleError as BundleError
from siftfunnel.shared.manifest_parts import CodecKind as CodecKind
from siftfunnel.shared.manifest_parts import CodecSpec as CodecSpec
from siftfunnel.shared.manifest_parts import EdgeStage as EdgeStage
from siftfunnel.shared.manifest_parts import FileEntry as FileEntry
from siftfunnel.shared.manifest_parts import LabelKind as LabelKind
from siftfunnel.shared.manifest_parts import is_name as is_name
from siftfunnel.shared.tensors import MAX_FEATURE_VALUES as MAX_FEATURE_VALUES
from siftfunnel.shared.tensors import FeatureSpec as FeatureSpec
from siftfunnel.shared.tensors import OutputSpec as OutputSpec
from siftfunnel.shared.tensors import TensorSpec as TensorSpec
from siftfunnel.shared.tensors import pack

SCHEMA_VERSIONS = (1, 2)
"""1 has one feature of maps, one output of logits and distinct classes; 2 says all of it."""
MAX_MANIFEST_BYTES = 16 * 2**20
MAX_CODECS = 64
MAX_TENSORS = 64


@dataclass(frozen=True)
class Manifest:
    """All that both sides must agree on about a bundle.

    Attributes:
        name: the bundle's name, also its directory's by convention.
        architecture: the network's family and width, for people: "cnn-w32".
        defence: "none", "siftfunnel", ...
        split_point: where the network is cut, for people: "block2".
        input: size, crop and normalisation of pictures.
        feature: what crosses the wire, as codecs see it: `pack(tensors)` where those are told.
        classes: names in the order of the scores, two or more; in schema 2 a name may stand twice, and there
            are none where no output is scores.
        label_kind: "category" (what it is) or "identity" (who it is: the answer itself is the secret).
        codecs: position is the index on the wire.
        default_codec: the name of the recommended one.
        edge_stages: applied in order on the device.
        files: model files by name; filled in by `write_bundle`.
        schema_version: of this format; from here on what only schema 2 can say.
        tensors: between the halves, in the order in which they are packed; see `sent`.
        outputs: of the cloud half; see `given`.
        class_ids: one for each class, each once: "n02012849"; empty where the names are.
        frames_per_run: frames that the cloud half takes at once, where its graph has that number fixed.
        original_sha256: of the uncut network's file.

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
    schema_version: int = 1
    tensors: tuple[TensorSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    class_ids: tuple[str, ...] = ()
    frames_per_run: int | None = None
    original_sha256: str | None = None

    def __post_init__(self) -> None:
        if self.schema_version not in SCHEMA_VERSIONS:
            known = " and ".join(map(str, SCHEMA_VERSIONS))
            raise ValueError(f"schema version {self.schema_version} is not known here; known: {known}")
        if not is_name(self.name):
            raise ValueError(f"name must be letters, digits, '.', '_' or '-', not {self.name!r}")
        if max(self.input.height, self.input.width) > MAX_SIDE_PIXELS:
            raise ValueError(f"input must be at most {MAX_SIDE_PIXELS} pixels high and wide")
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
        if self.schema_version == 1:
            self._check_schema_1()
        else:
            self._check_schema_2()

    def _check_schema_1(self) -> None:
        _require_distinct("classes", self.classes, least=2)
        told = InputSpec(
            self.input.height, self.input.width, self.input.mean, self.input.std, self.input.crop
        )
        later = (self.tensors, self.outputs, self.class_ids, self.frames_per_run, self.original_sha256)
        if told != self.input or any(later) or self.input.crop not in ("centre", "stretch"):
            raise ValueError("schema 1 has no words for this bundle's input, tensors, outputs or classes")

    def _check_schema_2(self) -> None:
        _require_distinct("tensors", tuple(tensor.name for tensor in self.tensors), least=1)
        _require_distinct("outputs", tuple(output.name for output in self.outputs), least=1)
        if max(len(self.tensors), len(self.outputs)) > MAX_TENSORS:
            raise ValueError(f"tensors and outputs must be at most {MAX_TENSORS} each")
        if pack(self.tensors) != self.feature:
            raise ValueError(f"feature {self.feature.shape} is not what the tensors are packed to")
        scores = [output for output in self.outputs if output.is_scores]
        if len(scores) > 1:
            raise ValueError("one output at most can be the classes' scores: call the others tensors")
        if scores and scores[0].shape != (len(self.classes),):
            raise ValueError(
                f"output {scores[0].name} has shape {scores[0].shape}, the classes are {len(self.classes)}"
            )
        if not scores and self.classes:
            raise ValueError("classes need an output that is their scores: logits or probabilities")
        if not all(self.classes):
            raise ValueError("classes must be non-empty texts")
        if scores:
            _require_distinct("class_ids", self.ids, least=1)
            if len(self.ids) != len(self.classes):
                raise ValueError(f"class_ids must be {len(self.classes)}, one for each class")
        if self.frames_per_run is not None and self.frames_per_run < 1:
            raise ValueError(f"frames_per_run must be at least 1, not {self.frames_per_run}")
        if self.original_sha256 is not None and not is_digest(self.original_sha256):
            raise ValueError("original_sha256 must be 64 lower-case hex digits")

    @property
    def sent(self) -> tuple[TensorSpec, ...]:
        """The tensors between the halves, in the order in which they are packed."""
        return self.tensors or (TensorSpec("feature", self.feature.shape),)

    @property
    def given(self) -> tuple[OutputSpec, ...]:
        """The outputs of the cloud half."""
        return self.outputs or (OutputSpec("logits", "logits", (len(self.classes),)),)

    @property
    def scores(self) -> OutputSpec | None:
        """The output that classes are ranked by; None where there is none."""
        return next((output for output in self.given if output.is_scores), None)

    @property
    def ids(self) -> tuple[str, ...]:
        """What tells classes apart, in their order."""
        return self.class_ids or self.classes

    @property
    def labels(self) -> frozenset[str]:
        """What a picture's label may call a class: its name or its id."""
        return frozenset((*self.classes, *self.ids))

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
    as_told: dict[str, Any] = {
        "schema_version": manifest.schema_version,
        "name": manifest.name,
        "architecture": manifest.architecture,
        "defence": manifest.defence,
        "split_point": manifest.split_point,
        "input": told.input_as_json(manifest.input, manifest.schema_version),
    }
    if manifest.schema_version == 1:
        as_told["feature"] = told.as_json(manifest.feature)
    else:
        as_told |= {
            "tensors": [told.as_json(tensor) for tensor in manifest.tensors],
            "outputs": [told.as_json(output) for output in manifest.outputs],
            "class_ids": list(manifest.class_ids),
            "frames_per_run": manifest.frames_per_run,
            "original_sha256": manifest.original_sha256,
        }
    return {
        **as_told,
        "classes": list(manifest.classes),
        "label_kind": manifest.label_kind,
        "edge_stages": [told.as_json(stage) for stage in manifest.edge_stages],
        "default_codec": manifest.default_codec,
        "codecs": [told.as_json(codec) for codec in manifest.codecs],
        "files": {name: told.as_json(entry) for name, entry in sorted(manifest.files.items())},
    }


def _from_fields(fields: Fields) -> Manifest:
    version = fields.integer("schema_version", 1, 2**31)
    if version not in SCHEMA_VERSIONS:
        raise fields.error(
            "schema_version",
            f"is {version}, this siftfunnel reads up to {SCHEMA_VERSIONS[-1]}: update it, or export anew",
        )
    later: dict[str, Any] = {}
    if version > 1:
        tensors = tuple(told.read_tensor(tensor) for tensor in fields.nested_list("tensors"))
        if not tensors:
            raise fields.error("tensors", "must be at least 1")
        later = {
            "tensors": tensors,
            "outputs": tuple(told.read_output(output) for output in fields.nested_list("outputs")),
            "class_ids": fields.texts("class_ids"),
            "frames_per_run": fields.optional_integer("frames_per_run", 1, 2**16),
            "original_sha256": fields.optional_text("original_sha256"),
        }
    manifest = Manifest(
        schema_version=version,
        name=fields.text("name"),
        architecture=fields.text("architecture"),
        defence=fields.text("defence"),
        split_point=fields.text("split_point"),
        input=told.read_input(fields.nested("input"), version),
        feature=pack(later["tensors"]) if later else told.read_feature(fields.nested("feature")),
        classes=fields.texts("classes"),
        label_kind=fields.text("label_kind"),  # type: ignore[arg-type]  # checked by Manifest
        edge_stages=tuple(told.read_edge_stage(stage) for stage in fields.nested_list("edge_stages")),
        default_codec=fields.text("default_codec"),
        codecs=tuple(told.read_codec(codec) for codec in fields.nested_list("codecs")),
        files=read_file_entries(fields),
        **later,
    )
    fields.finish()
    return manifest

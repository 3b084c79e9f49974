"""The parts of a manifest that are neither pictures nor tensors: codecs, edge stages, files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from siftfunnel.shared.digests import is_digest

LabelKind = Literal["category", "identity"]
CodecKind = Literal["float", "affine", "table", "lattice", "signed", "packed"]

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
class CodecSpec:
    """A codec as the manifest states it; `siftfunnel.shared.wire` says what the parameters of each kind are.

    Attributes:
        name: what people call it: "fp16", "q6".
        kind: "float", "affine", "table", "lattice", "signed" or "packed".
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

"""Inverters on disk: the attacker's decoder for one bundle, an artefact of its own.

NAME/inverter.json   names the digest of the bundle whose features it inverts
NAME/inverter.onnx   input `feature` [N, C, h, w], output `image` [N, 3, H, W] in [0, 1]
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siftfunnel.shared.digests import is_digest
from siftfunnel.shared.json_fields import FieldError, Fields, parse_object
from siftfunnel.shared.manifest import BundleError, FileEntry, is_name, read_file_entries
from siftfunnel.shared.manifest_fields import as_json
from siftfunnel.shared.storage import (
    Problem,
    file_entries,
    load_all,
    read_bytes,
    verify_file,
    write_directory,
)

SCHEMA_VERSION = 1
STATEMENT, MODEL = "inverter.json", "inverter.onnx"


@dataclass(frozen=True)
class Inverter:
    """An inverter whose model has been verified.

    Attributes:
        directory: where it lies.
        bundle_digest: of the bundle it was trained for, 64 hex digits.
        bundle_name: that bundle's name, for people.
        report: how it was trained and how well it does; JSON values.
    """

    directory: Path
    bundle_digest: str
    bundle_name: str
    report: Mapping[str, Any]

    def path(self) -> Path:
        """Where its model lies."""
        return self.directory / MODEL

    def require_digest(self, digest: str) -> None:
        """Refuse to be used on another bundle's features.

        Raises:
            BundleError: it was trained for another digest; the text names both.
        """
        if digest != self.bundle_digest:
            raise BundleError(
                f"{self.directory}: trained for {self.bundle_name} with digest {self.bundle_digest}, "
                f"not {digest}; train one with `siftfunnel lab inverter`"
            )


def load_inverter(directory: str | Path) -> Inverter:
    """Read an inverter and verify its model.

    Raises:
        BundleError: missing, a field is wrong, or the model has changed.
    """
    directory = Path(directory)
    data = read_bytes(directory / STATEMENT, "no inverter here")
    try:
        inverter, files = _parse(directory, Fields(parse_object(data, STATEMENT), STATEMENT))
    except ValueError as error:
        raise BundleError(f"{directory}: {error}") from None
    verify_file(directory, MODEL, files)
    return inverter


def _parse(directory: Path, fields: Fields) -> tuple[Inverter, dict[str, FileEntry]]:
    fields.integer("schema_version", SCHEMA_VERSION, SCHEMA_VERSION)
    name, digest = fields.text("bundle_name"), fields.text("bundle_digest")
    if not is_name(name):
        raise fields.error("bundle_name", f"must be letters, digits, '.', '_' or '-', not {name!r}")
    if not is_digest(digest):
        raise fields.error("bundle_digest", f"must be 64 lower-case hex digits, not {digest!r}")
    report, files = fields.mapping("report"), read_file_entries(fields)
    fields.finish()
    return Inverter(directory, digest, name, report), files


def write_inverter(
    directory: str | Path, bundle_name: str, bundle_digest: str, model: bytes, report: Mapping[str, Any]
) -> Inverter:
    """Write an inverter so that a reader finds the whole of it or nothing.

    One that lies there is replaced, anything else left alone.

    Args:
        directory: will hold the inverter.
        bundle_name: of the bundle it was trained for.
        bundle_digest: likewise.
        model: contents of `inverter.onnx`.
        report: JSON values.

    Raises:
        BundleError: a name or digest that is none, or something else lies there.
    """
    files = {MODEL: model}
    statement = {
        "schema_version": SCHEMA_VERSION,
        "bundle_name": bundle_name,
        "bundle_digest": bundle_digest,
        "report": dict(report),
        "files": {name: as_json(entry) for name, entry in file_entries(files).items()},
    }
    try:
        _parse(Path(directory), Fields(statement, STATEMENT))
    except FieldError as error:
        raise BundleError(str(error)) from None
    stored = json.dumps(statement, indent=1, allow_nan=False).encode() + b"\n"
    write_directory(Path(directory), {STATEMENT: stored, **files}, STATEMENT)
    return load_inverter(directory)


def find_inverters(*directories: str | Path) -> list[Inverter | Problem]:
    """Inverters in directories, as `siftfunnel.shared.bundle.find_bundles` finds bundles."""
    return load_all(directories, STATEMENT, load_inverter)

"""Bundles and inverters on disk: written atomically, found, loaded and verified.

NAME/manifest.json   what the bundle is; its SHA-256 is the bundle's digest
NAME/edge.onnx       input `image` as `InputSpec` says, outputs `Manifest.sent` (schema 1: `feature`, maps)
NAME/cloud.onnx      inputs `Manifest.sent`, outputs `Manifest.given` (schema 1: `logits` [N, K])
NAME/selftest-*.npz  optional: what each half made of a drawn picture (`siftfunnel.shared.selftest`)
NAME/report.json     accuracy and provenance; refers to the digest, is not part of it; has its own checksum

NAME/inverter.json   names the digest of the bundle it attacks
NAME/inverter.onnx   input `feature`, output `image` [N, 3, H, W] in [0, 1]
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.inverter import Inverter, find_inverters, load_inverter, write_inverter
from siftfunnel.shared.manifest import (
    BundleError,
    CodecSpec,
    EdgeStage,
    FeatureSpec,
    FileEntry,
    Manifest,
)
from siftfunnel.shared.storage import (
    Problem,
    file_entries,
    load_all,
    read_bytes,
    read_object,
    verify_file,
    write_directory,
)
from siftfunnel.shared.wire import check_codecs

__all__ = [
    "Bundle",
    "BundleError",
    "CodecSpec",
    "EdgeStage",
    "FeatureSpec",
    "FileEntry",
    "Inverter",
    "Manifest",
    "Problem",
    "find_bundles",
    "find_inverters",
    "load_bundle",
    "load_inverter",
    "write_bundle",
    "write_inverter",
]

EDGE, CLOUD = "edge.onnx", "cloud.onnx"
MANIFEST, REPORT = "manifest.json", "report.json"
CHECKSUM = "sha256_of_the_rest"
"""In a report: finds an edit, though not a forger's, who can write it anew."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest has been read and whose needed files have been verified.

    Attributes:
        directory: where it lies.
        manifest: what it says.
        digest: SHA-256 of the manifest's stored bytes, 64 hex digits.
    """

    directory: Path
    manifest: Manifest
    digest: str

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    def path(self, file_name: str) -> Path:
        """Where a file of the bundle lies.

        Raises:
            BundleError: the manifest lists no such file.
        """
        if file_name not in self.manifest.files:
            known = ", ".join(sorted(self.manifest.files)) or "none"
            raise BundleError(f"bundle {self.name}: no file {file_name!r} in its manifest; listed: {known}")
        return self.directory / file_name

    def read(self, file_name: str) -> bytes:
        """A file's contents, verified: what is checked is what is used.

        Raises:
            BundleError: unlisted, missing, or changed.
        """
        return verify_file(self.directory, file_name, self.manifest.files)

    def report(self) -> dict[str, Any]:
        """Accuracy and provenance as `report.json` tells them; empty where there is none.

        Raises:
            BundleError: not a JSON object, edited since it was written, or written for another digest.
        """
        path = self.directory / REPORT
        if not os.path.lexists(path):
            return {}
        report = read_object(path)
        stated = report.pop(CHECKSUM, None)
        if stated is not None and stated != _checksum(report):
            raise BundleError(
                f"{path}: has changed since it was written: its figures are not those that were measured; "
                "fetch it again"
            )
        if report.get("digest") != self.digest:
            raise BundleError(
                f"{path}: written for digest {report.get('digest')}, the manifest has {self.digest}; "
                "one of both was changed: fetch or export the bundle again"
            )
        return report


def _checksum(report: Mapping[str, Any]) -> str:
    """SHA-256 of a report's values, however they are laid out."""
    return sha256_hex(json.dumps(report, sort_keys=True, separators=(",", ":")).encode())


def load_bundle(directory: str | Path, need: Iterable[str] = (EDGE, CLOUD)) -> Bundle:
    """Read a bundle's manifest and verify the files that the caller is going to load.

    Args:
        directory: holds `manifest.json`.
        need: the files to verify; the device needs only `edge.onnx`, a tap needs none.

    Raises:
        BundleError: no manifest, a field of it is wrong, a codec's table is invalid, or a
            needed file is missing or has changed.
    """
    directory = Path(directory)
    data = read_bytes(directory / MANIFEST, "no bundle here")
    try:
        manifest = Manifest.from_json(data)
        check_codecs(manifest)
    except BundleError as error:
        raise BundleError(f"{directory}: {error}") from None
    for name in need:
        verify_file(directory, name, manifest.files)
    return Bundle(directory, manifest, sha256_hex(data))


def write_bundle(
    directory: str | Path, manifest: Manifest, files: Mapping[str, bytes], report: Mapping[str, Any]
) -> Bundle:
    """Write a bundle so that a reader finds the whole of it or nothing.

    A bundle that lies there already is replaced, anything else is left alone. Whether the graphs fit is asked
    before, with `siftfunnel.shared.bundle_check.check_halves`.

    Args:
        directory: will hold the bundle; its parent is made if need be.
        manifest: `files` of it is ignored and filled in from `files`.
        files: contents by name.
        report: JSON values; `digest` and a checksum are added.

    Raises:
        BundleError: a codec's parameters are invalid, or something else lies there.
        ValueError: a file name or a report that cannot be stored.
        OSError: it cannot be written; the error names the directory.
    """
    complete = replace(manifest, files=file_entries(files))
    check_codecs(complete)
    stored = complete.to_json()
    digest = sha256_hex(stored)
    said = {"digest": digest, **{k: v for k, v in report.items() if k not in ("digest", CHECKSUM)}}
    about = json.dumps({**said, CHECKSUM: _checksum(said)}, indent=1)
    write_directory(Path(directory), {MANIFEST: stored, REPORT: about.encode() + b"\n", **files}, MANIFEST)
    return load_bundle(directory, need=files)


def find_bundles(*directories: str | Path, need: Iterable[str] = ()) -> list[Bundle | Problem]:
    """Bundles in model directories, sorted by path; one that fails is listed with its reason.

    A directory that holds a `manifest.json` is itself a bundle; otherwise its children are
    looked at. Hidden children are skipped: a bundle that is being written is one.

    Args:
        directories: where to look.
        need: files to verify, as for `load_bundle`.
    """
    needed = tuple(need)
    return load_all(directories, MANIFEST, lambda place: load_bundle(place, needed))

"""Directories of artefacts on disk: written whole or not at all, read with every file verified."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.digests import sha256_hex
from shared.json_fields import FieldError, parse_object
from shared.manifest import BundleError, FileEntry


@dataclass(frozen=True)
class Problem:
    """A directory that looks like a bundle or an inverter and cannot be used.

    Attributes:
        directory: where.
        reason: what is wrong and what to do.
    """

    directory: Path
    reason: str


def read_bytes(path: Path, meaning: str) -> bytes:
    """A file's contents.

    Args:
        path: where it lies.
        meaning: what its absence means, for the message.

    Raises:
        BundleError: missing or unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: {meaning}: no such file") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        BundleError: missing, unreadable, or not a JSON object.
    """
    try:
        return parse_object(read_bytes(path, "missing"), str(path))
    except FieldError as error:
        raise BundleError(str(error)) from None


def file_entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Entries of a manifest for some files' contents."""
    return {name: FileEntry(sha256_hex(data), len(data)) for name, data in files.items()}


def verify_file(directory: Path, name: str, entries: Mapping[str, FileEntry]) -> bytes:
    """Read a file and check that it is the one that its manifest means.

    Raises:
        BundleError: unlisted, missing, or of another size or SHA-256.
    """
    path = directory / name
    if name not in entries:
        raise BundleError(f"{directory}: {name} is not listed in its manifest; export it again")
    entry = entries[name]
    size_bytes = path.stat().st_size if path.is_file() else entry.size_bytes
    if size_bytes != entry.size_bytes:
        raise BundleError(
            f"{path}: has changed: {size_bytes} bytes, the manifest says {entry.size_bytes}; fetch it again"
        )
    data = read_bytes(path, "listed in the manifest but not there")
    if sha256_hex(data) != entry.sha256:
        raise BundleError(
            f"{path}: has changed: SHA-256 {sha256_hex(data)}, the manifest says {entry.sha256}; "
            "fetch it again"
        )
    return data


def write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files beside `directory`, then move them there in one step.

    A directory that exists is moved away first, so for an instant there is none.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        old = Path(scratch) / "old"
        if directory.exists():
            directory.rename(old)
        try:
            fresh.rename(directory)
        except OSError:
            if old.exists():
                old.rename(directory)
            raise


def directories_with(directory: Path, file_name: str) -> list[Path]:
    """`directory` if it holds the file, else its visible children that do, sorted."""
    if (directory / file_name).exists():
        return [directory]
    children = (child for child in directory.iterdir() if not child.name.startswith("."))
    return sorted(child for child in children if (child / file_name).exists())

"""Directories of artefacts on disk: written whole or not at all, read with every file verified."""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from siftfunnel.shared.digests import sha256_hex
from siftfunnel.shared.files import naming, read_regular
from siftfunnel.shared.json_fields import FieldError, Fields, parse_object
from siftfunnel.shared.manifest import MAX_MANIFEST_BYTES, BundleError, FileEntry
from siftfunnel.shared.onnx_references import reads_other_files

Artefact = TypeVar("Artefact")
# lies beside the files that a manifest lists
_LOOSE = ("report.json",)


@dataclass(frozen=True)
class Problem:
    """A directory that looks like a bundle or an inverter and cannot be used.

    Attributes:
        directory: where.
        reason: what is wrong and what to do.
    """

    directory: Path
    reason: str


def read_bytes(path: Path, meaning: str, limit_bytes: int = MAX_MANIFEST_BYTES) -> bytes:
    """A regular file's contents.

    Args:
        path: where it lies.
        meaning: what its absence means, for the message.
        limit_bytes: the most that is read; as much as a manifest may have unless told otherwise.

    Raises:
        BundleError: missing, unreadable, no regular file, or larger than the limit.
    """
    try:
        return read_regular(path, limit_bytes)
    except FileNotFoundError:
        raise BundleError(f"{path}: {meaning}: no such file") from None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BundleError(f"{path}: cannot be read: {error}") from None


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
    """Read a file and check that it is the one that its manifest means, and all that it needs.

    Raises:
        BundleError: unlisted, missing, of another size or SHA-256, or a model that keeps weights in
            other files, which no manifest vouches for.
    """
    path = directory / name
    if name not in entries:
        raise BundleError(f"{directory}: {name} is not listed in its manifest; export it again")
    entry = entries[name]
    size_bytes = os.path.getsize(path) if os.path.isfile(path) else entry.size_bytes
    if size_bytes != entry.size_bytes:
        raise BundleError(
            f"{path}: has changed: {size_bytes} bytes, the manifest says {entry.size_bytes}; fetch it again"
        )
    data = read_bytes(path, "listed in the manifest but not there", entry.size_bytes)
    if sha256_hex(data) != entry.sha256:
        raise BundleError(
            f"{path}: has changed: SHA-256 {sha256_hex(data)}, the manifest says {entry.sha256}; "
            "fetch it again"
        )
    _require_self_contained(path, data)
    return data


def _require_self_contained(path: Path, data: bytes) -> None:
    if path.suffix == ".onnx" and reads_other_files(data):
        raise BundleError(f"{path}: keeps weights in other files; export it again as one file")


def write_directory(directory: Path, files: Mapping[str, bytes], statement: str) -> None:
    """Write files beside `directory`, then move them there in one step.

    An artefact of the same kind is moved away first, so for an instant there is none; a link to it stays.

    Args:
        directory: will hold the files.
        files: contents by name.
        statement: the one of `files` that says what the artefact is; a directory that holds things and not
            this file is somebody else's.

    Raises:
        BundleError: something else lies there, or a model that keeps weights in other files.
        OSError: it cannot be written; the error names the directory.
    """
    for name, data in files.items():
        _require_self_contained(directory / name, data)
    require_own(directory, statement)
    with naming(directory):
        _write_directory(Path(os.path.realpath(directory)), files)


def require_own(directory: Path, statement: str) -> None:
    """Refuse to replace anything that an artefact of the same kind does not list.

    Raises:
        BundleError: something else lies there.
    """
    if not os.path.lexists(directory):
        return
    if not directory.is_dir():
        raise BundleError(f"{directory}: is no folder and is left alone; name a new one")
    foreign = sorted({entry.name for entry in directory.iterdir()} - _own_names(directory / statement))
    if foreign:
        raise BundleError(
            f"{directory}: holds {foreign[0]!r}, which is not of what is written here, and is left alone; "
            "name a new or empty folder"
        )


def _own_names(statement: Path) -> set[str]:
    try:
        stated = read_object(statement)
        return {statement.name, *_LOOSE, *Fields(stated, statement.name).mapping("files")}
    except ValueError:
        return set()


def _write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
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


def load_all(
    directories: Iterable[str | Path], statement: str, load: Callable[[Path], Artefact]
) -> list[Artefact | Problem]:
    """Load what lies in directories, in order; what fails is listed with its reason.

    Args:
        directories: artefacts themselves, or folders of them.
        statement: the file that makes a directory an artefact.
        load: raises `BundleError` for one that cannot be used.
    """
    found: list[Artefact | Problem] = []
    for directory in map(Path, directories):
        try:
            found.extend(_load_one(place, load) for place in directories_with(directory, statement))
        except BundleError as error:
            found.append(Problem(directory, str(error)))
    return found


def _load_one(place: Path, load: Callable[[Path], Artefact]) -> Artefact | Problem:
    try:
        return load(place)
    except BundleError as error:
        return Problem(place, str(error))


def directories_with(directory: Path, file_name: str) -> list[Path]:
    """`directory` if it holds the file, else its visible children that do, sorted.

    Children that may not be looked into, as `lost+found`, hold nothing.

    Raises:
        BundleError: no such directory, or it cannot be read.
    """
    # os.path, because Path.exists raises where looking is not allowed
    if os.path.exists(directory / file_name):
        return [directory]
    try:
        children = [child for child in directory.iterdir() if not child.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{directory}: no such directory") from None
    except OSError as error:
        raise BundleError(f"{directory}: cannot be read: {error.strerror}") from None
    return sorted(child for child in children if os.path.exists(child / file_name))

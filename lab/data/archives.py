"""Where pictures lie: directories, tars and zips, listed first and read one by one."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from siftfunnel.lab.data.images import DataError
from siftfunnel.shared.pictures import PICTURE_SUFFIXES, is_picture_name

FETCH_AGAIN = "the file is truncated or damaged; fetch it again"
_ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError)


@dataclass(frozen=True)
class StoredPicture:
    """A picture that has not been read yet.

    Attributes:
        label: Its class folder's name.
        file: Its file's name.
        where: Archive and member, for messages.
        read: Returns the encoded bytes; ``DataError`` when the archive is damaged.
        folder: Its folder within a tar, without ``..``; empty elsewhere.
    """

    label: str
    file: str
    where: str
    read: Callable[[], bytes]
    folder: Path = Path()

    @property
    def name(self) -> str:
        """``<class>/<file>``."""
        return f"{self.label}/{self.file}"


def is_picture(name: str) -> bool:
    """Whether a member of an archive is a picture by the end of its name; hidden files are not."""
    return is_picture_name(PurePosixPath(name).name)


def require_file(path: Path) -> None:
    """Refuse a path at which there is no file."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")


def _refuse_empty_classes(found: Iterable[str], folders: Iterable[str], source: Path) -> None:
    empty = sorted(set(folders) - set(found))
    if empty:
        raise DataError(
            f"{source}: class {', '.join(map(repr, empty[:5]))} has no pictures"
            + (f" (nor have {len(empty) - 5} more)" if len(empty) > 5 else "")
            + f"; add pictures ({', '.join(sorted(PICTURE_SUFFIXES))}) or remove the folder"
        )


def list_class_folder(path: Path) -> list[StoredPicture]:
    """The pictures of a directory whose sub-directories are the classes, sorted.

    Raises:
        DataError: no such directory, or a class without pictures.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such directory")
    files = sorted(p for p in path.glob("*/*") if is_picture(p.name) and not p.parent.name.startswith("."))
    folders = [p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]
    if files:
        _refuse_empty_classes({p.parent.name for p in files}, folders, path)
    return [StoredPicture(p.parent.name, p.name, str(p), p.read_bytes) for p in files]


@contextmanager
def open_tar(path: Path) -> Iterator[tuple[tarfile.TarFile, list[tarfile.TarInfo]]]:
    """A tar archive, compressed or not, with its members.

    Raises:
        DataError: not there, not a tar archive, or cut off.
    """
    require_file(path)
    try:
        archive = tarfile.open(path)  # noqa: SIM115 - closed by the with below; opened apart for its own error
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: cannot be opened as a tar archive ({error})") from error
    with archive:
        try:
            members = archive.getmembers()
        except _ARCHIVE_ERRORS as error:
            raise DataError(f"{path}: cannot be read as a tar archive ({error}): {FETCH_AGAIN}") from error
        yield archive, members


def read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    """The bytes of a member that is a regular file."""
    try:
        stream = archive.extractfile(member)
        assert stream is not None  # a regular file always has a stream
        return stream.read()
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: {member.name} cannot be read ({error}): {FETCH_AGAIN}") from error


@contextmanager
def open_class_tar(path: Path) -> Iterator[list[StoredPicture]]:
    """The pictures of a tar of ``<class>/<file>``, sorted by member; readable inside the ``with``.

    Raises:
        DataError: no tar archive, cut off, a picture outside a class folder, or a class without pictures.
    """
    with open_tar(path) as (archive, members):
        pictures = sorted((m for m in members if m.isfile() and is_picture(m.name)), key=lambda m: m.name)
        depths = set()
        for member in pictures:
            parts = Path(member.name).parts
            if ".." in parts or Path(member.name).is_absolute():
                raise DataError(f"{path}: member {member.name} points outside of the archive; pack it again")
            if len(parts) < 2:
                raise DataError(f"{path}: member {member.name} has no class folder; expected <class>/<file>")
            depths.add(len(parts) - 1)
        folders = [Path(m.name).name for m in members if m.isdir() and len(Path(m.name).parts) in depths]
        _refuse_empty_classes({Path(m.name).parts[-2] for m in pictures}, folders, path)

        def reader(member: tarfile.TarInfo) -> Callable[[], bytes]:
            return lambda: read_member(archive, member, path)

        yield [
            StoredPicture(
                Path(m.name).parts[-2], Path(m.name).name, f"{path}:{m.name}", reader(m), Path(m.name).parent
            )
            for m in pictures
        ]


@contextmanager
def open_picture_zip(path: Path, label: str) -> Iterator[list[StoredPicture]]:
    """The pictures of a zip, wherever in it they lie, sorted by name and all of one class.

    Raises:
        DataError: no zip archive, cut off, or no pictures in it.
    """
    require_file(path)
    try:
        archive = zipfile.ZipFile(path)
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: cannot be opened as a zip archive ({error}): {FETCH_AGAIN}") from error
    with archive:
        names = sorted(n for n in archive.namelist() if is_picture(n) and not n.startswith("__MACOSX/"))
        if not names:
            raise DataError(
                f"{path}: no pictures in this zip ({len(archive.namelist())} other members); "
                f"expected {', '.join(sorted(PICTURE_SUFFIXES))}"
            )

        def reader(name: str) -> Callable[[], bytes]:
            def read() -> bytes:
                try:
                    return archive.read(name)
                except (*_ARCHIVE_ERRORS, RuntimeError) as error:  # RuntimeError: encrypted
                    raise DataError(f"{path}: {name} cannot be read ({error}): {FETCH_AGAIN}") from error

            return read

        yield [StoredPicture(label, PurePosixPath(n).name, f"{path}:{n}", reader(n)) for n in names]


def list_flat_folder(path: Path, label: str) -> list[StoredPicture]:
    """The pictures anywhere below a directory, sorted by path and all of one class."""
    files = sorted(p for p in path.rglob("*") if is_picture(p.name))
    return [StoredPicture(label, p.name, str(p), p.read_bytes) for p in files]

"""Where pictures lie: directories, tars and zips, listed first and read one by one."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from siftfunnel.lab.data.images import DataError
from siftfunnel.shared.pictures import PICTURE_SUFFIXES, is_picture_name

FETCH_AGAIN = "the file is truncated or damaged; fetch it again"
_ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError)


@dataclass(frozen=True)
class StoredPicture:
    """A picture that has not been read yet.

    Attributes:
        label: The name of the folder that it lies in; empty where there is none.
        path: Where it lies within its folder or archive.
        where: The same with the archive before it, for messages.
        read: Returns the encoded bytes; ``DataError`` when the archive is damaged.
    """

    label: str
    path: PurePosixPath
    where: str
    read: Callable[[], bytes]

    @property
    def file(self) -> str:
        """Its file's name."""
        return self.path.name

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
def _open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    require_file(path)
    try:
        archive = zipfile.ZipFile(path)
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: cannot be opened as a zip archive ({error}): {FETCH_AGAIN}") from error
    with archive:
        yield archive


def _read_zipped(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        return archive.read(name)
    except (*_ARCHIVE_ERRORS, RuntimeError) as error:  # RuntimeError: encrypted
        raise DataError(f"{path}: {name} cannot be read ({error}): {FETCH_AGAIN}") from error


def _stored(name: str, where: str, read: Callable[[], bytes]) -> StoredPicture:
    path = PurePosixPath(name)
    return StoredPicture(path.parent.name, path, where, read)


def _in_folder(files: Iterable[Path], place: Path) -> list[StoredPicture]:
    found = sorted(path for path in files if is_picture(path.name) and path.is_file())
    return [_stored(path.relative_to(place).as_posix(), str(path), path.read_bytes) for path in found]


def _in_tar(archive: tarfile.TarFile, members: Iterable[tarfile.TarInfo], place: Path) -> list[StoredPicture]:
    found = sorted((m for m in members if m.isfile() and is_picture(m.name)), key=lambda m: m.name)
    return [_stored(m.name, f"{place}:{m.name}", partial(read_member, archive, m, place)) for m in found]


@contextmanager
def open_pictures(place: Path) -> Iterator[list[StoredPicture]]:
    """Every picture below a folder, or in a tar or zip, sorted by path; readable inside the ``with``.

    Raises:
        DataError: nothing there, no such archive, cut off, or a zip without pictures.
    """
    if place.is_dir():
        yield _in_folder(place.rglob("*"), place)
    elif place.suffix == ".zip":
        with _open_zip(place) as archive:
            names = sorted(n for n in archive.namelist() if is_picture(n) and not n.startswith("__MACOSX/"))
            if not names:
                raise DataError(
                    f"{place}: no pictures in this zip ({len(archive.namelist())} other members); "
                    f"expected {', '.join(sorted(PICTURE_SUFFIXES))}"
                )
            yield [_stored(n, f"{place}:{n}", partial(_read_zipped, archive, n, place)) for n in names]
    else:
        with open_tar(place) as (opened, members):
            yield _in_tar(opened, members, place)


@contextmanager
def open_classes(place: Path) -> Iterator[list[StoredPicture]]:
    """The pictures of a folder or a tar of ``<class>/<file>``, sorted by path; readable inside the ``with``.

    In a tar the class folders may lie deeper.

    Raises:
        DataError: no tar archive, cut off, a picture of a tar outside a class folder, or a class without
            pictures.
    """
    if place.is_dir():
        found = [p for p in _in_folder(place.glob("*/*"), place) if not p.label.startswith(".")]
        folders = [p.name for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")]
        if found:
            _refuse_empty_classes({p.label for p in found}, folders, place)
        yield found
        return
    with open_tar(place) as (archive, members):
        pictures = _in_tar(archive, members, place)
        for picture in pictures:
            if ".." in picture.path.parts or picture.path.is_absolute():
                raise DataError(
                    f"{place}: member {picture.path} points outside of the archive; pack it again"
                )
            if not picture.label:
                raise DataError(
                    f"{place}: member {picture.path} has no class folder; expected <class>/<file>"
                )
        depths = {len(picture.path.parts) - 1 for picture in pictures}
        inside = [PurePosixPath(member.name) for member in members if member.isdir()]
        folders = [path.name for path in inside if len(path.parts) in depths]
        _refuse_empty_classes({picture.label for picture in pictures}, folders, place)
        yield pictures

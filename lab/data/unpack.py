"""``siftfunnel data``: real pictures as class folders of PNG files, from an archive that is checked first.

    OUT/train/<class>/<number>.png      OUT/test/<class>/<number>.png

Reads CIFAR-10's official binary archive (downloading it where none is given) or a tar of class folders, whose
folders it keeps. A file that is there already with another content is never replaced. No PyTorch.
"""

import hashlib
import io
import tarfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.data.archives import open_classes
from siftfunnel.lab.data.cifar10 import BATCHES, iterate_batches
from siftfunnel.lab.data.decoding import decode_rgb
from siftfunnel.lab.data.images import DataError

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_BYTES = 170_052_171
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30

Show = Callable[[str], None]


def require_sha256(path: Path, expected: str) -> None:
    """Refuse a file with another SHA-256; the text names both."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise DataError(
            f"{path}: SHA-256 is {found}, the official archive has {expected}; "
            "delete the file and fetch it again"
        )


def download(url: str, path: Path, expected_bytes: int, show: Show) -> None:
    """Fetch a file, telling how far it is; it appears under its name only when it is whole.

    Raises:
        DataError: no connection, or fewer or more bytes than expected.
    """
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, partial.open("wb") as stored:
            done = _copy(answer, stored, expected_bytes, show)
    except (urllib.error.URLError, OSError) as error:
        raise DataError(
            f"{url} cannot be fetched ({error}); fetch it on a machine with a network and pass --archive FILE"
        ) from error
    if done != expected_bytes:
        raise DataError(f"{url}: {done} bytes arrived instead of {expected_bytes}; try again")
    partial.replace(path)


def _copy(source: BinaryIO, target: BinaryIO, expected_bytes: int, show: Show) -> int:
    done, shown = 0, -1
    while chunk := source.read(_CHUNK_BYTES):
        target.write(chunk)
        done += len(chunk)
        tenth = done * 10 // expected_bytes
        if tenth > shown:
            shown = tenth
            show(f"downloaded {done / 1e6:.0f} of {expected_bytes / 1e6:.0f} MB")
        if done > expected_bytes:
            break
    return done


def _write_png(picture_HWC: NDArray[np.uint8], path: Path) -> None:
    """Write a picture; one that is there already must be the same.

    Raises:
        DataError: another file has that name.
    """
    encoded = io.BytesIO()
    Image.fromarray(picture_HWC).save(encoded, format="PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if path.read_bytes() != encoded.getvalue():
            raise DataError(f"{path} is there already and differs; unpack into an empty folder")
        return
    path.write_bytes(encoded.getvalue())


def unpack_binary_archive(archive: Path, out: Path, show: Show) -> int:
    """Write the binary archive's pictures below ``out``/train and ``out``/test; how many there were."""
    written = 0
    for split, names in BATCHES.items():
        number = 0
        for name, batch in iterate_batches(archive, names):
            for picture, label in zip(batch.images_NHWC, batch.labels, strict=True):
                _write_png(picture, out / split / batch.classes[label] / f"{number:05d}.png")
                number += 1
            show(f"{name}: {len(batch)} pictures")
        written += number
    return written


def unpack_class_tar(archive: Path, out: Path, show: Show) -> int:
    """Write the pictures of a tar of class folders as PNG in the same folders below ``out``; how many.

    Files of one folder that differ in their suffix alone keep it: ``1.jpg`` and ``1.bmp`` become
    ``1.jpg.png`` and ``1.bmp.png``.
    """
    with open_classes(archive) as pictures:
        if not pictures:
            raise DataError(f"{archive}: no pictures found; expected members <class>/<file>")
        stems = Counter(picture.path.with_suffix("") for picture in pictures)
        for picture in pictures:
            name = picture.path.stem if stems[picture.path.with_suffix("")] == 1 else picture.file
            _write_png(decode_rgb(picture.read(), picture.where), out / picture.path.parent / f"{name}.png")
    show(f"{archive.name}: {len(pictures)} pictures")
    return len(pictures)


def is_binary_archive(archive: Path) -> bool:
    """Whether a tar holds CIFAR-10's binary batches (and not class folders).

    Raises:
        DataError: not a tar archive, or not there.
    """
    try:
        with tarfile.open(archive) as opened:
            return any(name.endswith(".bin") for name in opened.getnames())
    except FileNotFoundError:
        raise DataError(f"{archive}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{archive}: is a folder, not a tar archive") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        # of a file that is none at all, tarfile says so once per compression it knows, on a line each
        why = str(error).partition("\n")[0].rstrip(":")
        raise DataError(f"{archive}: cannot be read as a tar archive ({why})") from error


def unpack_cifar10(archive: Path | None, out: Path, show: Show, *, verify: bool = True) -> int:
    """Unpack CIFAR-10 into class folders of PNG files; how many pictures there were.

    Args:
        archive: The official binary archive, or a tar of class folders, unpacked straight into ``out``; None
            downloads the official one to ``out``.
        out: The directory that receives the folders.
        show: Called with lines for the user.
        verify: Whether the binary archive must be the official one, byte for byte.

    Raises:
        DataError: not the official archive, damaged, or not to be had.
    """
    if archive is None:
        archive = out / CIFAR10_URL.rsplit("/", 1)[1]
        if not archive.is_file():
            download(CIFAR10_URL, archive, CIFAR10_BYTES, show)
    if not is_binary_archive(archive):
        show(f"{archive.name}: no binary archive of CIFAR-10; its class folders are unpacked as they are")
        return unpack_class_tar(archive, out, show)
    if verify:
        require_sha256(archive, CIFAR10_SHA256)
    return unpack_binary_archive(archive, out, show)

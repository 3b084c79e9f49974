"""Small archives of made-up pictures, in the layouts that the data sets come in."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siftfunnel.lab.data.images import Splits


def noise(rng: np.random.Generator, width: int = 8, height: int = 8, grey: bool = False) -> NDArray[np.uint8]:
    """A picture that no other equals."""
    return rng.integers(0, 256, (height, width) if grey else (height, width, 3), dtype=np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture as PNG."""
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, format="PNG")
    return stored.getvalue()


def pictures(classes: dict[str, int], size: int = 8, seed: int = 0, grey: bool = False) -> dict[str, bytes]:
    """PNG files by ``<class>/<number>.png``, so many of each class."""
    rng = np.random.default_rng(seed)
    return {
        f"{name}/{number:04d}.png": png(noise(rng, size, size, grey))
        for name, count in classes.items()
        for number in range(count)
    }


def write_files(folder: Path, members: dict[str, bytes]) -> Path:
    """Files below a directory."""
    for name, data in members.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w", folders: tuple[str, ...] = ()) -> Path:
    """A tar of members, ``w`` or ``w:gz``; ``folders`` become directory entries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    """A zip of members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def cut_short(path: Path, keep: float = 0.5) -> Path:
    """Cut a file off, as an interrupted download leaves it."""
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    return path


def save_parts_npz(splits: Splits, path: Path) -> None:
    """Write splits as one compressed npz that ``load_parts_npz`` reads back as the same parts."""
    arrays: dict[str, NDArray[Any]] = {
        "classes": np.array(splits.train.classes),
        "auxiliary_classes": np.array(splits.auxiliary.classes),
    }
    for name, part in splits.parts().items():
        arrays[f"{name}_data"], arrays[f"{name}_labels"] = part.images_NHWC, part.labels
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # no array is named allow_pickle

"""Decoded arrays on disk, so that pictures are decoded and resized once."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from siftfunnel.lab.data.images import DataError, ImageSet


def save_cache(images: ImageSet, folder: Path) -> None:
    """Write an image set as two ``.npy`` files and a JSON file with its classes and the pixels' SHA-256.

    The folder appears whole: whoever finds it may read it, also while another process writes the same set.
    """
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    np.save(partial / "images.npy", images.images_NHWC, allow_pickle=False)
    np.save(partial / "labels.npy", images.labels, allow_pickle=False)
    meta = {"classes": list(images.classes), "images_sha256": images.pixels_sha256()}
    (partial / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
    try:
        partial.replace(folder)
    except OSError:
        if not (folder / "meta.json").is_file():
            raise
        shutil.rmtree(partial)


def load_cache(folder: Path) -> ImageSet:
    """Read what ``save_cache`` wrote; the pixels stay on disk until they are taken, nothing is unpickled.

    Raises:
        DataError: damaged.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text())
        return ImageSet(
            np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False),
            np.load(folder / "labels.npy", allow_pickle=False),
            tuple(meta["classes"]),
        )
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise DataError(f"{folder}: this cache is damaged ({error}); delete the folder") from error


def fingerprint(sources: Sequence[Path]) -> str:
    """Eight hex digits that change when a file, or a file in a directory, changes its name, size or time."""
    digest = hashlib.sha256()
    for source in sources:
        inside = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        for path in inside:
            facts = path.stat()
            digest.update(f"{path.relative_to(source.parent)}:{facts.st_size}:{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:8]


def through_cache(folder: Path | None, make: Callable[[], ImageSet]) -> ImageSet:
    """What is kept in ``folder``, made and kept first where nothing is; no folder, no cache."""
    if folder is None:
        return make()
    if not (folder / "meta.json").is_file():
        save_cache(make(), folder)
    return load_cache(folder)


def cached_set(
    cache: Path | None, name: str, sources: Sequence[Path], size: int | None, read: Callable[[], ImageSet]
) -> ImageSet:
    """What ``read`` makes of ``sources`` at ``size``, kept in ``cache`` under a name that says all three.

    Args:
        cache: Directory of all caches, or None.
        name: What it is, such as ``cifar10-train``.
        sources: The files and directories that ``read`` reads.
        size: The size that ``read`` resizes to; None for the stored size.
        read: Decodes.
    """
    if cache is None:
        return read()
    return through_cache(cache / f"{name}-{size or 'stored'}-{fingerprint(sources)}", read)

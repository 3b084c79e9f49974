"""Pictures of a directory: class sub-folders as labels or flat, in order or shuffled, cycling, or watched."""

import os
import random
import stat
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from edge_client.errors import SourceError
from edge_client.picture import Picture

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What counts as a picture; other files are left alone."""


def find_pictures(directory: str | Path) -> list[Path]:
    """Picture files below a directory, sorted; hidden files and folders are skipped.

    Raises:
        SourceError: no such directory, or it cannot be read.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise SourceError(f"{directory}: no such directory of pictures")
    found: list[Path] = []
    entered: set[str] = set()

    def complain(error: OSError) -> None:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}")

    for folder, subfolders, names in os.walk(directory, followlinks=True, onerror=complain):
        if (real := os.path.realpath(folder)) in entered:
            # a link to a folder above would be followed for ever
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found.extend(Path(folder, name) for name in names if _is_picture(name))
    return sorted(found)


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def label_of(path: Path, directory: Path) -> str | None:
    """The class a picture shows: the first folder below the directory; None for one that lies flat."""
    parts = path.relative_to(directory).parts
    return parts[0] if len(parts) > 1 else None


class DirectorySource:
    """The pictures that a directory holds now.

    Args:
        directory: class sub-folders, or a flat folder.
        shuffle_seed: shuffles, the same way for the same seed; None keeps the order of the names.
        cycling: begins again at the end, so that any number of frames can be had.

    Raises:
        SourceError: no such directory, or no picture in it.
    """

    keeps_latest = False

    def __init__(
        self, directory: str | Path, *, shuffle_seed: int | None = None, cycling: bool = False
    ) -> None:
        self.directory = Path(directory)
        self.paths = find_pictures(directory)
        if not self.paths:
            raise SourceError(
                f"{directory}: no picture in it or its sub-folders; "
                f"pictures end in {', '.join(sorted(SUFFIXES))}"
            )
        if shuffle_seed is not None:
            random.Random(shuffle_seed).shuffle(self.paths)
        self._cycling = cycling

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`."""
        for path in cycle(self.paths) if self._cycling else self.paths:
            if stop.is_set():
                return
            yield Picture(str(path), path, label_of(path, self.directory))


class WatchedDirectory:
    """The pictures a directory holds, then each new one, until stopped.

    A file counts as complete when its size and time of change are the same in two looks one after the other
    and it is not empty. A file that changes later is a new picture.

    Args:
        directory: class sub-folders, or a flat folder; it may be empty.
        poll_s: time between two looks, seconds.

    Raises:
        SourceError: no such directory.
    """

    keeps_latest = False

    def __init__(self, directory: str | Path, *, poll_s: float = 0.3) -> None:
        self.directory = Path(directory)
        self._poll_s = poll_s
        self._given: dict[Path, tuple[int, int]] = {}
        self._seen: dict[Path, tuple[int, int]] = {}
        find_pictures(directory)

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """See `Source`."""
        while not stop.is_set():
            begun_s = time.monotonic()
            ready = self.settled()
            look_s = time.monotonic() - begun_s
            for path in ready:
                yield Picture(str(path), path, label_of(path, self.directory))
                if stop.is_set():
                    return
            # looking through a large directory must not become the device's main occupation
            stop.wait(max(self._poll_s, 4 * look_s))

    def settled(self) -> list[Path]:
        """Look once: files that have not changed since the last look and were not given out as they are."""
        now = {path: mark for path in find_pictures(self.directory) if (mark := _mark(path)) is not None}
        ready = [path for path, mark in now.items() if self._seen.get(path) == mark != self._given.get(path)]
        self._seen = now
        # what was deleted is forgotten, so that memory follows the directory and not its history
        self._given = {path: mark for path, mark in self._given.items() if path in now}
        self._given.update({path: now[path] for path in ready})
        return ready


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    if status.st_size == 0 or not stat.S_ISREG(status.st_mode):
        return None
    return status.st_mtime_ns, status.st_size

"""Pictures of a directory: class sub-folders as labels or flat, in order or shuffled, cycling, or watched."""

import logging
import os
import random
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.picture import Picture
from siftfunnel.shared.pictures import PICTURE_SUFFIXES, is_picture_name
from siftfunnel.shared.showing import counted, printable

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What lies below a directory.

    Attributes:
        pictures: picture files, sorted.
        passed_over: other files by the end of their names, hidden ones left out.
        unreadable: folders that may not be read or went away meanwhile, with the reason.
    """

    pictures: list[Path]
    passed_over: Counter[str]
    unreadable: list[str]

    def remarks(self) -> list[str]:
        """A sentence for each kind of thing that was passed over."""
        kinds = ", ".join(f"{end or 'no ending'} {count}" for end, count in self.passed_over.most_common(5))
        total = self.passed_over.total()
        said = [f"{counted(total, 'file')} passed over by the end of the name: {kinds}"] if total else []
        return said + [f"{reason}; passed over" for reason in self.unreadable]


def look_through(directory: str | Path) -> Found:
    """Look for pictures below a directory; hidden files and folders are skipped, links followed.

    Raises:
        SourceError: no such directory, or it cannot be read.
    """
    directory = Path(directory)
    if not os.path.isdir(directory):
        raise SourceError(f"{directory}: no such directory of pictures")
    found = Found([], Counter(), [])
    entered: set[str] = set()

    def complain(error: OSError) -> None:
        reason = f"{error.filename}: cannot be read: {error.strerror}"
        if error.filename == str(directory):
            raise SourceError(reason)
        found.unreadable.append(reason)

    for folder, subfolders, names in os.walk(directory, followlinks=True, onerror=complain):
        if (real := os.path.realpath(folder)) in entered:
            # a link to a folder above would be followed for ever
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if is_picture_name(name):
                found.pictures.append(Path(folder, name))
            elif not name.startswith("."):
                found.passed_over[Path(name).suffix.lower()] += 1
    found.pictures.sort()
    return found


def find_pictures(directory: str | Path) -> list[Path]:
    """Picture files below a directory, sorted; see `look_through`."""
    return look_through(directory).pictures


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
        remarking: tells what it passes over.

    Raises:
        SourceError: no such directory, or no picture in it.
    """

    keeps_latest = False

    def __init__(
        self,
        directory: str | Path,
        *,
        shuffle_seed: int | None = None,
        cycling: bool = False,
        remarking: bool = True,
    ) -> None:
        self.directory = Path(directory)
        found = look_through(directory)
        self.paths = found.pictures
        remarks = found.remarks()
        if not self.paths:
            raise SourceError(
                "; ".join(
                    [
                        f"{directory}: no picture in it or its sub-folders",
                        *remarks,
                        f"pictures end in {', '.join(sorted(PICTURE_SUFFIXES))}",
                    ]
                )
            )
        for remark in remarks if remarking else ():
            _log.warning("%s: %s", directory, printable(remark))
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
    and it is not empty. A file that changes later is a new picture. A folder that goes away or may not be
    read is looked for again at every look, the directory itself too.

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
        self._said: set[str] = set()
        look_through(directory)

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
        now = {path: mark for path in self._pictures() if (mark := _mark(path)) is not None}
        ready = [path for path, mark in now.items() if self._seen.get(path) == mark != self._given.get(path)]
        self._seen = now
        # what was deleted is forgotten, so that memory follows the directory and not its history
        self._given = {path: mark for path, mark in self._given.items() if path in now}
        self._given.update({path: now[path] for path in ready})
        return ready

    def _pictures(self) -> list[Path]:
        try:
            found = look_through(self.directory)
        except SourceError as error:
            found = Found([], Counter(), [str(error)])
        for reason in found.unreadable:
            if reason not in self._said:
                _log.warning("%s; looking again", printable(reason))
        # said again when it goes away again
        self._said = set(found.unreadable)
        return found.pictures


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    if status.st_size == 0 or not stat.S_ISREG(status.st_mode):
        return None
    return status.st_mtime_ns, status.st_size

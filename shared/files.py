"""One file read or written: nothing but regular files is read, nothing but regular files is replaced.

A file is replaced in one step, so that a reader finds all of it or what was there before. A device, a pipe
or the file that standard output goes to already is written through, and a link stays a link.
"""

import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

_ADVICE = MappingProxyType(
    {
        errno.ENOSPC: "free some room or name another place",
        errno.EDQUOT: "free some room or name another place",
        errno.EROFS: "name another place",
        errno.EACCES: "mend its rights or name another place",
        errno.ENOENT: "make its folder first",
    }
)
# a folder that takes no new file, or a file that is a mount point of its own, as containers have them
_NOT_REPLACEABLE = (errno.EACCES, errno.EPERM, errno.EBUSY)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe is not waited for, a device not touched.

    Args:
        path: where it lies; links are followed.

    Raises:
        ValueError: a device, a pipe or a socket; the text does not name the path.
        OSError: missing or unreadable, or a folder.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise ValueError("is a device, a pipe or a socket, not a file")


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """A regular file's contents, of which no more than a limit is read.

    Args:
        path: where it lies; links are followed.
        limit_bytes: the most that the file may hold.

    Raises:
        ValueError: larger than the limit, or no regular file; the text does not name the path.
        OSError: missing or unreadable, or a folder.
    """
    with open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        # one byte more than allowed: a file may grow while it is read
        data = b"" if size_bytes > limit_bytes else file.read(limit_bytes + 1)
    if max(size_bytes, len(data)) > limit_bytes:
        raise ValueError(f"{max(size_bytes, len(data))} bytes, more than {limit_bytes}")
    return data


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file in one step, or through whatever else lies at the path.

    Args:
        path: where; its folder must exist.
        data: bytes, or text that is stored as UTF-8.

    Raises:
        OSError: it cannot be written; the error names the file and says what to do.
    """
    stored = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    with naming(path):
        status = _status(path)
        stream = None if status is None else _stream_into(status)
        if stream is not None:
            _write_through(os.dup(stream), stored)
        elif status is None or stat.S_ISREG(status.st_mode):
            _replace(path, stored, is_there=status is not None)
        else:
            _write_through(os.open(path, os.O_WRONLY), stored)


def require_place(path: Path | None, flag: str) -> None:
    """Refuse, before a run whose end writes a file, a place that cannot take one.

    Args:
        path: the file's; None for none.
        flag: names it in the message.

    Raises:
        ValueError: there is no such folder, or the path is one.
    """
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{flag} {path}: no such folder; make it first")
    if path is not None and path.is_dir():
        raise ValueError(f"{flag} {path}: is a folder; name a file in it")


@contextmanager
def naming(place: Path | str) -> Iterator[None]:
    """Let what goes wrong while a place is written name it and say what to do; a broken pipe stays as it is.

    Raises:
        OSError: of the same number and so of the same type.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        number = error.errno or errno.EIO
        advice = f"; {_ADVICE[number]}" if number in _ADVICE else ""
        raise OSError(number, f"cannot be written: {os.strerror(number)}{advice}", str(place)) from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _stream_into(status: os.stat_result) -> int | None:
    """The descriptor of standard output or error where that goes into the same file."""
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None and os.path.samestat(status, os.fstat(stream.fileno())):
                stream.flush()
                return stream.fileno()
        except (OSError, ValueError):
            continue
    return None


def _write_through(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(data)


def _replace(path: Path, data: bytes, *, is_there: bool) -> None:
    target = path.resolve()
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        try:
            with open(partial, "xb") as file:
                file.write(data)
            if is_there:
                partial.chmod(stat.S_IMODE(target.stat().st_mode))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        if not is_there or error.errno not in _NOT_REPLACEABLE:
            raise
        target.write_bytes(data)

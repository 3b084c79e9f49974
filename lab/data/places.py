"""Finding a data set's files below the directory that the user names."""

from collections.abc import Iterable
from pathlib import Path

from siftfunnel.lab.data.images import DataError


def require_data(data: Path | None, dataset: str, wanted: str) -> Path:
    """The data directory (or file); refuses none given and none there.

    Args:
        data: What the user gave.
        dataset: The data set's name, for the message.
        wanted: What should be in it, for the message.
    """
    if data is None:
        raise DataError(f"{dataset} needs --data DIR with {wanted} in it")
    if not data.exists():
        raise DataError(f"{data}: no such directory; {dataset} needs one with {wanted} in it")
    return data


def find(data: Path, names: Iterable[str], folders: Iterable[str] = ()) -> Path | None:
    """The first of ``names`` that exists in ``data`` or in one of its ``folders``, or None."""
    rooms = [data, *(data / folder for folder in folders)]
    for name in names:
        for room in rooms:
            if (room / name).exists():
                return room / name
    return None

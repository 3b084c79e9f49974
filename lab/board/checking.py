"""Whether an entry's figures follow from what it names: its result, else its bundle, else themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from siftfunnel.lab.board.entry import BOARD, Entry, as_json
from siftfunnel.lab.board.sources import DEVICE, Bundles, entries_of, of_bundle
from siftfunnel.shared.bundle import Bundle

LEAST_BYTES, LEAST_SHARE = 0.11, 1.1e-4
"""What rounding twice makes of a bundle's report, which has one digit of bytes and four of a share."""


class Checker:
    """Holds entries against what they name; each result is read once.

    Args:
        bundles: Those at hand, by digest.
        root: The repository, below which results are looked for.
    """

    def __init__(self, bundles: Bundles, root: Path = BOARD.parent) -> None:
        self._bundles, self._root = bundles, root
        self._derived: dict[str, dict[str, Entry]] = {}

    def __call__(self, entry: Entry) -> tuple[str, list[str]]:
        """What an entry, consistent in itself, follows from, in words, and what differs from that."""
        origin, bundle = entry.origin, self._bundles.get(entry.origin.digest or "")
        differences = list(_from_bundle(entry, bundle)) if bundle else []
        if (
            origin.file is None
            or not (self._root / origin.file).is_file()
            or (origin.digest and bundle is None)
        ):
            alone = "is consistent in itself; neither its result nor its bundle is here"
            return f"fits its bundle {bundle.name}" if bundle else alone, differences
        derived = self._entries(origin.file).get(entry.id)
        if derived is None:
            return "", [*differences, f"{origin.file} gives no entry {entry.id!r}"]
        ours, theirs = _leaves(as_json(entry)), _leaves(as_json(derived))
        return f"follows from {origin.file}", differences + [
            f"{name} is {ours.get(name)!r}, by {origin.file} it is {theirs.get(name)!r}"
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        ]

    def _entries(self, file: str) -> dict[str, Entry]:
        if file not in self._derived:
            self._derived[file] = {one.id: one for one in entries_of(self._root / file, self._bundles)}
        return self._derived[file]


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every value by its path.

    Example:
        >>> _leaves({"a": {"b": 1}, "c": [2]})
        {'a.b': 1, 'c.0': 2}
    """
    if not isinstance(value, dict | list) or not value:
        return {path: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    prefix = f"{path}." if path else ""
    return {name: leaf for key, each in pairs for name, leaf in _leaves(each, f"{prefix}{key}").items()}


def _from_bundle(entry: Entry, bundle: Bundle) -> Iterator[str]:
    """What of an entry does not fit its bundle's manifest, graph and report."""
    size = bundle.manifest.input
    wanted: dict[str, Any] = dict(zip(DEVICE, of_bundle(bundle), strict=True))
    wanted |= {"input": (size.height, size.width), "defence": bundle.manifest.defence}
    for name, value in wanted.items():
        if getattr(entry, name) != value:
            yield f"{name} is {getattr(entry, name)!r}, the bundle's is {value!r}"
    codecs, report = [spec.name for spec in bundle.manifest.codecs], bundle.report()
    if entry.codec not in codecs:
        yield f"codec is {entry.codec!r}, the bundle has {', '.join(codecs)}"
    pictures = report.get("accuracy_measured_on", {}).get("pictures")
    # an audit may have measured fewer pictures than the report, and then figures differ by chance
    if entry.answers and entry.answers.measure == "accuracy" and entry.answers.pictures == pictures:
        told = report["codecs"].get(entry.codec, {})
        yield from _apart(
            entry, told.get("payload_bytes_mean"), told.get("accuracy"), "the bundle's report has"
        )


def _apart(entry: Entry, size: float | None, share: float | None, says: str) -> Iterator[str]:
    if size is not None and abs(entry.bytes_mean - size) > LEAST_BYTES:
        yield f"bytes_mean is {entry.bytes_mean}, {says} {size:.1f}"
    if share is not None and entry.answers and abs(entry.answers.value - share) > LEAST_SHARE:
        yield f"answers.value is {entry.answers.value}, {says} {share:.4f}"


def measured_again(entry: Entry, bundle: Bundle, data: Path | None, cache: Path | None) -> list[str]:
    """What differs when bytes and accuracy are measured anew on the data set's test pictures.

    Raises:
        DataError: the data set is not here or does not fit.
    """
    from siftfunnel.lab.data.datasets import load_splits
    from siftfunnel.lab.front.coding import Way
    from siftfunnel.lab.front.halves import Halves

    splits = load_splits(entry.dataset, data, cache, size=entry.input[0])
    images = splits.test.spread(entry.answers.pictures if entry.answers else None)
    halves = Halves(bundle, images.classes)
    codec = next(codec for codec in halves.codecs if codec.name == entry.codec)
    way = Way(codec.name, codec.encode, codec.decode)
    payloads, arrived = way.through(halves.features(images.images_NHWC))
    share = float(halves.right(arrived, images.labels).mean())
    return list(_apart(entry, float(np.mean(list(map(len, payloads)))), share, "measured anew it is"))

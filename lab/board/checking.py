"""Whether an entry's figures follow from what it names: its result, else its bundle, else themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siftfunnel.lab.board.entry import BOARD, Entry
from siftfunnel.lab.board.sources import Bundles, entries_of, network_of_bundle
from siftfunnel.shared.bundle import Bundle

LEAST_BYTES, LEAST_SHARE = 0.06, 6e-5
"""What rounding makes of a bundle's report, which has one digit of bytes and four of a share."""


@dataclass(frozen=True)
class Checked:
    """What came of checking an entry.

    Attributes:
        says: What its figures were held against.
        differences: What differs; none where they follow from it.
    """

    says: str
    differences: tuple[str, ...] = ()


def check_entry(entry: Entry, bundles: Bundles, root: Path = BOARD.parent) -> Checked:
    """Hold an entry against what it names.

    Args:
        entry: One that is consistent in itself, as reading made sure.
        bundles: Those at hand, by digest.
        root: The repository, below which an entry's result is looked for.
    """
    origin, differences = entry.origin, []
    bundle = bundles.get(origin.digest or "")
    if bundle is not None:
        differences += list(_from_bundle(entry, bundle))
    if origin.file is None or not (root / origin.file).is_file() or (origin.digest and bundle is None):
        places = {
            True: f"its bundle {origin.bundle}",
            False: "itself alone: its result and bundle are not here",
        }
        return Checked(places[bundle is not None], tuple(differences))
    derived = {each.id: each for each in entries_of(root / origin.file, bundles)}
    if entry.id not in derived:
        differences.append(f"{origin.file} gives no entry {entry.id!r}")
    else:
        differences += list(_between(entry, derived[entry.id], origin.file))
    return Checked(origin.file, tuple(differences))


def _between(entry: Entry, derived: Entry, place: str) -> Iterator[str]:
    ours, theirs = (_leaves(each.model_dump(mode="json")) for each in (entry, derived))
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        if one != other:
            yield f"{name} is {one!r}, by {place} it is {other!r}"


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
    for name, value in network_of_bundle(bundle).items():
        ours = entry.model_dump(mode="json")["network"][name]
        if ours != value:
            yield f"network.{name} is {ours!r}, the bundle's is {value!r}"
    codecs = [spec.name for spec in bundle.manifest.codecs]
    if entry.sent.codec not in codecs:
        yield f"sent.codec is {entry.sent.codec!r}, the bundle has {', '.join(codecs)}"
        return
    told = bundle.report().get("codecs", {}).get(entry.sent.codec, {})
    size, share = told.get("payload_bytes_mean"), told.get("accuracy")
    # pictures of its own may be fewer than the report's, and then figures differ by chance
    is_same = entry.answers is not None and entry.answers.pictures == bundle.report().get(
        "accuracy_measured_on", {}
    ).get("pictures")
    if is_same and size is not None and abs(entry.sent.mean - size) > LEAST_BYTES:
        yield f"sent.mean is {entry.sent.mean}, the bundle's report has {size}"
    if is_same and share is not None and entry.answers and abs(entry.answers.value - share) > LEAST_SHARE:
        yield f"answers.value is {entry.answers.value}, the bundle's report has {share}"


def measured_again(entry: Entry, bundle: Bundle, data: Path | None, cache: Path | None) -> tuple[str, ...]:
    """What differs when bytes and accuracy are measured anew on the data set's test pictures.

    Raises:
        DataError: the data set is not here or does not fit.
    """
    from siftfunnel.lab.data.datasets import load_splits
    from siftfunnel.lab.front.coding import through
    from siftfunnel.lab.front.halves import Halves

    splits = load_splits(entry.dataset, data, cache, size=entry.network.input[0])
    images = splits.test.spread(entry.answers.pictures if entry.answers else None)
    halves = Halves(bundle, images.classes)
    codec = next(codec for codec in halves.codecs if codec.name == entry.sent.codec)
    sizes, decoded = through(codec, halves.features(images.images_NHWC))
    size, share = float(np.mean(sizes)), float(halves.right(decoded, images.labels).mean())
    found = []
    if abs(entry.sent.mean - size) > LEAST_BYTES:
        found.append(f"sent.mean is {entry.sent.mean}, measured anew {size:.1f}")
    if entry.answers and abs(entry.answers.value - share) > LEAST_SHARE:
        found.append(f"answers.value is {entry.answers.value}, measured anew {share:.4f}")
    return tuple(found)

"""Labelled pictures, the four parts that a study cuts them into, and seeded cutting.

Pixels are kept as ``uint8`` in N x H x W x C order. NumPy only: a demo user unpacks data without PyTorch.
The readers are in ``siftfunnel.lab.data``, the list of all data sets in ``siftfunnel.lab.data.datasets``.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


class DataError(ValueError):
    """An image set that cannot be used: says which file, what is wrong with it and what to do."""


@dataclass(frozen=True)
class ImageSet:
    """Pictures of one size with their labels.

    Grey pictures, such as chest films, are kept with their grey value in all three channels, so that every
    network, attack and metric sees one layout.

    Attributes:
        images_NHWC: ``uint8`` pixels, N x H x W x 3, RGB.
        labels: ``int64`` class indices, length N.
        classes: Class names; ``labels`` index into it.
    """

    images_NHWC: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = self.images_NHWC.shape
        if self.images_NHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
            raise DataError(f"images must be uint8, N x H x W x 3, not {self.images_NHWC.dtype} {shape}")
        if self.labels.shape != (shape[0],):
            raise DataError(f"{shape[0]} images need {shape[0]} labels, got shape {self.labels.shape}")
        if shape[0] and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise DataError(f"labels must lie in 0..{len(self.classes) - 1}")

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def take(self, indices: NDArray[np.int64] | slice) -> "ImageSet":
        """The pictures at ``indices``, in that order; an index array copies them, a slice does not."""
        return ImageSet(self.images_NHWC[indices], self.labels[indices], self.classes)

    def spread(self, count: int | None) -> "ImageSet":
        """``count`` pictures by ``evenly_spread``; all of them for None, or when there are no more."""
        if count is None or count >= len(self):
            return self
        return self.take(evenly_spread(self.labels, count))

    def in_fair_order(self) -> "ImageSet":
        """The same pictures as ``fair_order`` has them, copied into memory."""
        return self.take(fair_order(self.images_NHWC, self.labels))

    def channel_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel over all pixels, which are scaled to [0, 1].

        Example:
            >>> grey = np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1).repeat(3, axis=3)
            >>> ImageSet(grey, np.zeros(1, np.int64), ("a",)).channel_statistics()
            ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
        """
        counts = np.stack([np.bincount(self.images_NHWC[..., c].ravel(), minlength=256) for c in range(3)])
        values, shares = np.arange(256) / 255, counts / counts.sum(axis=1, keepdims=True)
        mean = shares @ values
        return mean.tolist(), np.sqrt(shares @ values**2 - mean**2).tolist()

    def pixels_sha256(self) -> str:
        """SHA-256 of the pixels in their order, without the labels; about a second for a gigabyte."""
        return hashlib.sha256(np.ascontiguousarray(self.images_NHWC).data).hexdigest()

    def missing_classes(self) -> tuple[str, ...]:
        """Names of the classes that have no picture here."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return tuple(self.classes[index] for index in np.flatnonzero(counts == 0))


@dataclass(frozen=True)
class Splits:
    """What each party may see: the target's three sets and the attacker's own pictures, all disjoint.

    Models and attacks are chosen on ``validation``, which is cut out of the training pictures (ours: the
    paper's code chooses on test pictures), so that ``test`` is looked at once, for the figures.

    Attributes:
        train: What the network learns from.
        validation: What epochs and settings are chosen on.
        test: What figures are reported on.
        auxiliary: The attacker's own pictures; their classes may be others than the target's.
        notes: What a reader of the figures should know about the data.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    auxiliary: ImageSet
    notes: tuple[str, ...] = ()

    def parts(self) -> dict[str, ImageSet]:
        """The four parts by name."""
        return {name: getattr(self, name) for name in ("train", "validation", "test", "auxiliary")}

    def each(self, change: Callable[[ImageSet], ImageSet]) -> "Splits":
        """The same with every part changed."""
        return Splits.of((change(part) for part in self.parts().values()), self.notes)

    @classmethod
    def of(cls, parts: Iterable[ImageSet], notes: tuple[str, ...] = ()) -> "Splits":
        """From the four parts in their order."""
        train, validation, test, auxiliary = parts
        return cls(train, validation, test, auxiliary, notes)

    def sizes(self) -> dict[str, int]:
        """Number of pictures per split, for provenance."""
        return {name: len(part) for name, part in self.parts().items()}

    def provenance(self) -> dict[str, Any]:
        """Per part the number of pictures and their pixels' SHA-256, and the notes, as JSON values."""
        parts = {
            name: {"pictures": len(part), "pixels_sha256": part.pixels_sha256()}
            for name, part in self.parts().items()
        }
        return {**parts, "notes": list(self.notes)}

    def limited(self, **most: int | None) -> "Splits":
        """The same parts with at most so many pictures each, for small profiles; None keeps a part whole.

        The choice is ``evenly_spread``: it depends on nothing but the part and the number.

        Raises:
            DataError: a number below 1.
        """
        parts = self.parts()
        return Splits.of((part.spread(most.get(name)) for name, part in parts.items()), self.notes)


def evenly_spread(labels_N: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Rising indices of ``count`` of N pictures, evenly spaced over the pictures sorted by class.

    Every class keeps its share to within one picture, whether the pictures come in class order, permuted or
    class by class in turn.

    Raises:
        DataError: fewer than one picture wanted, or more than there are.

    Example:
        >>> evenly_spread(np.array([0, 0, 0, 0, 1, 1]), 3).tolist()
        [0, 2, 4]
    """
    if not 1 <= count <= len(labels_N):
        raise DataError(f"{count} pictures wanted, {len(labels_N)} are there; a part needs at least one")
    by_class = np.argsort(labels_N, kind="stable")
    return np.sort(by_class[np.arange(count) * len(labels_N) // count]).astype(np.int64)


ORDER_SEED = b"20241"


def fair_order(images_NHWC: NDArray[np.uint8], labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices that put N pictures into an order which says nothing of them and depends on nothing else.

    Sorted by a keyed hash of pixels and label: any prefix and any batch is a fair sample, and the order in
    which the pictures were stored leaves no trace.

    Example:
        >>> pixels = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
        >>> (one, other) = (fair_order(each, np.zeros(2, np.int64)) for each in (pixels, pixels[::-1]))
        >>> bool((pixels[one] == pixels[::-1][other]).all())
        True
    """

    def digest(picture_HWC: NDArray[np.uint8], label: np.int64) -> bytes:
        seen = hashlib.blake2b(picture_HWC.tobytes(), digest_size=16, key=ORDER_SEED)
        seen.update(int(label).to_bytes(8, "little"))
        return seen.digest()

    digests = [digest(picture, label) for picture, label in zip(images_NHWC, labels_N, strict=True)]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), dtype=np.int64)


def seeded_parts(count: int, sizes: tuple[int, ...], seed: int) -> list[NDArray[np.int64]]:
    """Cut a seeded permutation of ``range(count)`` into consecutive disjoint parts of the given sizes.

    Example:
        >>> [len(part) for part in seeded_parts(10, (7, 3), seed=0)]
        [7, 3]
    """
    if sum(sizes) > count:
        raise DataError(f"parts of {sizes} pictures need {sum(sizes)}, only {count} are there")
    order = np.random.default_rng(seed).permutation(count).astype(np.int64)
    bounds = np.cumsum((0, *sizes))
    return [order[start:stop] for start, stop in pairwise(bounds)]


def grouped_parts(
    labels_N: NDArray[np.int64], groups_N: NDArray[np.int64], shares: tuple[float, ...], seed: int
) -> list[NDArray[np.int64]]:
    """Cut N pictures into seeded parts so that no group is in two of them and every class is spread.

    Per class its groups are put in a seeded order and laid out on a line as long as they have pictures; a
    group goes to the part in whose share of the line its middle lies. A group of several classes counts as
    its commonest one. With one picture per group this is a stratified split. Each part comes out permuted.

    Args:
        labels_N: Class of each picture.
        groups_N: Group of each picture, for instance its patient.
        shares: Share of each part; they sum to 1.
        seed: Seed of the order.

    Example:
        >>> parts = grouped_parts(np.zeros(10, np.int64), np.arange(10), (0.7, 0.3), seed=0)
        >>> [len(part) for part in parts]
        [7, 3]
    """
    rng = np.random.default_rng(seed)
    _, group_N = np.unique(groups_N, return_inverse=True)
    votes = np.zeros((int(group_N.max(initial=0)) + 1, int(labels_N.max(initial=0)) + 1), dtype=np.int64)
    np.add.at(votes, (group_N, labels_N), 1)
    class_of_group, pictures_of_group = votes.argmax(1), votes.sum(1)
    part_of_group = np.zeros(len(votes), dtype=np.int64)
    # rounded, so that a bound such as 0.72 + 0.08 does not move by one picture with the last bit
    bounds = np.round(np.cumsum(shares), 9)
    for label in range(votes.shape[1]):
        order = rng.permutation(np.flatnonzero(class_of_group == label))
        pictures = pictures_of_group[order]
        middle = (np.cumsum(pictures) - pictures / 2) / max(1, pictures.sum())
        part_of_group[order] = np.searchsorted(bounds, middle, side="right").clip(0, len(shares) - 1)
    part_N = part_of_group[group_N]
    return [rng.permutation(np.flatnonzero(part_N == part)).astype(np.int64) for part in range(len(shares))]

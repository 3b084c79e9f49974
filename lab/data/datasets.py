"""The data sets that recipes name, each cut into the four parts of ``Splits``."""

from collections.abc import Callable
from pathlib import Path

from siftfunnel.lab.data.celeba import load_celeba
from siftfunnel.lab.data.chest import load_chest
from siftfunnel.lab.data.cifar10 import load_cifar10, load_cifar10_npz
from siftfunnel.lab.data.drawnfaces import load_drawnfaces
from siftfunnel.lab.data.faces import load_faces, load_faces_other_domain
from siftfunnel.lab.data.facescrub import load_facescrub
from siftfunnel.lab.data.images import DataError, ImageSet, Splits

DATASETS: dict[str, Callable[[Path | None, Path | None, int | None], Splits]] = {
    "cifar10": load_cifar10,
    "cifar10-npz": load_cifar10_npz,
    "celeba": load_celeba,
    "facescrub": load_facescrub,
    "chest": load_chest,
    "faces": load_faces,
    "faces-other-domain": load_faces_other_domain,
    "drawnfaces": load_drawnfaces,
}
"""Every data set by name; a loader takes the data directory, a directory for decoded arrays, and a size."""


def load_splits(
    dataset: str, data: Path | None, cache: Path | None = None, *, size: int | None = None
) -> Splits:
    """Load a data set by name, each part in its fair order (``siftfunnel.lab.data.images.fair_order``).

    Args:
        dataset: A name in ``DATASETS``.
        data: Where its pictures are; None for a data set that is drawn.
        cache: Directory for decoded and resized arrays, or None to decode every time.
        size: Side to resize all pictures to: their largest centred square, bilinear, antialiased where it
            shrinks, kept as ``uint8``. None keeps the stored size (CelebA: the paper's 64).

    Raises:
        DataError: an unknown name (the text lists the known ones); pictures that are missing, damaged or
            cannot be used; an empty part; a class without training pictures; parts that differ in size.
    """
    if dataset not in DATASETS:
        raise DataError(f"unknown data set {dataset!r}; known: {', '.join(sorted(DATASETS))}")
    splits = DATASETS[dataset](data, cache, size)
    check_usable(splits, dataset)
    return splits.each(ImageSet.in_fair_order)


def check_usable(splits: Splits, dataset: str) -> None:
    """Refuse splits that nothing can be trained or measured on."""
    empty = [name for name, count in splits.sizes().items() if count == 0]
    if empty:
        sizes = ", ".join(f"{name} {count}" for name, count in splits.sizes().items())
        raise DataError(f"{dataset}: too few pictures, nothing is left for {', '.join(empty)} ({sizes})")
    missing = splits.train.missing_classes()
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"{dataset}: class {', '.join(map(repr, missing[:5]))}{more} has no training pictures; add some, "
            "or leave the class out"
        )
    sizes_of = {name: part.images_NHWC.shape[1:3] for name, part in splits.parts().items()}
    if len(set(sizes_of.values())) > 1:
        found = ", ".join(f"{name} {height}x{width}" for name, (height, width) in sizes_of.items())
        raise DataError(f"{dataset}: the parts differ in picture size ({found}); choose a size for all")

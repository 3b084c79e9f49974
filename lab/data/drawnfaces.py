"""The drawn people of the demo: made on first use, no data directory needed."""

from collections.abc import Callable
from pathlib import Path

from siftfunnel.lab.data.cache import through_cache
from siftfunnel.lab.data.decoding import resized
from siftfunnel.lab.data.images import ImageSet, Splits

FACES_SEED = 0
STRANGERS, PICTURES_PER_STRANGER = 250, 12


def load_drawnfaces(data: Path | None, cache: Path | None, size: int | None = None) -> Splits:
    """The twenty drawn people, and 250 strangers as the attacker's auxiliary pictures.

    3,000 pictures to train, 500 to validate, 1,000 to test, 3,000 of strangers.
    Drawn on first use, which takes some minutes, and kept in ``cache``; ``data`` is not needed.
    """
    from siftfunnel.lab.faces import TARGET_NAMES, draw_auxiliary, draw_split

    def target(split: str, per_identity: int) -> ImageSet:
        return ImageSet(*draw_split(split, per_identity, FACES_SEED), TARGET_NAMES)

    def strangers() -> ImageSet:
        names = tuple(f"stranger{i:03d}" for i in range(STRANGERS))
        return ImageSet(*draw_auxiliary(STRANGERS, PICTURES_PER_STRANGER, FACES_SEED), names)

    def cached(name: str, draw: Callable[[], ImageSet]) -> ImageSet:
        stored = cache and cache / f"drawnfaces-{name}"
        if size is None:
            return through_cache(stored, draw)
        sized = cache and cache / f"drawnfaces-{name}-{size}"
        return through_cache(sized, lambda: resized(through_cache(stored, draw), size))

    return Splits(
        train=cached("train", lambda: target("train", 150)),
        validation=cached("validation", lambda: target("validation", 25)),
        test=cached("test", lambda: target("test", 50)),
        auxiliary=cached("auxiliary", strangers),
    )

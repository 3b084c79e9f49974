"""What is asked of a certificate, once: flags, checks and stored JSON follow from it. Needs no PyTorch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from siftfunnel.shared.settings import check, setting


@dataclass(frozen=True)
class Request:
    """The size of a certificate.

    Attributes:
        pictures: Test pictures for which others of equal bytes are searched.
        iterations: Steps of each search.
        ruler_pictures: Drawn from the ruler: half of them fit, half are scored.
        gallery: Pictures among which the sent one is identified.
        frames: Frames of one picture that an attacker of noise averages.
        natural: Whether pictures of equal bytes are searched among natural ones too.
        seed: Of everything random.

    Raises:
        ValueError: a number out of range; names the flag.
    """

    pictures: int = setting(24, "test pictures for which others of equal bytes are searched", least=1)
    iterations: int = setting(700, "steps of each search for equal bytes", least=10)
    ruler_pictures: int = setting(2_000, "pictures drawn from the ruler: half fit, half are scored", least=40)
    gallery: int = setting(2_000, "pictures among which the sent one is identified", least=2)
    frames: int = setting(16, "frames of one picture that an attacker of noise averages", least=2)
    natural: bool = setting(
        False, "also search equal bytes among what denoisers find natural; trains two of them (minutes)"
    )
    seed: int = setting(1, "of everything random", least=0)

    def __post_init__(self) -> None:
        check(self)

    def to_json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


@dataclass(frozen=True)
class Sources:
    """Where pictures and results are.

    Attributes:
        out: The run folder.
        data: Data directory; None for a data set that is drawn.
        cache: Directory for decoded pictures, or None.
        dataset: Data set; None takes the bundle's own.
        images: A folder or tar of pictures instead: a part of them is certified, the rest is the attacker's.
        inverter: Folder of the bundle's inverter; None looks for it, and trains one where there is none.
        allow_tracked_folder: Write pictures into a work tree that does not ignore ``out``.
    """

    out: Path
    data: Path | None = None
    cache: Path | None = None
    dataset: str | None = None
    images: Path | None = None
    inverter: Path | None = None
    allow_tracked_folder: bool = False

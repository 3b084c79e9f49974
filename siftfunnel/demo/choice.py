"""What the demo plays: the pictures, the bundles that fit them, and one frozen configuration of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.bundle import Bundle, Inverter, find_inverters
from siftfunnel.shipped import Library


@dataclass(frozen=True)
class DemoConfig:
    """One run of the demo.

    Attributes:
        images: folder of pictures, class folders or flat.
        bundles: what is played, in this order.
        inverters: folders with the attacker's decoders.
        codec: codec name for every bundle; each bundle's default when None.
        frames: frames per bundle and turn; None: a turn lasts ``turn_s``.
        rate_fps: frames per second; None: as fast as answers come.
        tls: whether edge and cloud start out encrypted.
        headless: play every bundle once, without a live view, and end.
        summary: where the JSON summary goes.
        http_port: port of the attacker's page; 0 takes a free one.
        seed: of the picture order.
        turn_s: seconds of a turn where ``frames`` is None.
        log_directory: where logs are kept; a temporary folder when None.
        open_page: open the page in a browser.

    Raises:
        ValueError: a value outside its range.
    """

    images: Path
    bundles: tuple[Bundle, ...]
    inverters: tuple[Path, ...] = ()
    codec: str | None = None
    frames: int | None = None
    rate_fps: float | None = 10.0
    tls: bool = False
    headless: bool = False
    summary: Path | None = None
    http_port: int = 8080
    seed: int = 0
    turn_s: float = 20.0
    log_directory: Path | None = None
    open_page: bool = False

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"--frames must be at least 1, got {self.frames}")
        if self.rate_fps is not None and not 0 < self.rate_fps <= 10_000:
            raise ValueError(
                f"--rate must be above 0 and at most 10000 frames per second, got {self.rate_fps}"
            )
        if not 0 <= self.http_port <= 65_535:
            raise ValueError(f"--http-port must be 0 to 65535, got {self.http_port}")
        if not self.bundles:
            raise ValueError("the demo needs at least one bundle")
        names = [bundle.name for bundle in self.bundles]
        if len(set(names)) < len(names):
            raise ValueError(f"bundles must have different names, got {', '.join(names)}")
        for bundle in self.bundles:
            codec_names = [codec.name for codec in bundle.manifest.codecs]
            if self.codec is not None and self.codec not in codec_names:
                raise ValueError(
                    f"bundle {bundle.name} has no codec {self.codec!r}; it has {', '.join(codec_names)}"
                )


def folder_labels(directory: Path) -> tuple[str, ...]:
    """Names of the subfolders that hold pictures, sorted; empty for a flat folder.

    Raises:
        ValueError: no such folder, or no picture in it.
    """
    from edge_client.sources.directory import find_pictures, label_of
    from shared.pictures import PICTURE_SUFFIXES

    if not directory.is_dir():
        raise ValueError(f"--images {directory}: no such folder")
    pictures = find_pictures(directory)
    if not pictures:
        raise ValueError(
            f"--images {directory}: no pictures in it; expected {', '.join(sorted(PICTURE_SUFFIXES))}, "
            "directly or in one folder per class"
        )
    labels = {label_of(picture, directory) for picture in pictures}
    return tuple(sorted(label for label in labels if label is not None))


def without_inverter(config: DemoConfig) -> list[str]:
    """Names of the bundles for which the attacker has no decoder: it can rebuild nothing."""
    known = {item.bundle_digest for item in find_inverters(*config.inverters) if isinstance(item, Inverter)}
    return [bundle.name for bundle in config.bundles if bundle.digest not in known]


def choose_bundles(wanted: Sequence[str], labels: Sequence[str], library: Library) -> tuple[Bundle, ...]:
    """The bundles to play, the unprotected first.

    Bundles that play in turn are to be comparable codec by codec: one that shares no codec with the first, as
    the rate-trained do, is played only when it is named.

    Args:
        wanted: names or folders the user gave; played in the order given.
        labels: class folders of the pictures; empty for a flat folder.
        library: where names are looked up, and what is chosen from where ``wanted`` is empty.

    Raises:
        ValueError: a wanted bundle does not load, or none fits the labels; the text lists the bundles.
    """
    if wanted:
        return tuple(library.find_bundle(name, need=("edge.onnx", "cloud.onnx")) for name in wanted)
    usable = [bundle for bundle in library.bundles() if isinstance(bundle, Bundle)]
    fitting = [bundle for bundle in usable if labels and set(labels) <= set(bundle.manifest.classes)]
    if not fitting:
        raise ValueError(f"{_why_none_fits(labels)}; choose with --bundle:\n{_listing(usable)}")
    first, *others = sorted(fitting, key=lambda bundle: (bundle.manifest.defence != "none", bundle.name))
    comparable = [bundle for bundle in others if _codec_names(bundle) & _codec_names(first)]
    return (first, *comparable)


def _codec_names(bundle: Bundle) -> set[str]:
    return {codec.name for codec in bundle.manifest.codecs}


def _why_none_fits(labels: Sequence[str]) -> str:
    if not labels:
        return "the pictures lie in one flat folder, so their classes choose no bundle"
    return f"no bundle has the classes {_shortened(labels)} that the folders are named after"


def _listing(bundles: Sequence[Bundle]) -> str:
    rows = [f"  {bundle.name}: {_shortened(bundle.manifest.classes)}" for bundle in bundles]
    return "\n".join(rows) or "  (none is shipped here; give a folder)"


def _shortened(names: Sequence[str], limit: int = 12) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

"""Which cells a run measures, in which order."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from siftfunnel.bench.cells.load import Load
from siftfunnel.bench.cells.picture_codec import PictureCodec, is_picture_codec
from siftfunnel.bench.cells.pictures import PictureSet
from siftfunnel.bench.cells.result import MODES, SCENARIOS, Cell, Mode, Scenario, Skipped
from siftfunnel.bench.links.profiles import PROFILES, Emulation, LinkProfile, link_profile
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.settings import check, setting

UNPROTECTED = "none"
RAW_CODEC = "fp32"
DEFAULT_LINKS = "wifi,fast-4g,slow-4g"


@dataclass(frozen=True)
class PlannedCell:
    """A cell to be measured.

    Attributes:
        bundle: Verified.
        mode, codec: Who runs what, and what is sent.
        link: Between the two ends.
        load: LoadGen's scenario.
        pictures: What the device sees.
        repeats: Runs.
        emulation: Wanted; None for the best.
        drop_s: For how long the link is down in the middle of a run; 0 for not at all.
    """

    bundle: Bundle
    mode: Mode
    codec: str
    link: LinkProfile
    load: Load
    pictures: PictureSet
    repeats: int
    emulation: Emulation | None = None
    drop_s: float = 0.0

    def name(self) -> dict[str, Any]:
        """What people know it by."""
        return {
            "bundle": self.bundle.name,
            "mode": self.mode,
            "codec": self.codec,
            "link": self.link.name,
            "scenario": self.load.scenario,
        }

    def asked(self) -> dict[str, Any]:
        """All that decides its figures besides machine and code; alike in cells that are the same."""
        return {
            "load": asdict(self.load),
            "repeats": self.repeats,
            "pictures": self.pictures.digest,
            "number_of_pictures": len(self.pictures.files),
            "emulation": self.emulation,
            "drop_s": self.drop_s,
        }

    def key(self) -> dict[str, Any]:
        """Identifies it in a file of results."""
        return _key(self.bundle.digest, self.mode, self.codec, self.link, self.asked())

    def is_done_by(self, cell: Cell) -> bool:
        """Whether a measured cell is this one."""
        return self.key() == _key(cell.digest, cell.mode, cell.codec, cell.link, cell.asked)

    def skipped(self, why: str) -> Skipped:
        """The same as not measured."""
        return Skipped(self.name(), why)

    def __str__(self) -> str:
        """In words, for progress."""
        return " ".join(str(value) for value in self.name().values() if value)


def _key(digest: str, mode: str, codec: str, link: LinkProfile, asked: dict[str, Any]) -> dict[str, Any]:
    return {"digest": digest, "mode": mode, "codec": codec, "link": asdict(link), "asked": asked}


def names_in(text: str) -> tuple[str, ...]:
    """Names between commas.

    Example:
        >>> names_in("wifi, slow-4g,")
        ('wifi', 'slow-4g')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _some_of(known: tuple[Any, ...], what: str) -> Callable[[str], tuple[Any, ...]]:
    def read(text: str) -> tuple[Any, ...]:
        for name in names_in(text):
            if name not in known:
                raise ValueError(f"unknown {what} {name!r}; known: {', '.join(known)}")
        return names_in(text)

    return read


def _links(text: str) -> tuple[LinkProfile, ...]:
    return tuple(map(link_profile, names_in(text)))


@dataclass(frozen=True)
class Wish:
    """What was asked for at the command line, checked.

    Attributes:
        bundles: With the pictures of each.
        loads: One per scenario, and one more for its overload.
        modes: Of `MODES`.
        codecs: Of bundles and of pictures ("jpeg-75"); None takes each bundle's default and two of pictures.
        links: In the order of measurement.
        scenarios: Of `SCENARIOS`.
        repeats: Runs per cell.
        emulation: Wanted; None for the best.
        drop_s: See `PlannedCell`.
    """

    bundles: Sequence[tuple[Bundle, PictureSet]]
    loads: Sequence[Load]
    modes: tuple[Mode, ...] = setting(
        MODES, f"of {', '.join(MODES)} (default: all)", metavar="NAMES", read=_some_of(MODES, "mode")
    )
    codecs: tuple[str, ...] | None = setting(
        None,
        "of the bundles, and jpeg-Q and webp-Q for cloud-only (each bundle's default, jpeg-75, webp-75)",
        metavar="NAMES",
        read=names_in,
    )
    links: tuple[LinkProfile, ...] = setting(
        _links(DEFAULT_LINKS),
        f"of {', '.join(PROFILES)} (default: {DEFAULT_LINKS})",
        metavar="NAMES",
        read=_links,
    )
    scenarios: tuple[Scenario, ...] = setting(
        ("SingleStream",),
        f"of {', '.join(SCENARIOS)} (default: SingleStream)",
        metavar="NAMES",
        read=_some_of(SCENARIOS, "scenario"),
    )
    repeats: int = setting(1, "runs per cell, interleaved", least=1)
    emulation: Emulation | None = setting(None, flag="")
    drop_s: float = setting(
        0.0, "take the link down for so long in every run", flag="--drop", metavar="SECONDS", least=0
    )

    def __post_init__(self) -> None:
        check(self)
        if not (self.bundles and self.modes and self.links and self.loads):
            raise ValueError("nothing to measure: name a bundle, a mode, a link and a scenario at least")
        known = {codec.name for bundle, _ in self.bundles for codec in bundle.manifest.codecs}
        for name in self.codecs or ():
            if is_picture_codec(name):
                PictureCodec(name, 0, self.bundles[0][0].manifest.input)
            elif name not in known:
                raise ValueError(
                    f"no bundle here has a codec {name!r}; they have {', '.join(sorted(known))}; "
                    "pictures go as jpeg-QUALITY or webp-QUALITY"
                )


def make_plan(wish: Wish) -> tuple[list[PlannedCell], list[Skipped]]:
    """The cells, link by link, and what is left out with why.

    The whole network is run unprotected: nothing leaves the device in edge-only, and in cloud-only the
    picture itself does. So these modes take the bundles without a defence.
    """
    planned: list[PlannedCell] = []
    skipped: list[Skipped] = []
    unprotected = any(bundle.manifest.defence == UNPROTECTED for bundle, _ in wish.bundles)
    for link, asked, (bundle, pictures) in itertools.product(wish.links, wish.loads, wish.bundles):
        load = replace(asked, latency_limit_ms=asked.latency_limit_ms + link.round_trip_ms)
        for mode in wish.modes:
            planned += [
                PlannedCell(
                    bundle, mode, codec, link, load, pictures, wish.repeats, wish.emulation, wish.drop_s
                )
                for codec in _codecs(wish, bundle, mode)
            ]
    if not unprotected:
        whole = [cell for cell in planned if cell.mode in ("edge-only", "cloud-only")]
        why = "the whole network is run unprotected: name a bundle whose defence is none as well"
        skipped = [cell.skipped(why) for cell in whole]
        planned = [cell for cell in planned if cell not in whole]
    return planned, skipped


def _codecs(wish: Wish, bundle: Bundle, mode: Mode) -> Iterable[str]:
    manifest = bundle.manifest
    protected = manifest.defence != UNPROTECTED
    others = any(each.manifest.defence == UNPROTECTED for each, _ in wish.bundles)
    names = [codec.name for codec in manifest.codecs]
    match mode:
        case "edge-only" | "cloud-only" if protected and others:
            return ()
        case "edge-only":
            return ("",)
        case "cloud-only":
            sent = ("jpeg-75", "webp-75") if wish.codecs is None else wish.codecs
            return [name for name in sent if is_picture_codec(name)]
        case "raw-features":
            return [RAW_CODEC] if RAW_CODEC in names else []
        case "split":
            if wish.codecs is None:
                return [manifest.default_codec]
            return [name for name in wish.codecs if name in names]

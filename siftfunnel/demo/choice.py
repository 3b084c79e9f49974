"""What the demo plays: the pictures, the bundles that fit them, and one frozen configuration of a run."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from siftfunnel.demo.selection import codec_for, tasks_of
from siftfunnel.shared.bundle import Bundle, Inverter, Problem, find_inverters
from siftfunnel.shared.files import require_place
from siftfunnel.shared.hosts import is_loopback
from siftfunnel.shared.plain_words import how_to_invert
from siftfunnel.shared.ports import LOOPBACK, MAX_PORT
from siftfunnel.shared.settings import check, setting
from siftfunnel.shared.showing import printable
from siftfunnel.shipped import Library

EVERYWHERE = ("0.0.0.0", "::")  # listening there shows the page to other machines
HEADLESS_FRAMES = 100
_BOTH_HALVES = ("edge.onnx", "cloud.onnx")


@dataclass(frozen=True)
class DemoConfig:
    """One run of the demo; what is a setting is a flag.

    Attributes:
        images: folder of pictures, class folders or flat.
        bundles: what is played.
        labelled: whether the folders' names are classes of the bundles.
        shipped_images: whether the pictures came with the package.
        inverters: folders with the attacker's decoders.
        rate_fps: frames per second; None: as fast as answers come.
        page_token: what a visitor must bring; None: this machine alone may ask.
        turn_s: seconds of a turn where ``frames`` is None.

    Raises:
        ValueError: a value outside its range.
    """

    images: Path
    bundles: tuple[Bundle, ...]
    labelled: bool = True
    shipped_images: bool = False
    inverters: tuple[Path, ...] = ()
    codec: str | None = setting(None, "how features are encoded (default: each bundle's own)", metavar="NAME")
    frames: int | None = setting(None, "frames through each network, per turn", metavar="N", least=1)
    rate_fps: float | None = setting(
        10.0, "frames per second; 0: no limit", flag="--rate", metavar="FPS", above=0, most=10_000
    )
    seed: int = setting(0, "of the order of the pictures")
    tls: bool = setting(False, "encrypt the channel; the curious cloud still listens")
    headless: bool = setting(
        False,
        f"play all networks once (--frames, default {HEADLESS_FRAMES}), without a live view, and end",
    )
    summary: Path | None = setting(None, "write what was measured as one JSON object")
    http_port: int = setting(
        0,
        "of the page; 0: any (default: 8080, or any if it is taken)",
        metavar="PORT",
        least=0,
        most=MAX_PORT,
    )
    page_host: str = setting(
        LOOPBACK,
        "show the page to other machines too, at this address of this one (0.0.0.0: at any), to whoever has "
        "the address with the token that is printed",
        metavar="HOST",
    )
    page_names: tuple[str, ...] = setting(
        (), "a name by which browsers may ask for the page; repeatable", flag="--page-name"
    )
    open_page: bool = setting(False, "open the page in a browser", flag="--open")
    log_directory: Path | None = setting(
        None, "keep the parties' logs there, in a new folder per run", flag="--log-dir", metavar="DIR"
    )
    page_token: str | None = field(default=None, repr=False)
    turn_s: float = 30.0

    def __post_init__(self) -> None:
        check(self)
        require_place(self.summary, "--summary")
        if not self.bundles:
            raise ValueError("the demo needs at least one bundle")
        if not is_loopback(self.page_host) and not self.page_token:
            raise ValueError(f"--page-host {self.page_host} shows the page to others, which needs a token")
        names = [bundle.name for bundle in self.bundles]
        if len(set(names)) < len(names):
            raise ValueError(f"bundles must have different names, got {', '.join(names)}")
        for bundle in self.bundles:
            codec_for(bundle, self.codec)

    @property
    def page_query(self) -> str:
        """What a visitor adds to the page's address."""
        return f"?token={self.page_token}" if self.page_token else ""


def is_address(host: str) -> bool:
    """Whether it is an IP address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def pictures_below(directory: Path, say: Callable[[str], None] | None = None) -> dict[Path, str | None]:
    """Every picture of a folder with its label: the subfolder's name, None for one that lies flat.

    Args:
        directory: the folder.
        say: told what in it was passed over.

    Raises:
        ValueError: no such folder, or no picture in it.
    """
    from siftfunnel.edge_client.sources.directory import label_of, look_through
    from siftfunnel.shared.pictures import PICTURE_SUFFIXES

    if not directory.is_dir():
        raise ValueError(f"--images {directory}: no such folder")
    found = look_through(directory)
    if say is not None:
        for remark in found.remarks():
            say(printable(f"{directory}: {remark}"))
    if not found.pictures:
        raise ValueError(
            f"--images {directory}: no pictures in it; expected {', '.join(sorted(PICTURE_SUFFIXES))}, "
            "directly or in one folder per class"
        )
    return {picture: label_of(picture, directory) for picture in found.pictures}


def own_inverter(directory: Path) -> Path:
    """A folder that somebody named, of one decoder or of several.

    Raises:
        ValueError: there is none in it, or one of them cannot be used.
    """
    found = find_inverters(directory)
    problems = [item.reason for item in found if not isinstance(item, Inverter)]
    if problems or not found:
        raise ValueError(f"--inverter: {problems[0] if problems else f'{directory}: no decoder lies there'}")
    return directory


def about_inverters(config: DemoConfig) -> list[str]:
    """Which bundles the attacker has no decoder for, and how to make one: a sentence each."""
    found = [item for item in find_inverters(*config.inverters) if isinstance(item, Inverter)]
    known = {item.bundle_digest for item in found}
    older = {
        item.bundle_name: f" as it is now ({item.directory} is for another one of that name)"
        for item in found
    }
    images = "DIR" if config.shipped_images else str(config.images)
    return [
        f"no inverter for {bundle.name}{older.get(bundle.name, '')}: what crosses the wire is shown, "
        "nothing is rebuilt; "
        f"`{how_to_invert(bundle.directory, bundle.name, images)}` trains one"
        for bundle in config.bundles
        if bundle.digest not in known
    ]


@dataclass(frozen=True)
class Chosen:
    """The bundles to play, the ordinary first, and what the user should know about the choice.

    Attributes:
        bundles: in playing order.
        labelled: whether the pictures' folders are classes of the bundles.
        notes: one sentence each.
    """

    bundles: tuple[Bundle, ...]
    labelled: bool = True
    notes: tuple[str, ...] = ()


def choose_bundles(
    wanted: Sequence[str], labels: Collection[str], library: Library, codec: str | None = None
) -> Chosen:
    """The bundles to play.

    Args:
        wanted: names or folders the user gave; played in the order given.
        labels: class folders of the pictures; empty for a flat folder.
        library: where names are looked up, and what is chosen from where ``wanted`` is empty.
        codec: a codec that the bundles must have where the user named none of them.

    Raises:
        ValueError: a wanted bundle does not load, or there is none at all.
    """
    if wanted:
        bundles = [library.find_bundle(name, need=_BOTH_HALVES) for name in wanted]
        return _labelled(bundles, bundles, labels)
    found = library.bundles(need=_BOTH_HALVES)
    notes = [f"left out: {each.reason}" for each in found if isinstance(each, Problem)]
    usable = [each for each in found if isinstance(each, Bundle)]
    task = _best_task(usable, frozenset(labels))
    playable = [bundle for bundle in task if codec is None or codec in _codec_names(bundle)] or task
    if not task:
        raise ValueError("\n  ".join(("there is no bundle to play; give one with --bundle", *notes)))
    return _labelled(playable, task, labels, notes)


def _labelled(
    playing: Sequence[Bundle], task: Sequence[Bundle], labels: Collection[str], notes: Sequence[str] = ()
) -> Chosen:
    """A choice, and what is to be said about labels: those of the networks that answer the same question."""
    known = frozenset().union(*(bundle.manifest.labels for bundle in task))
    foreign = sorted(set(labels) - known)
    told = []
    if not known:
        told = [f"{_names(task)}: no list of classes, so there is no accuracy; the summary tells of outputs"]
    elif foreign:
        told = [_about_labels(foreign, len(foreign) == len(set(labels)), task)]
    elif not labels:
        told = [f"the pictures lie flat and have no labels; they play through {_names(task)}"]
    return Chosen(tuple(playing), bool(set(labels) & known), (*notes, *told))


def _best_task(usable: Sequence[Bundle], labels: frozenset[str]) -> list[Bundle]:
    """The bundles whose classes fit most labels; where none fits, of the task with most networks."""
    ordered = sorted(usable, key=lambda each: (each.manifest.defence != "none", each.name))
    tasks = [list(task.bundles) for task in tasks_of(ordered)]
    return max(tasks, key=lambda task: (len(labels & task[0].manifest.labels), len(task)), default=[])


def _about_labels(foreign: Sequence[str], all_of_them: bool, task: Sequence[Bundle]) -> str:
    folders, name = ("folder", "names") if len(foreign) == 1 else ("folders", "name")
    named = f"the {folders} {_shortened(foreign)} {name} no class of {_names(task)}"
    if all_of_them:
        return f"{named}: the pictures play without labels; choose other networks with --bundle"
    return f"{named}: those pictures do not count for the accuracy"


def _names(bundles: Sequence[Bundle]) -> str:
    return ", ".join(bundle.name for bundle in bundles)


def _codec_names(bundle: Bundle) -> list[str]:
    return [codec.name for codec in bundle.manifest.codecs]


def _shortened(names: Sequence[str], limit: int = 6) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

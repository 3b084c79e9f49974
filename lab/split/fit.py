"""From a network and a folder of pictures to a run folder: read, cut, see, fit, find rate points, measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data_sets.own import OwnPictures, load_own
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.split.cuts import Cut, Flow
from siftfunnel.lab.split.features import Ends, Say, Seen, see
from siftfunnel.lab.split.fitting import Funnel, fit_funnel
from siftfunnel.lab.split.folder import SplitRun, require_own, save_run
from siftfunnel.lab.split.halves import Halves, halves
from siftfunnel.lab.split.network import Network
from siftfunnel.lab.split.points import Point, figures, find_points
from siftfunnel.lab.split.targets import Target
from siftfunnel.shared.input_spec import InputSpec

LEAST_FITTED, LEAST_HELD_OUT = 64, 16
MOST_FITTED, MOST_HELD_OUT = 600, 240
WORSE_OUTSIDE = 1.6
"""Times the divergence on pictures that were fitted to at which held-out ones say that those were too few."""


@dataclass(frozen=True)
class FitSettings:
    """What to fit.

    Attributes:
        funnel: ``linear``, or ``none`` to cut only.
        targets: Rate points, the default one first; none without a funnel.
        classes: Names of the classes in the order of the scores; empty numbers them.
        class_ids: What tells classes apart whose names do not.
        mac_share: Of the whole network's multiply-adds, on the device at most, the funnel's included.
    """

    funnel: Literal["linear", "none"] = "linear"
    targets: tuple[Target, ...] = ()
    classes: tuple[str, ...] = ()
    class_ids: tuple[str, ...] = ()
    mac_share: float | None = None

    def __post_init__(self) -> None:
        if self.funnel == "linear" and not self.targets:
            raise ValueError("a funnel needs a target or more: --bytes 1000,1600 or --agreement 91%")


def read_pictures(place: Path, spec: InputSpec) -> OwnPictures:
    """Pictures in two parts, those to fit to (the attacker's, of an audit) and those held out.

    Raises:
        DataError: nothing there, or too few; the text says what to do.
    """
    return load_own(place, spec, attacker=LEAST_FITTED, attacked=LEAST_HELD_OUT)


def fit_network(
    network: Network, cut: Cut, spec: InputSpec, place: Path, settings: FitSettings, folder: Path, say: Say
) -> SplitRun:
    """Cut a network and fit a funnel; writes and returns the run.

    Raises:
        NetworkError: it cannot be cut there.
        DataError: too few pictures.
        ValueError: a target that cannot be reached.
    """
    made = halves(network, cut)
    macs = (cut.macs, Flow(network).whole[1])
    return fit_halves(
        made,
        spec,
        place,
        settings,
        folder,
        say,
        name=network.name,
        original_sha256=network.original_sha256,
        cut=cut.name,
        macs=macs,
    )


def fit_halves(
    made: Halves,
    spec: InputSpec,
    place: Path,
    settings: FitSettings,
    folder: Path,
    say: Say,
    *,
    name: str,
    original_sha256: str | None,
    cut: str,
    macs: tuple[int, int],
) -> SplitRun:
    """Fit a funnel between two halves; see `fit_network`."""
    require_own(folder)
    classes = _classes(made, settings.classes)
    ends = Ends(made)
    pictures = read_pictures(place, spec)
    for note in pictures.notes:
        say(note)
    fitted, held_out = _seen(ends, pictures, spec, say)
    room = None if settings.mac_share is None else settings.mac_share * macs[1] - macs[0]
    funnel, points, about = _fitted(ends, fitted, held_out, settings, room, say)
    run = SplitRun(
        network=name,
        original_sha256=original_sha256,
        cut=cut,
        spec=spec,
        halves=made,
        funnel=funnel,
        points=points,
        pictures=place,
        classes=classes,
        class_ids=settings.class_ids,
        macs=macs,
        about={
            "pictures": pictures.name,
            "pictures_sha256": pictures.sha256,
            "fitted": len(fitted),
            "held_out": len(held_out),
            "provenance": provenance(),
            **about,
        },
    )
    save_run(folder, run)
    return run


def _seen(ends: Ends, pictures: OwnPictures, spec: InputSpec, say: Say) -> tuple[Seen, Seen]:
    held = min(MOST_HELD_OUT, len(pictures.attacked))
    count = min(MOST_FITTED, len(pictures.attacker), max(ends.most_pictures - held, LEAST_FITTED))
    say(f"{count} pictures to fit to, {held} held out")
    return (
        see(ends, pictures.attacker.images_NHWC[:count], spec),
        see(ends, pictures.attacked.images_NHWC[:held], spec),
    )


def _fitted(
    ends: Ends, fitted: Seen, held_out: Seen, settings: FitSettings, room: float | None, say: Say
) -> tuple[Funnel | None, tuple[Point, ...], dict[str, Any]]:
    if settings.funnel == "none":
        return None, (), {}
    wanted = [target.bytes for target in settings.targets if target.bytes is not None]
    whole = fit_funnel(ends, fitted, held_out, float(np.median(wanted)) if wanted else None, say)
    funnel, points = find_points(ends, whole, fitted, held_out, settings.targets, say)
    if room is not None and funnel.macs > room:
        say(f"{funnel.macs:,} multiply-adds of the funnel do not fit: its faintest channels are left out")
        funnel, points = find_points(ends, whole.within(room), fitted, held_out, settings.targets, say)
    return funnel, points, told_points(ends, funnel, points, fitted, held_out, say)


def told_points(
    ends: Ends, funnel: Funnel, points: Sequence[Point], fitted: Seen, held_out: Seen, say: Say
) -> dict[str, Any]:
    """Figures of rate points on held-out pictures and, for the first, on as many that were fitted to."""
    told = {point.target.name: figures(point, ends, funnel, held_out) for point in points}
    for name, figure in told.items():
        low, high = figure["agreement_ci95"]
        say(
            f"{name}: {figure['payload_bytes_mean']:,.0f} bytes, agreement {figure['agreement']:.1%} "
            f"({low:.1%} to {high:.1%})"
        )
    inside = figures(points[0], ends, funnel, fitted.take(slice(0, len(held_out)), ends))
    notes = too_few(inside, told[points[0].target.name], len(fitted))
    for note in notes:
        say(note)
    return {
        "points": told,
        "first_point_on_fitted": inside,
        "agreement_is": held_out.likeness.measure,
        "importance": funnel.importance,
        "sides": [part.side for part in funnel.parts],
        "channels": [part.channels for part in funnel.parts],
        "notes": notes,
    }


def too_few(inside: dict[str, Any], outside: dict[str, Any], fitted: int) -> list[str]:
    """Whether pictures that were fitted to fare so much better that more of them are wanted.

    >>> figure = {"divergence_mean": 0.1, "payload_bytes_mean": 1000.0}
    >>> too_few(figure, figure, 300)
    []
    """
    # bytes are a part of the price: divergence falls with their power of about 1.5
    excess = (outside["payload_bytes_mean"] / inside["payload_bytes_mean"]) ** 1.5
    times = excess * (outside["divergence_mean"] + 1e-9) / (inside["divergence_mean"] + 1e-9)
    if times < WORSE_OUTSIDE:
        return []
    return [
        f"{fitted} pictures are too few for this cut: at equal bytes held-out ones diverge {times:.1f} times "
        "as much as those that were fitted to; add pictures, some hundred say more, or cut where tensors are "
        "smaller"
    ]


def _classes(made: Halves, classes: Sequence[str]) -> tuple[str, ...]:
    scores = next((output for output in made.outputs if output.is_scores), None)
    if scores is None:
        if classes:
            raise ValueError("no output is scores, so classes have nothing to name: leave them out")
        return ()
    count = scores.shape[0] or 0
    if classes and len(classes) != count:
        raise ValueError(f"the network has {count} classes, {len(classes)} names are given")
    return tuple(classes) or tuple(f"class {number}" for number in range(count))


def labels_of(pictures: OwnPictures, run: SplitRun) -> NDArray[np.int64] | None:
    """Positions of the held-out pictures' folders among the classes; None where they are no classes."""
    known = {name: place for place, name in enumerate(run.class_ids or run.classes)}
    found = [known.get(name) for name in pictures.attacked.classes]
    if not pictures.is_labelled or any(place is None for place in found):
        return None
    return np.array([found[label] for label in pictures.attacked.labels], np.int64)

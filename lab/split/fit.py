"""From a network and a folder of pictures to a run folder: read, cut, see, fit, find rate points, measure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.data.own import OwnPictures, load_own
from siftfunnel.lab.onnx_graphs import NetworkError, exceeds_protobuf
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.split.cuts import Cut, Flow
from siftfunnel.lab.split.features import Ends, Say, Seen, see
from siftfunnel.lab.split.fitting import Funnel, fit_funnel
from siftfunnel.lab.split.folder import SCHEMA, SplitRun, load_run, require_own, save_run
from siftfunnel.lab.split.halves import Halves, halves
from siftfunnel.lab.split.labels import class_places, label_table
from siftfunnel.lab.split.network import Network
from siftfunnel.lab.split.points import Point, figures, find_points
from siftfunnel.lab.split.prepare import draws_noise
from siftfunnel.lab.split.steps import Steps
from siftfunnel.lab.split.targets import Target
from siftfunnel.shared import manifest_fields as told
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


def read_pictures(place: Path, spec: InputSpec, labels: Path | None = None) -> OwnPictures:
    """Pictures in two parts, those to fit to (the attacker's, of an audit) and those held out.

    Labels are the folders' names, or those of a CSV of NAME,LABEL.

    Raises:
        DataError: nothing there, or too few; the text says what to do.
    """
    table = label_table(labels) if labels else None
    return load_own(place, spec, attacker=LEAST_FITTED, attacked=LEAST_HELD_OUT, labels=table)


def fit_network(
    network: Network, cut: Cut, spec: InputSpec, place: Path, settings: FitSettings, folder: Path, say: Say
) -> SplitRun:
    """Cut a network and fit a funnel; writes and returns the run.

    What is finished is kept in the folder as it comes: the same call goes on behind it, and has nothing to do
    where the run is whole.

    Raises:
        RunFolderError: the folder is of something else.
        NetworkError: it cannot be cut there, draws noise behind the cut, or has too large a half.
        DataError: too few pictures.
        ValueError: a target that cannot be reached.
    """
    made = halves(network, cut)
    _require_servable(made, cut.name)
    if network.stochastic:
        say("the network draws noise: agreement is with one run of it, which no other run gives either")
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


def _require_servable(made: Halves, cut: str) -> None:
    if draws_noise(made.cloud):
        raise NetworkError(
            f"behind {cut} the network draws noise, so that no answer could be checked: cut behind the "
            "noise, which the device then draws, or export the network without it"
        )
    for half, graph in (("edge", made.edge), ("cloud", made.cloud)):
        if exceeds_protobuf(graph):
            raise NetworkError(
                f"cut at {cut} the {half} half has more weights than the 2 GiB that a bundle's file holds: "
                "cut elsewhere, or bring the network in half precision"
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
    ends, classes = Ends(made), _classes(made, settings.classes)
    pictures = read_pictures(place, spec)
    about = {
        "network": original_sha256,
        "cut": cut,
        "input": told.input_as_json(spec, SCHEMA),
        "tensors": [told.tensor_as_json(tensor) for tensor in made.tensors],
        "outputs": [told.output_as_json(output) for output in made.outputs],
        "pictures": pictures.sha256,
    }
    keep = Steps(folder, about, asdict(settings))
    if keep.is_whole:
        say(f"{folder} holds this run already; delete it to fit it anew")
        return load_run(folder)
    for note in (*pictures.notes, *_odd(pictures, spec)):
        say(note)
    fitted, held_out = _seen(ends, pictures, spec, say)
    room = None if settings.mac_share is None else settings.mac_share * macs[1] - macs[0]
    funnel, points, about = _fitted(ends, fitted, held_out, settings, room, say, keep)
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
    keep.finish()
    save_run(folder, run)
    keep.clear()
    return run


def _odd(pictures: OwnPictures, spec: InputSpec) -> list[str]:
    """What is unusual about pictures for this input, for people."""
    parts = (pictures.attacker.images_NHWC, pictures.attacked.images_NHWC)
    grey = sum(int((np.ptp(part, axis=3) <= 2).all(axis=(1, 2)).sum()) for part in parts)
    if not grey or spec.colour == "grey":
        return []
    return [
        f"{grey} of {len(pictures)} pictures are grey, the network takes colours: is that what it will see?"
    ]


def _seen(ends: Ends, pictures: OwnPictures, spec: InputSpec, say: Say) -> tuple[Seen, Seen]:
    held = min(MOST_HELD_OUT, len(pictures.attacked))
    count = min(MOST_FITTED, len(pictures.attacker), max(ends.most_pictures - held, LEAST_FITTED))
    say(f"{count} pictures to fit to, {held} held out")
    return (
        see(ends, pictures.attacker.images_NHWC[:count], spec),
        see(ends, pictures.attacked.images_NHWC[:held], spec),
    )


def _fitted(
    ends: Ends,
    fitted: Seen,
    held_out: Seen,
    settings: FitSettings,
    room: float | None,
    say: Say,
    keep: Steps,
) -> tuple[Funnel | None, tuple[Point, ...], dict[str, Any]]:
    if settings.funnel == "none":
        return None, (), {}
    wanted = [target.bytes for target in settings.targets if target.bytes is not None]
    median = float(np.median(wanted)) if wanted else None
    whole = fit_funnel(ends, fitted, held_out, median, say, keep)
    funnel, points = find_points(ends, whole, fitted, held_out, settings.targets, say, keep)
    if room is not None and funnel.macs > room:
        say(f"{funnel.macs:,} multiply-adds of the funnel do not fit: its faintest channels are left out")
        small = whole.within(room)
        funnel, points = find_points(ends, small, fitted, held_out, settings.targets, say, keep.of("within"))
    return funnel, points, told_points(ends, funnel, points, fitted, held_out, say)


def told_points(
    ends: Ends, funnel: Funnel, points: Sequence[Point], fitted: Seen, held_out: Seen, say: Say
) -> dict[str, Any]:
    """Figures of rate points on held-out pictures and, for the first, on as many that were fitted to."""
    found = {point.target.name: figures(point, ends, funnel, held_out) for point in points}
    for name, figure in found.items():
        low, high = figure["agreement_ci95"]
        say(
            f"{name}: {figure['payload_bytes_mean']:,.0f} bytes, agreement {figure['agreement']:.1%} "
            f"({low:.1%} to {high:.1%})"
        )
    inside = figures(points[0], ends, funnel, fitted.take(slice(0, len(held_out)), ends))
    notes = too_few(inside, found[points[0].target.name], len(fitted))
    for note in notes:
        say(note)
    return {
        "points": found,
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
            raise ValueError(
                "no output ranks classes, so that they need no names: leave out --classes, or say which "
                "output does, --kind NAME=logits"
            )
        return ()
    count = scores.shape[0] or 0
    if classes and len(classes) != count:
        raise ValueError(f"the network has {count} classes, {len(classes)} names are given: a line for each")
    return tuple(classes) or tuple(f"class {number}" for number in range(count))


def labels_of(pictures: OwnPictures, images: ImageSet, run: SplitRun) -> NDArray[np.int64] | None:
    """Classes of one part's pictures, -1 for a label that names none; None where all are so."""
    scores = next((output for output in run.halves.outputs if output.is_scores), None)
    if not pictures.is_labelled or scores is None:
        return None
    told = [images.classes[label] for label in images.labels]
    places = class_places(told, scores.shape[0] or 0, run.class_ids, run.classes)
    return places if (places >= 0).any() else None

"""From a network and a folder of pictures to a run folder: read, cut, see, fit, find rate points, measure."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from siftfunnel.lab.data.own import OwnPictures
from siftfunnel.lab.onnx_graphs import NetworkError, exceeds_protobuf
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.split.cuts import Cut, Flow
from siftfunnel.lab.split.features import Say, see
from siftfunnel.lab.split.fit_steps import FitSteps, Fitting
from siftfunnel.lab.split.folder import SCHEMA, SplitRun, load_run, require_own, save_run
from siftfunnel.lab.split.funnel import Funnel, fit_funnel
from siftfunnel.lab.split.halves import Halves, halves
from siftfunnel.lab.split.network import Network
from siftfunnel.lab.split.pictures import LEAST_FITTED, MOST_FITTED, MOST_HELD_OUT, grey_ones, read_parts
from siftfunnel.lab.split.points import Point, find_points, told_points
from siftfunnel.lab.split.prepare import draws_noise
from siftfunnel.lab.split.settings import FitSettings
from siftfunnel.shared import manifest_fields as told
from siftfunnel.shared.input_spec import InputSpec


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
    run = cut_only(network, cut, spec, place)
    _require_servable(run.halves, cut.name)
    if network.stochastic:
        say("the network draws noise: agreement is with one run of it, which no other run gives either")
    return fit_run(run, settings, folder, say)


def cut_only(network: Network, cut: Cut, spec: InputSpec, place: Path) -> SplitRun:
    """A run that nothing is fitted to yet.

    Raises:
        NetworkError: it cannot be cut there.
    """
    return SplitRun(
        network=network.name,
        original_sha256=network.original_sha256,
        cut=cut.name,
        spec=spec,
        halves=halves(network, cut),
        pictures=place,
        macs=(cut.macs, Flow(network).whole[1]),
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


def fit_run(run: SplitRun, settings: FitSettings, folder: Path, say: Say) -> SplitRun:
    """Fit a funnel between the halves of a run that has none yet; see `fit_network`."""
    require_own(folder)
    run = replace(run, classes=_classes(run.halves, settings.classes), class_ids=settings.class_ids)
    pictures = read_parts(run.pictures, run.spec)
    about = {
        "network": run.original_sha256,
        "cut": run.cut,
        "input": told.input_as_json(run.spec, SCHEMA),
        "tensors": [told.as_json(tensor) for tensor in run.halves.tensors],
        "outputs": [told.as_json(output) for output in run.halves.outputs],
        "pictures": pictures.sha256,
    }
    keep = FitSteps(folder, about, asdict(settings))
    if keep.is_whole:
        say(f"{folder} holds this run already; delete it to fit it anew")
        return load_run(folder)
    for note in (*pictures.notes, *grey_ones(pictures, run.spec)):
        say(note)
    by = _fitting(run, pictures, say, keep)
    funnel, points, figures = _fitted(run, by, settings)
    seen = {
        "pictures": pictures.name,
        "pictures_sha256": pictures.sha256,
        "fitted": len(by.fitted),
        "held_out": len(by.held_out),
        "provenance": provenance(),
    }
    run = replace(run, funnel=funnel, points=points, about={**seen, **figures})
    keep.finish()
    save_run(folder, run)
    keep.clear()
    return run


def funnel_macs(run: SplitRun, settings: FitSettings, say: Say) -> int:
    """Multiply-adds of the funnel that `fit_run` would build if there were room for all its channels.

    Raises:
        DataError: too few pictures.
        ValueError: a target that cannot be reached.
    """
    if settings.funnel == "none":
        return 0
    by = _fitting(run, read_parts(run.pictures, run.spec), say, FitSteps())
    return find_points(by, _whole_funnel(by, settings), settings.targets)[0].macs


def _fitting(run: SplitRun, pictures: OwnPictures, say: Say, keep: FitSteps) -> Fitting:
    held = min(MOST_HELD_OUT, len(pictures.attacked))
    count = min(MOST_FITTED, len(pictures.attacker), max(run.ends.most_pictures - held, LEAST_FITTED))
    say(f"{count} pictures to fit to, {held} held out")
    fitted = see(run.ends, pictures.attacker.images_NHWC[:count], run.spec)
    held_out = see(run.ends, pictures.attacked.images_NHWC[:held], run.spec)
    return Fitting(run.ends, fitted, held_out, say, keep)


def _fitted(
    run: SplitRun, by: Fitting, settings: FitSettings
) -> tuple[Funnel | None, tuple[Point, ...], dict[str, Any]]:
    if settings.funnel == "none":
        return None, (), {}
    whole = _whole_funnel(by, settings)
    funnel, points = find_points(by, whole, settings.targets)
    on_device, of_all = run.macs
    if settings.mac_share is not None and on_device + funnel.macs > settings.mac_share * of_all:
        by.say(f"{funnel.macs:,} multiply-adds of the funnel do not fit: its faintest channels are left out")
        small = whole.within(settings.mac_share * of_all - on_device)
        funnel, points = find_points(replace(by, keep=by.keep.of("within")), small, settings.targets)
    return funnel, points, told_points(by, funnel, points)


def _whole_funnel(by: Fitting, settings: FitSettings) -> Funnel:
    wanted = [target.bytes for target in settings.targets if target.bytes is not None]
    return fit_funnel(by, float(np.median(wanted)) if wanted else None)


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

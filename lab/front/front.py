"""Measuring a front: what is missing of it is measured, and the file is written after every step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from siftfunnel.lab.attacks.attack import Show
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.images import ImageSet, Splits
from siftfunnel.lab.data.picture_coding import PictureCoding
from siftfunnel.lab.evaluation.places import require_private_place
from siftfunnel.lab.front.coding import codec_points, picture_points
from siftfunnel.lab.front.finetuning import fine_tuned_fields
from siftfunnel.lab.front.halves import Halves
from siftfunnel.lab.front.leakage import Scenery, attack_codec, read_picture, with_attacks
from siftfunnel.lab.front.points import (
    FRONT,
    SCHEMA,
    Front,
    FrontError,
    Point,
    find_point,
    put_point,
    read_front,
    write_front,
)
from siftfunnel.lab.front.request import ALL, FrontRequest
from siftfunnel.lab.provenance import provenance
from siftfunnel.shared.bundle import Bundle, load_bundle


def measure_front(wanted: FrontRequest, device: torch.device, show: Show) -> Front:
    """Measure what is asked for and not in the file yet, and write it.

    Raises:
        BundleError, DataError, CodecError: a bundle, pictures or a codec that is not there or does not fit.
        FrontError: the file belongs to other pictures, bundles of two sizes, or nothing to measure.
        PlaceError: attacks would keep pictures of people where git would track them.
    """
    bundles = [load_bundle(place) for place in wanted.bundles]
    unprotected = None if wanted.unprotected is None else load_bundle(wanted.unprotected)
    _check_codecs(bundles, wanted)
    if wanted.leakage is not None:
        require_private_place(wanted.runs, wanted.dataset)
    side = _side_of([*bundles, *([unprotected] if unprotected is not None else [])])
    splits = load_splits(wanted.dataset, wanted.data, wanted.cache, size=side)
    images = splits.test.spread(wanted.pictures)
    front = open_front(wanted, images)
    for bundle in bundles:
        _measure_bundle(front, Halves(bundle, images.classes), images, wanted, show)
    if unprotected is not None:
        _measure_pictures(front, Halves(unprotected, images.classes), images, wanted, show)
        if wanted.fine_tune is not None:
            _fine_tune(front, unprotected, splits, images, wanted.fine_tune, wanted, device, show)
    if wanted.leakage is not None:
        scenery = Scenery.of_splits(wanted.dataset, splits, wanted.leakage)
        _read_pictures(front, scenery, wanted)
        _take_over(front, scenery, wanted, show)
        for place, bundle in zip(wanted.bundles, bundles, strict=True):
            _attack_bundle(front, place, bundle, scenery, wanted, device, show)
    return front


def _check_codecs(bundles: Sequence[Bundle], wanted: FrontRequest) -> None:
    if wanted.leakage is None or ALL in wanted.leakage_of:
        return
    there = {spec.name for bundle in bundles for spec in bundle.manifest.codecs}
    unknown = [name for name in wanted.leakage_of if name not in there]
    if unknown:
        raise FrontError(f"no codec {unknown[0]!r} in these bundles; there are {', '.join(sorted(there))}")


def _side_of(bundles: Sequence[Bundle]) -> int | None:
    sizes = {(bundle.manifest.input.height, bundle.manifest.input.width) for bundle in bundles}
    if not sizes:
        raise FrontError("nothing to measure: name a bundle, or one for --unprotected")
    if len(sizes) > 1:
        told = ", ".join(f"{height}x{width}" for height, width in sorted(sizes))
        raise FrontError(f"one front compares pictures of one size, these bundles take {told}")
    height, width = sizes.pop()
    return height if height == width else None


def open_front(wanted: FrontRequest, images: ImageSet) -> Front:
    """The front in the file, or a new one.

    Raises:
        FrontError: the file is of another data set or of other test pictures, and ``again`` is not said.
    """
    about: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": FRONT,
        "provenance": provenance(),
        "dataset": wanted.dataset,
        "picture_shape": list(images.images_NHWC.shape[1:]),
        "pictures": len(images),
        "pictures_sha256": images.pixels_sha256(),
    }
    if not wanted.out.is_file():
        return {**about, "points": []}
    stored = read_front(wanted.out)
    for key in ("dataset", "pictures_sha256"):
        if stored.get(key) != about[key]:
            raise FrontError(
                f"{wanted.out}: holds a front of other pictures ({key} differs: {stored.get(key)}, here "
                f"{about[key]}); choose another file or delete it"
            )
    return {**about, "points": stored["points"]}


def _measure_bundle(front: Front, halves: Halves, images: ImageSet, wanted: FrontRequest, show: Show) -> None:
    bundle = halves.bundle
    for point in [one for one in front["points"] if one["bundle"] == bundle.name]:
        if point["digest"] != bundle.digest:
            show(f"{bundle.name} {point['codec']}: dropped, it was of another bundle of that name")
            front["points"].remove(point)
    names = [codec.name for codec in halves.codecs]
    if wanted.again or any(find_point(front, bundle.name, name) is None for name in names):
        _put(front, codec_points(halves, images, show, rounds=wanted.rounds), wanted)


def _measure_pictures(
    front: Front, halves: Halves, images: ImageSet, wanted: FrontRequest, show: Show
) -> None:
    def is_there(coding: PictureCoding) -> bool:
        point = find_point(front, None, coding.name)
        return point is not None and point["network"]["digest"] == halves.bundle.digest

    missing = [coding for coding in wanted.codings if wanted.again or not is_there(coding)]
    if missing:
        _put(front, picture_points(halves, images, show, codings=missing, rounds=wanted.rounds), wanted)


def _fine_tune(
    front: Front,
    network: Bundle,
    splits: Splits,
    images: ImageSet,
    epochs: int,
    wanted: FrontRequest,
    device: torch.device,
    show: Show,
) -> None:
    """The answers of a network trained for the ways of sending, beside those of the network as it is."""
    trained = {"bundle": network.name, "digest": network.digest, "epochs": epochs}
    points = [point for coding in wanted.codings if (point := find_point(front, None, coding.name))]
    missing = [point for point in points if point.get("fine_tuned", {}).get("network") != trained]
    if not missing:
        return
    made = fine_tuned_fields(network, splits, images, wanted.codings, epochs, wanted.runs, device)
    for point in missing:
        tuned = made[point["codec"]]
        show(
            f"{point['codec']}: accuracy {100 * tuned['accuracy']:.2f} % of a network trained on with "
            f"compressed pictures, {100 * point['accuracy']:.2f} % without"
        )
        _put(front, [{**point, "fine_tuned": tuned}], wanted)


def _put(front: Front, points: Sequence[Point], wanted: FrontRequest) -> None:
    for point in points:
        put_point(front, point)
    write_front(wanted.out, front)


def _read_pictures(front: Front, scenery: Scenery, wanted: FrontRequest) -> None:
    for coding in wanted.codings:
        point = find_point(front, None, coding.name)
        if point is not None:
            _put(front, [with_attacks(point, {"reading": read_picture(coding, scenery)})], wanted)


def _take_over(front: Front, scenery: Scenery, wanted: FrontRequest, show: Show) -> None:
    """Entries of other fronts, where bundle, codec and attacked pictures are the same."""
    attacked = scenery.attacked.pixels_sha256()
    for path in wanted.leakage_from:
        for theirs in read_front(path)["points"]:
            ours = None if theirs["bundle"] is None else find_point(front, theirs["bundle"], theirs["codec"])
            if ours is None or ours["digest"] != theirs["digest"] or theirs["leakage"] is None:
                continue
            entries = theirs["leakage"]["all"]
            if any(entry["attacked_sha256"] != attacked for entry in entries.values()):
                raise FrontError(
                    f"{path}: {theirs['bundle']} {theirs['codec']} was attacked on other pictures than here; "
                    "give the same --attacked and --profile"
                )
            show(f"{theirs['bundle']} {theirs['codec']}: {', '.join(entries)} taken over from {path}")
            _put(front, [with_attacks(ours, entries)], wanted)


def _attack_bundle(
    front: Front,
    place: Path,
    bundle: Bundle,
    scenery: Scenery,
    wanted: FrontRequest,
    device: torch.device,
    show: Show,
) -> None:
    assert wanted.leakage is not None
    for spec in bundle.manifest.codecs:
        if ALL not in wanted.leakage_of and spec.name not in wanted.leakage_of:
            continue
        point = find_point(front, bundle.name, spec.name)
        assert point is not None, (bundle.name, spec.name)
        show(f"{bundle.name} {spec.name}: attacks")
        entries = attack_codec(place, spec.name, scenery, wanted.leakage, wanted.runs, device, show)
        _put(front, [with_attacks(point, entries)], wanted)

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
from siftfunnel.lab.front.leakage import LeakageSettings, Scenery, attack_codec, read_picture, with_attacks
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
    made = _Measuring(wanted, images, device, show)
    for bundle in bundles:
        made.bundle(Halves(bundle, images.classes))
    if unprotected is not None:
        made.pictures(Halves(unprotected, images.classes))
        if wanted.fine_tune is not None:
            made.fine_tuned(unprotected, splits, wanted.fine_tune)
    if wanted.leakage is not None:
        scenery = Scenery.of_splits(wanted.dataset, splits, wanted.leakage)
        made.read_pictures(scenery)
        made.take_over(scenery)
        for place, bundle in zip(wanted.bundles, bundles, strict=True):
            made.attacked(place, bundle, scenery, wanted.leakage)
    return made.front


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


class _Measuring:
    """A front while it is measured; the file is written after every step."""

    def __init__(self, wanted: FrontRequest, images: ImageSet, device: torch.device, show: Show) -> None:
        self.wanted, self.images, self.device, self.show = wanted, images, device, show
        self.front = open_front(wanted, images)

    def bundle(self, halves: Halves) -> None:
        """Points of a bundle's codecs, where one is missing."""
        bundle = halves.bundle
        for point in [one for one in self.front["points"] if one["bundle"] == bundle.name]:
            if point["digest"] != bundle.digest:
                self.show(f"{bundle.name} {point['codec']}: dropped, it was of another bundle of that name")
                self.front["points"].remove(point)
        missing = any(find_point(self.front, bundle.name, codec.name) is None for codec in halves.codecs)
        if self.wanted.again or missing:
            self._put(codec_points(halves, self.images, self.show, rounds=self.wanted.rounds))

    def pictures(self, halves: Halves) -> None:
        """Points of sending the picture itself, those that are missing."""

        def is_there(coding: PictureCoding) -> bool:
            point = find_point(self.front, None, coding.name)
            return point is not None and point["network"]["digest"] == halves.bundle.digest

        asked = self.wanted
        missing = [coding for coding in asked.codings if asked.again or not is_there(coding)]
        if missing:
            made = picture_points(halves, self.images, self.show, codings=missing, rounds=asked.rounds)
            self._put(made)

    def fine_tuned(self, network: Bundle, splits: Splits, epochs: int) -> None:
        """The answers of a network trained for the ways of sending, beside those of the network as it is."""
        trained = {"bundle": network.name, "digest": network.digest, "epochs": epochs}
        asked = self.wanted
        points = [point for coding in asked.codings if (point := find_point(self.front, None, coding.name))]
        missing = [point for point in points if point.get("fine_tuned", {}).get("network") != trained]
        if not missing:
            return
        made = fine_tuned_fields(network, splits, self.images, asked.codings, epochs, asked.runs, self.device)
        for point in missing:
            tuned = made[point["codec"]]
            self.show(
                f"{point['codec']}: accuracy {100 * tuned['accuracy']:.2f} % of a network trained on with "
                f"compressed pictures, {100 * point['accuracy']:.2f} % without"
            )
            self._put([{**point, "fine_tuned": tuned}])

    def read_pictures(self, scenery: Scenery) -> None:
        """What whoever overhears the picture itself has of it."""
        for coding in self.wanted.codings:
            point = find_point(self.front, None, coding.name)
            if point is not None:
                self._put([with_attacks(point, {"reading": read_picture(coding, scenery)})])

    def take_over(self, scenery: Scenery) -> None:
        """Entries of other fronts, where bundle, codec and attacked pictures are the same."""
        attacked = scenery.attacked.pixels_sha256()
        for path in self.wanted.leakage_from:
            for theirs in read_front(path)["points"]:
                named = (theirs["bundle"], theirs["codec"])
                ours = None if theirs["bundle"] is None else find_point(self.front, *named)
                if ours is None or ours["digest"] != theirs["digest"] or theirs["leakage"] is None:
                    continue
                entries = theirs["leakage"]["all"]
                if any(entry["attacked_sha256"] != attacked for entry in entries.values()):
                    raise FrontError(
                        f"{path}: {' '.join(named)} was attacked on other pictures than here; give the same "
                        "--attacked and --profile"
                    )
                self.show(f"{' '.join(named)}: {', '.join(entries)} taken over from {path}")
                self._put([with_attacks(ours, entries)])

    def attacked(self, place: Path, bundle: Bundle, scenery: Scenery, how: LeakageSettings) -> None:
        """What attacks restore behind each codec that is to be attacked."""
        for spec in bundle.manifest.codecs:
            if ALL not in self.wanted.leakage_of and spec.name not in self.wanted.leakage_of:
                continue
            point = find_point(self.front, bundle.name, spec.name)
            assert point is not None, (bundle.name, spec.name)
            self.show(f"{bundle.name} {spec.name}: attacks")
            entries = attack_codec(place, spec.name, scenery, how, self.wanted.runs, self.device, self.show)
            self._put([with_attacks(point, entries)])

    def _put(self, points: Sequence[Point]) -> None:
        for point in points:
            put_point(self.front, point)
        write_front(self.wanted.out, self.front)

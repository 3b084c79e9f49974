"""Points of sending the picture itself: the cloud then runs the whole unprotected network on what arrives.

``payload_bytes`` counts the file as Pillow writes it, ``abbreviated_bytes`` what would be left of it if the
two sides agreed on all that repeats.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.data.picture_coding import CODINGS, PictureCoding
from siftfunnel.lab.front.coding import ROUNDS, TIMED_FRAMES, Show, medians_us
from siftfunnel.lab.front.halves import Halves
from siftfunnel.lab.front.points import Point, accuracy_fields, byte_fields
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.turns import on_each


def picture_points(
    halves: Halves,
    images: ImageSet,
    show: Show,
    *,
    codings: Sequence[PictureCoding] = CODINGS,
    rounds: int = ROUNDS,
) -> list[Point]:
    """One point per way of sending the picture, over all ``images``.

    Args:
        halves: The unprotected bundle, both of whose halves the cloud runs.
        images: Pictures of its input size.
        show: Takes a line of progress.
        codings: Which ways.
        rounds: Timed frames per way.
    """
    times_us = _times_us(codings, images.images_NHWC, rounds)
    return [_point(coding, halves, images, times_us, show) for coding in codings]


def _point(
    coding: PictureCoding, halves: Halves, images: ImageSet, times_us: dict[str, float], show: Show
) -> Point:
    pixels = images.images_NHWC
    payloads = [coding.encode(picture) for picture in pixels]
    decoded = np.stack([coding.decode(payload, pixels.shape[1:]) for payload in payloads])
    manifest = halves.bundle.manifest
    point = {
        "kind": coding.kind,
        "bundle": None,
        "digest": None,
        "defence": None,
        "architecture": manifest.architecture,
        "codec": coding.name,
        "network": {"bundle": manifest.name, "digest": halves.bundle.digest},
        **byte_fields([len(payload) for payload in payloads]),
        **byte_fields(coding.abbreviated_sizes(pixels, payloads), "abbreviated_bytes"),
        **accuracy_fields(halves.right(halves.features(decoded), images.labels), images.labels),
        "feature_bytes_fp32": None,
        "encode_us": times_us[f"encode {coding.name}"],
        "decode_us": times_us[f"decode {coding.name}"],
        "edge_us": None,
        "leakage": None,
        "provenance": provenance(),
    }
    show(
        f"{coding.name}: {point['payload_bytes_mean']:.1f} bytes ({point['abbreviated_bytes_mean']:.1f} "
        f"abbreviated), accuracy {100 * point['accuracy']:.2f} %"
    )
    return point


def _times_us(
    codings: Sequence[PictureCoding], images_NHWC: NDArray[np.uint8], rounds: int
) -> dict[str, float]:
    frames = min(TIMED_FRAMES, len(images_NHWC))
    pictures = images_NHWC[np.linspace(0, len(images_NHWC) - 1, frames).astype(int)]
    calls: dict[str, Callable[[], object]] = {}
    for coding in codings:
        payloads = [coding.encode(picture) for picture in pictures]
        calls[f"encode {coding.name}"] = on_each(coding.encode, pictures)
        calls[f"decode {coding.name}"] = on_each(
            partial(coding.decode, shape_HWC=pictures.shape[1:]), payloads
        )
    return medians_us(calls, rounds)

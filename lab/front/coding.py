"""Points of a front: what each way of sending costs in bytes and time, and how the cloud answers behind it.

A bundle's codec sends features. A picture codec sends the picture itself, and the cloud then runs the whole
unprotected network on what arrives: ``payload_bytes`` counts the file as Pillow writes it,
``abbreviated_bytes`` what would be left of it if the two sides agreed on all that repeats.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.data.picture_coding import CODINGS, PictureCoding
from siftfunnel.lab.front.halves import Halves
from siftfunnel.lab.front.points import Point, accuracy_fields, byte_fields, kind_of_codec
from siftfunnel.lab.front.request import ROUNDS
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.turns import interleaved_times_ms, on_each

FLOAT_BYTES = 4
TIMED_FRAMES = 64

Show = Callable[[str], None]


class Way(NamedTuple):
    """A way of sending an array: features of a frame, or its pixels."""

    name: str
    encode: Callable[[NDArray[Any]], bytes]
    decode: Callable[[bytes], NDArray[Any]]

    def through(self, arrays: NDArray[Any]) -> tuple[list[bytes], NDArray[Any]]:
        """Payloads of arrays, and what arrives of them."""
        payloads = [self.encode(np.ascontiguousarray(each)) for each in arrays]
        return payloads, np.stack([self.decode(payload) for payload in payloads])


def codec_points(halves: Halves, images: ImageSet, show: Show, *, rounds: int = ROUNDS) -> list[Point]:
    """One point per codec of a bundle, over all ``images``.

    Args:
        halves: The bundle.
        images: Pictures of the bundle's input size.
        show: Takes a line of progress.
        rounds: Timed frames per codec.
    """
    manifest = halves.bundle.manifest
    features = halves.features(images.images_NHWC)
    ways = [Way(codec.name, codec.encode, codec.decode) for codec in halves.codecs]
    chosen = _timed(len(images))
    x_N1CHW = halves.normalised(images.images_NHWC[chosen])[:, None]
    times_us = _times_us(ways, features[chosen], rounds, edge=(halves.edge, x_N1CHW))
    points = []
    for codec, way in zip(halves.codecs, ways, strict=True):
        payloads, decoded = way.through(features)
        point = {
            "kind": kind_of_codec(codec.name, manifest.defence),
            "bundle": manifest.name,
            "digest": halves.bundle.digest,
            "defence": manifest.defence,
            "architecture": manifest.architecture,
            "codec": codec.name,
            **byte_fields(list(map(len, payloads))),
            "payload_bytes_ceiling": codec.max_payload_bytes,
            **accuracy_fields(halves.right(decoded, images.labels), images.labels),
            "feature_bytes_fp32": FLOAT_BYTES * manifest.feature.size,
            "encode_us": times_us[f"encode {codec.name}"],
            "decode_us": times_us[f"decode {codec.name}"],
            "edge_us": times_us["edge"],
            "leakage": None,
            "provenance": provenance(),
        }
        show(
            f"{halves.bundle.name} {codec.name}: {point['payload_bytes_mean']:.1f} bytes, "
            f"accuracy {100 * point['accuracy']:.2f} %"
        )
        points.append(point)
    return points


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
    pixels, manifest = images.images_NHWC, halves.bundle.manifest
    shape = pixels.shape[1:]
    ways = [Way(each.name, each.encode, partial(each.decode, shape_HWC=shape)) for each in codings]
    times_us = _times_us(ways, pixels[_timed(len(pixels))], rounds)
    points = []
    for coding, way in zip(codings, ways, strict=True):
        payloads, decoded = way.through(pixels)
        point = {
            "kind": coding.kind,
            "bundle": None,
            "digest": None,
            "defence": None,
            "architecture": manifest.architecture,
            "codec": coding.name,
            "network": {"bundle": manifest.name, "digest": halves.bundle.digest},
            **byte_fields(list(map(len, payloads))),
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
            f"{coding.name}: {point['payload_bytes_mean']:.1f} bytes "
            f"({point['abbreviated_bytes_mean']:.1f} abbreviated), accuracy {100 * point['accuracy']:.2f} %"
        )
        points.append(point)
    return points


def _timed(count: int) -> NDArray[np.int64]:
    """Which frames are timed."""
    return np.linspace(0, count - 1, min(TIMED_FRAMES, count)).astype(int)


def _times_us(
    ways: Sequence[Way], arrays: NDArray[Any], rounds: int, **more: tuple[Callable[[Any], object], Any]
) -> dict[str, float]:
    """Median microseconds of each way's encoding and decoding, and of more calls on arrays of their own."""
    calls: dict[str, tuple[Callable[[Any], object], Any]] = dict(more)
    frames = [np.ascontiguousarray(each) for each in arrays]
    for way in ways:
        calls[f"encode {way.name}"] = way.encode, frames
        calls[f"decode {way.name}"] = way.decode, [way.encode(frame) for frame in frames]
    # every turn takes the next frame, the same for all
    turns = {name: on_each(call, given) for name, (call, given) in calls.items()}
    found = interleaved_times_ms(turns, rounds)
    return {name: round(1000 * float(np.median(times)), 1) for name, times in found.items()}

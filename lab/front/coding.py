"""Points of a bundle: each codec's bytes, accuracy after it, and time beside the edge half's."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.lab.data.images import ImageSet
from siftfunnel.lab.front.halves import Halves
from siftfunnel.lab.front.points import Point, accuracy_fields, byte_fields, kind_of_codec
from siftfunnel.lab.provenance import provenance
from siftfunnel.lab.turns import interleaved_times_ms, on_each
from siftfunnel.shared.wire import SealedCodec

FLOAT_BYTES = 4
TIMED_FRAMES = 64
ROUNDS = 300
WARM_UP = 20

Show = Callable[[str], None]


def codec_points(halves: Halves, images: ImageSet, show: Show, *, rounds: int = ROUNDS) -> list[Point]:
    """One point per codec of a bundle, over all ``images``.

    Args:
        halves: The bundle.
        images: Pictures of the bundle's input size.
        show: Takes a line of progress.
        rounds: Timed frames per codec.
    """
    features = halves.features(images.images_NHWC)
    times_us = _times_us(halves, images, features, rounds)
    points = []
    for codec in halves.codecs:
        sizes, decoded = through(codec, features)
        point = {
            **_identity(halves, codec),
            **byte_fields(sizes),
            "payload_bytes_ceiling": codec.max_payload_bytes,
            **accuracy_fields(halves.right(decoded, images.labels), images.labels),
            "feature_bytes_fp32": FLOAT_BYTES * halves.bundle.manifest.feature.size,
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


def through(codec: SealedCodec, features_NCHW: NDArray[np.float32]) -> tuple[list[int], NDArray[np.float32]]:
    """Payload sizes in bytes, and what the cloud gets, of each feature."""
    decoded = np.empty_like(features_NCHW)
    sizes = []
    for index, feature in enumerate(features_NCHW):
        payload = codec.encode(np.ascontiguousarray(feature))
        sizes.append(len(payload))
        decoded[index] = codec.decode(payload)
    return sizes, decoded


def _identity(halves: Halves, codec: SealedCodec) -> dict[str, Any]:
    manifest = halves.bundle.manifest
    return {
        "kind": kind_of_codec(codec.name, manifest.defence),
        "bundle": manifest.name,
        "digest": halves.bundle.digest,
        "defence": manifest.defence,
        "architecture": manifest.architecture,
        "codec": codec.name,
    }


def _times_us(
    halves: Halves, images: ImageSet, features: NDArray[np.float32], rounds: int
) -> dict[str, float]:
    chosen = np.linspace(0, len(images) - 1, min(TIMED_FRAMES, len(images))).astype(int)
    x_N1CHW = halves.normalised(images.images_NHWC[chosen])[:, None]
    z_NCHW = [np.ascontiguousarray(features[index]) for index in chosen]
    calls: dict[str, Callable[[], object]] = {"edge": on_each(halves.edge, x_N1CHW)}
    for codec in halves.codecs:
        calls[f"encode {codec.name}"] = on_each(codec.encode, z_NCHW)
        calls[f"decode {codec.name}"] = on_each(codec.decode, [codec.encode(z) for z in z_NCHW])
    return medians_us(calls, rounds)


def medians_us(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median microseconds of each call, taking turns.

    Args:
        calls: What to time, by name.
        rounds: Timed turns of each, after at most 20 that are not timed.
    """
    times_ms = interleaved_times_ms(calls, rounds, min(WARM_UP, rounds))
    return {name: round(1000 * float(np.median(taken)), 1) for name, taken in times_ms.items()}

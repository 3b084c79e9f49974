"""What the device does for one frame, stage by stage, for a bundle and its codecs."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.edge.latency import quartiles_ms
from siftfunnel.edge_client.encoder import Encoder
from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.edge_client.picture import Picture
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.preprocess import prepare

CAMERA = (480, 640)


def measure_frame(bundle: Bundle, *, codec: str | None = None, rounds: int = 200) -> dict[str, Any]:
    """Frames of a camera, 640x480 RGB blocks of random colours, from pixels in memory to payload.

    Args:
        bundle: its edge half runs.
        codec: a codec's name; None takes the bundle's default.
        rounds: timed frames, after a tenth as many that are not timed.

    Returns:
        Quartiles per stage, of the whole as the device's `Encoder` does it, and the payload's size.
    """
    encoder = Encoder(EdgeModel(bundle), codec)
    frames = [_frame(seed) for seed in range(8)]
    stages = ("prepare", "model", "encode", "whole")
    times_ms: dict[str, list[float]] = {stage: [] for stage in stages}
    payload_bytes = []
    for turn in range(-max(1, rounds // 10), rounds):
        picture = Picture("frame", frames[turn % len(frames)])
        marks_s = [time.perf_counter()]
        prepared = prepare(picture.decodable(), bundle.manifest.input)
        marks_s.append(time.perf_counter())
        features_NCHW = encoder.model.features(prepared.tensor)
        marks_s.append(time.perf_counter())
        payload = encoder.codec.encode(features_NCHW[0])
        marks_s.append(time.perf_counter())
        encoder.encode(picture)
        marks_s.append(time.perf_counter())
        if turn >= 0:
            payload_bytes.append(len(payload))
            for stage, taken_s in zip(stages, np.diff(marks_s), strict=True):
                times_ms[stage].append(float(taken_s) * 1000)
    return {
        "bundle": bundle.manifest.name,
        "codec": encoder.codec.name,
        "rounds": rounds,
        "payload_bytes_mean": round(float(np.mean(payload_bytes)), 1),
        "stages_ms": {stage: quartiles_ms(np.array(taken)) for stage, taken in times_ms.items()},
    }


def _frame(seed: int) -> NDArray[np.uint8]:
    height, width = CAMERA
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(40, axis=0).repeat(40, axis=1))

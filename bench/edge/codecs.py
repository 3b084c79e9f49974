"""Encode and decode of each codec of a bundle, in turns with the edge half that they are held against."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.edge.latency import interleaved_times_ms, quartiles_ms
from lab.sessions import DeviceModel, OnnxModel
from shared.bundle import Bundle
from shared.wire import make_codecs

PAPER_WIDTH = 128


def measure_codecs(bundle: Bundle, pictures_NCHW: NDArray[np.float32], *, rounds: int = 200) -> dict[str, Any]:
    """Quartiles of encode and decode, and their sum as a share of SiftFunnel's edge half at the paper's width.

    Args:
        bundle: its edge half makes the features, its codecs are timed.
        pictures_NCHW: normalised pictures; each turn takes the next.
        rounds: timed turns.
    """
    from bench.edge.variants import fresh_network
    from lab.export import convert

    network = fresh_network("cnn-siftfunnel", width=PAPER_WIDTH, input_size=bundle.manifest.input.height)
    features = DeviceModel(bundle.path("edge.onnx"), bundle.manifest.edge_stages)(pictures_NCHW)
    codecs = make_codecs(bundle.manifest, bundle.digest)
    payloads = {codec.name: [codec.encode(feature) for feature in features] for codec in codecs}
    calls = {"edge": _each(OnnxModel(convert(network).edge_onnx), pictures_NCHW[:, None])}
    for codec in codecs:
        calls[f"encode {codec.name}"] = _each(codec.encode, features)
        calls[f"decode {codec.name}"] = _each(codec.decode, payloads[codec.name])
    times = {name: quartiles_ms(taken) for name, taken in interleaved_times_ms(calls, rounds).items()}
    edge_ms = times["edge"]["p50"]
    return {
        "pictures": len(features),
        "rounds": rounds,
        "edge_width": PAPER_WIDTH,
        "edge_ms": times["edge"],
        "codecs": [
            {
                "name": codec.name,
                "kind": codec.kind,
                "payload_bytes_mean": round(float(np.mean([len(p) for p in payloads[codec.name]])), 1),
                "encode_ms": times[f"encode {codec.name}"],
                "decode_ms": times[f"decode {codec.name}"],
                "to_edge": round(
                    (times[f"encode {codec.name}"]["p50"] + times[f"decode {codec.name}"]["p50"]) / edge_ms, 4
                ),
            }
            for codec in codecs
        ],
    }


def _each(call: Callable[[Any], object], values: Any) -> Callable[[], object]:
    following = cycle(values)
    return lambda: call(next(following))

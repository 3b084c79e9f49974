"""Encode and decode of each codec of a bundle, in turns with what they are held against.

That is the edge half that runs before them on the device, or libjpeg-turbo on the pictures that they replace.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from siftfunnel.edge_client.model import EdgeModel
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.turns import interleaved_times_ms, on_each, quartiles_ms
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.wire import SealedCodec, make_codecs
from siftfunnel.shared.wire.compiled import native

PAPER_WIDTH = 128
QUALITIES = (75, 50)
STEPS = ("encode", "decode")


def measure_codecs(
    bundle: Bundle, pictures_NCHW: NDArray[np.float32], *, rounds: int = 200
) -> dict[str, Any]:
    """Quartiles of encode and decode; both as a share of SiftFunnel's edge half at the paper's width.

    A network that has just run has driven everything but its own output out of the processor's caches, as on
    a device. So each step is timed twice, right after the edge half and once more for the next picture; what
    it is given is touched before, untimed.

    Args:
        bundle: its edge half makes the features, its codecs are timed.
        pictures_NCHW: normalised pictures; each turn takes the next.
        rounds: timed turns.
    """
    from siftfunnel.bench.edge.graphs import fresh_network
    from siftfunnel.lab.export.bundle import convert

    network = fresh_network("cnn-siftfunnel", width=PAPER_WIDTH, input_size=bundle.manifest.input.height)
    model, pictures = Runner(convert(network).edge_onnx), cycle(pictures_NCHW[:, None])
    sent_NCHW = EdgeModel(bundle).features(pictures_NCHW)
    codecs = make_codecs(bundle.manifest, bundle.digest)
    payloads = {codec.name: [codec.encode(feature) for feature in sent_NCHW] for codec in codecs}
    calls: dict[tuple[str, str, str], Callable[[], object]] = {}
    for codec in codecs:
        for step, call, source in (
            ("encode", codec.encode, _Source(sent_NCHW)),
            ("decode", codec.decode, _Source(payloads[codec.name])),
        ):
            calls[codec.name, step, "edge"] = lambda: model.first(next(pictures))
            for which in ("first", "again"):
                calls[codec.name, step, f"touch {which}"] = source.advance
                calls[codec.name, step, which] = partial(source.give, call)
    times = interleaved_times_ms(calls, rounds)
    edge_ms = np.concatenate([taken for (_, _, which), taken in times.items() if which == "edge"])
    return {
        "pictures": len(sent_NCHW),
        "rounds": rounds,
        "compiled": native is not None,
        "edge_width": PAPER_WIDTH,
        "edge_ms": quartiles_ms(edge_ms),
        "codecs": [
            {
                "name": codec.name,
                "kind": codec.kind,
                "payload_bytes_mean": _mean_size(payloads[codec.name]),
                **{
                    which: _step_times(
                        {step: times[codec.name, step, which] for step in STEPS}, float(np.median(edge_ms))
                    )
                    for which in ("first", "again")
                },
            }
            for codec in codecs
        ],
    }


def _step_times(times_ms: dict[str, NDArray[np.float64]], edge_ms: float) -> dict[str, Any]:
    both_ms = sum(float(np.median(taken)) for taken in times_ms.values())
    return {
        **{f"{step}_ms": quartiles_ms(taken) for step, taken in times_ms.items()},
        "to_edge": round(both_ms / edge_ms, 4),
    }


class _Source:
    """Hands out one value after the other, each touched before it is used."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._following = cycle(values)
        self._current: Any = None

    def advance(self) -> None:
        value = next(self._following)
        self._current = value.copy() if isinstance(value, np.ndarray) else bytes(bytearray(value))

    def give(self, call: Callable[[Any], object]) -> object:
        return call(self._current)


def measure_against_jpeg(
    codecs: Sequence[SealedCodec],
    sent_CHW: Sequence[NDArray[np.float32]],
    pictures: Sequence[Image.Image],
    rounds: int,
) -> dict[str, Any]:
    """Quartiles of every codec's encode and decode, and both as a share of one JPEG encoding.

    Args:
        codecs: to time.
        sent_CHW: the feature of each picture.
        pictures: at the network's size.
        rounds: timed turns; each takes the next picture.
    """
    payloads = {codec.name: [codec.encode(feature) for feature in sent_CHW] for codec in codecs}
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    for quality in QUALITIES:
        calls[f"jpeg {quality}", "encode"] = on_each(partial(_jpeg, quality=quality), pictures)
    for codec in codecs:
        calls[codec.name, "encode"] = on_each(codec.encode, sent_CHW)
        calls[codec.name, "decode"] = on_each(codec.decode, payloads[codec.name])
    times = interleaved_times_ms(calls, rounds)
    jpeg_ms = {quality: float(np.median(times[f"jpeg {quality}", "encode"])) for quality in QUALITIES}
    return {
        "pictures": len(pictures),
        "rounds": rounds,
        "compiled": native is not None,
        "libjpeg_turbo": bool(features.check_feature("libjpeg_turbo")),
        "jpeg": {
            str(quality): {
                "encode_ms": quartiles_ms(times[f"jpeg {quality}", "encode"]),
                "bytes_mean": _mean_size([_jpeg(picture, quality) for picture in pictures]),
            }
            for quality in QUALITIES
        },
        "codecs": {
            codec.name: {
                "kind": codec.kind,
                "payload_bytes_mean": _mean_size(payloads[codec.name]),
                **{f"{step}_ms": quartiles_ms(times[codec.name, step]) for step in STEPS},
                **{
                    f"{step}_to_jpeg_{quality}": round(float(np.median(times[codec.name, step])) / its_ms, 3)
                    for step in STEPS
                    for quality, its_ms in jpeg_ms.items()
                },
            }
            for codec in codecs
        },
    }


def _mean_size(files: Sequence[bytes]) -> float:
    return round(float(np.mean([len(file) for file in files])), 1)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    stored = io.BytesIO()
    picture.save(stored, format="JPEG", quality=quality)
    return stored.getvalue()

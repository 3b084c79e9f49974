"""`siftfunnel bench codecs`: a bundle's codecs in turns with libjpeg-turbo on the pictures they replace."""

import argparse
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from siftfunnel.bench.edge.latency import interleaved_times_ms, quartiles_ms
from siftfunnel.shared.files import write_file
from siftfunnel.shared.wire import SealedCodec
from siftfunnel.shared.wire.compiled import native

QUALITIES = (75, 50)
MOST_PICTURES = 100


def add_codecs_parser(verbs: Any) -> None:
    """Add `bench codecs`."""
    parser = verbs.add_parser(
        "codecs",
        help="each codec's encode and decode beside JPEG encoding of the pictures it replaces (needs lab)",
        description="Runs a bundle's edge half over pictures and times its codecs in turns with Pillow's "
        "JPEG of the same pictures at the network's size, in one run on one thread.",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="bundle to measure")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of pictures")
    parser.add_argument("--rounds", type=int, default=200, help="timed turns (200)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON here")
    parser.set_defaults(run=run_codecs)


def run_codecs(args: argparse.Namespace) -> int:
    """Measure and write one JSON object.

    Raises:
        ValueError: too few rounds, or a folder without pictures.
    """
    from siftfunnel.lab.device import DeviceModel
    from siftfunnel.lab.provenance import provenance
    from siftfunnel.shared.bundle import load_bundle
    from siftfunnel.shared.pictures import is_picture_name
    from siftfunnel.shared.preprocess import prepare
    from siftfunnel.shared.wire import make_codecs

    if args.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {args.rounds}")
    found = sorted(path for path in args.images.rglob("*") if path.is_file() and is_picture_name(path.name))
    if not found:
        raise ValueError(f"{args.images}: no pictures found")
    bundle = load_bundle(args.bundle)
    model = DeviceModel(bundle.path("edge.onnx"), bundle.manifest.edge_stages)
    prepared = [prepare(path, bundle.manifest.input) for path in found[:MOST_PICTURES]]
    sent = [model(one.tensor)[0] for one in prepared]
    pictures = [Image.fromarray(one.pixels_HWC) for one in prepared]
    result = {
        "provenance": provenance(),
        "bundle": bundle.manifest.name,
        "digest": bundle.digest,
        **measure_against_jpeg(make_codecs(bundle.manifest, bundle.digest), sent, pictures, args.rounds),
    }
    text = json.dumps(result, indent=2) + "\n"
    if args.out is None:
        print(text, end="")
    else:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_file(args.out, text)
    return 0


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
        calls[f"jpeg {quality}", "encode"] = _each(partial(_jpeg, quality=quality), pictures)
    for codec in codecs:
        calls[codec.name, "encode"] = _each(codec.encode, sent_CHW)
        calls[codec.name, "decode"] = _each(codec.decode, payloads[codec.name])
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
                "bytes_mean": round(float(np.mean([len(_jpeg(p, quality)) for p in pictures])), 1),
            }
            for quality in QUALITIES
        },
        "codecs": {
            codec.name: {
                "kind": codec.kind,
                "payload_bytes_mean": round(float(np.mean([len(p) for p in payloads[codec.name]])), 1),
                **{f"{step}_ms": quartiles_ms(times[codec.name, step]) for step in ("encode", "decode")},
                **{
                    f"{step}_to_jpeg_{quality}": round(float(np.median(times[codec.name, step])) / its_ms, 3)
                    for step in ("encode", "decode")
                    for quality, its_ms in jpeg_ms.items()
                },
            }
            for codec in codecs
        },
    }


def _each(call: Callable[[Any], object], values: Sequence[Any]) -> Callable[[], object]:
    """A call that takes the next value every time."""
    following = cycle(values)
    return lambda: call(next(following))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    stored = io.BytesIO()
    picture.save(stored, format="JPEG", quality=quality)
    return stored.getvalue()

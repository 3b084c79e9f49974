"""`siftfunnel bench edge` and `bench codecs`: the device's share, measured on this machine."""

import argparse
from pathlib import Path
from typing import Any

from siftfunnel.bench.output import add_out, show, write_json

SIZES = ((128, 64), (32, 64), (32, 32))
CALIBRATION_PICTURES, TEST_PICTURES, CODEC_PICTURES = 200, 2000, 100
MOST_PICTURES = 100


def add_edge_parser(verbs: Any) -> None:
    """Add `bench edge`."""
    parser = verbs.add_parser(
        "edge",
        help="the edge half's time, where it goes, in 8 bits; one frame's stages; first answer (needs lab)",
        description="Times the edge halves of SiftFunnel and the unprotected network in turns on one thread, "
        "as PyTorch exports them, as we do and in 8 bits, with ONNX Runtime's profile. For each bundle: one "
        "frame's stages, time from process start to the first answer and resident memory.",
    )
    parser.add_argument(
        "--bundle", type=Path, action="append", default=[], metavar="DIR", help="bundle to run (repeatable)"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="picture for the first answer")
    parser.add_argument(
        "--int8-accuracy",
        action="store_true",
        help="classify test pictures with each bundle's edge half in 8 bits, where its recipe is ours",
    )
    parser.add_argument(
        "--codecs",
        action="store_true",
        help="time each bundle's codecs on test pictures, in turns with the edge half at the paper's width",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="data directory, as for training")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="directory for decoded pictures")
    parser.add_argument("--install", action="store_true", help="also install the extra `edge` and weigh it")
    parser.add_argument("--rounds", type=int, default=200, help="timed pictures per graph (200)")
    add_out(parser, "instead of printing a table")
    parser.set_defaults(run=run_edge)


def run_edge(args: argparse.Namespace) -> int:
    """Measure, and write one JSON object or print the table.

    Raises:
        ValueError: too few rounds, or a bundle without a picture for its first answer.
    """
    from siftfunnel.bench.edge.table import render_edge

    if args.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {args.rounds}")
    if args.bundle and args.picture is None:
        raise ValueError("--bundle needs --picture FILE, the picture that the first answer is for")
    result = _measure(args)
    if args.out is None:
        print(render_edge(result), end="")
    else:
        write_json(result, args.out)
    return 0


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    from siftfunnel.bench.edge.device import measure_install, vector_flags
    from siftfunnel.bench.edge.graphs import measure_edge
    from siftfunnel.lab.provenance import provenance

    result: dict[str, Any] = {"provenance": provenance(), "vector_flags": vector_flags()}
    result["networks"] = []
    for width, input_size in SIZES:
        show(f"measuring width {width} at {input_size}x{input_size} ...")
        result["networks"].append(measure_edge(width=width, input_size=input_size, rounds=args.rounds))
    result["bundles"] = [_measure_bundle(folder, args) for folder in args.bundle]
    if args.install:
        show("measuring the installation ...")
        result["install"] = measure_install(Path(__file__).resolve().parents[2])
    return result


def _measure_bundle(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    from siftfunnel.bench.edge.device import measure_first_answer, measure_frame
    from siftfunnel.shared.bundle import load_bundle

    bundle = load_bundle(folder)
    show(f"measuring bundle {bundle.manifest.name} ...")
    # told before anything is measured
    splits = _splits(bundle.manifest.name, args) if args.int8_accuracy or args.codecs else None
    result = {
        "name": bundle.manifest.name,
        "digest": bundle.digest,
        "architecture": bundle.manifest.architecture,
        "frame": measure_frame(bundle, rounds=args.rounds),
        "first_answer": measure_first_answer(folder, args.picture),
    }
    if args.int8_accuracy:
        result["int8"] = _int8_accuracy(bundle, splits)
    if args.codecs:
        from siftfunnel.bench.edge.codecs import measure_codecs

        held_out = _held_out(splits, CODEC_PICTURES)
        result["codecs"] = measure_codecs(bundle, _prepared(bundle, held_out), rounds=args.rounds)
    return result


def _splits(name: str, args: argparse.Namespace) -> Any:
    from siftfunnel.lab.training.recipes import RECIPES
    from siftfunnel.lab.training.runs import splits_of

    for recipe in RECIPES.values():
        if recipe.bundle == name:
            return splits_of(recipe, args.data, args.cache)
    raise ValueError(
        f"no recipe makes a bundle named {name!r}, so that its test pictures are not known: leave out "
        "--codecs and --int8-accuracy, or measure a bundle of the lab's own"
    )


def _held_out(splits: Any, most: int) -> Any:
    """So many test pictures, or somewhat more, spread over all of them."""
    return splits.test.take(slice(0, None, max(1, len(splits.test) // most)))


def _prepared(bundle: Any, images: Any) -> Any:
    from siftfunnel.shared.preprocess import normalise

    return normalise(images.images_NHWC, bundle.manifest.input)


def _int8_accuracy(bundle: Any, splits: Any) -> dict[str, Any]:
    from siftfunnel.bench.edge.graphs import measure_accuracy

    calibration = splits.train.take(slice(0, CALIBRATION_PICTURES))
    held_out = _held_out(splits, TEST_PICTURES)
    return measure_accuracy(
        bundle, _prepared(bundle, calibration), _prepared(bundle, held_out), held_out.labels
    )


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
    add_out(parser)
    parser.set_defaults(run=run_codecs)


def run_codecs(args: argparse.Namespace) -> int:
    """Measure and write one JSON object.

    Raises:
        ValueError: too few rounds, or a folder without pictures.
    """
    from PIL import Image

    from siftfunnel.bench.edge.codecs import measure_against_jpeg
    from siftfunnel.edge_client.model import EdgeModel
    from siftfunnel.edge_client.sources.directory import find_pictures
    from siftfunnel.lab.provenance import provenance
    from siftfunnel.shared.bundle import load_bundle
    from siftfunnel.shared.preprocess import prepare
    from siftfunnel.shared.wire import make_codecs

    if args.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {args.rounds}")
    found = list(find_pictures(args.images))
    if not found:
        raise ValueError(f"{args.images}: no pictures found")
    bundle = load_bundle(args.bundle)
    model = EdgeModel(bundle)
    prepared = [prepare(path, bundle.manifest.input) for path in found[:MOST_PICTURES]]
    sent = [model.features(one.tensor)[0] for one in prepared]
    pictures = [Image.fromarray(one.pixels_HWC) for one in prepared]
    result = {
        "provenance": provenance(),
        "bundle": bundle.manifest.name,
        "digest": bundle.digest,
        **measure_against_jpeg(make_codecs(bundle.manifest, bundle.digest), sent, pictures, args.rounds),
    }
    write_json(result, args.out)
    return 0

"""`siftfunnel bench edge`: the device's share, measured on this machine."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from siftfunnel.shared.files import write_file

SIZES = ((128, 64), (32, 64), (32, 32))
CALIBRATION_PICTURES, TEST_PICTURES, CODEC_PICTURES = 200, 2000, 100


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
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON here instead of a table")
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
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_file(args.out, json.dumps(result, indent=2) + "\n")
    return 0


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    from siftfunnel.bench.edge.latency import measure_edge
    from siftfunnel.bench.edge.processor import vector_flags
    from siftfunnel.bench.footprint import measure_install
    from siftfunnel.lab.provenance import provenance

    result: dict[str, Any] = {"provenance": provenance(), "vector_flags": vector_flags()}
    result["networks"] = []
    for width, input_size in SIZES:
        print(f"measuring width {width} at {input_size}x{input_size} ...", file=sys.stderr)
        result["networks"].append(measure_edge(width=width, input_size=input_size, rounds=args.rounds))
    result["bundles"] = [_measure_bundle(folder, args) for folder in args.bundle]
    if args.install:
        print("measuring the installation ...", file=sys.stderr)
        result["install"] = measure_install(Path(__file__).resolve().parents[2])
    return result


def _measure_bundle(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    from siftfunnel.bench.cli import running_cloud
    from siftfunnel.bench.edge.frame import measure_frame
    from siftfunnel.bench.footprint import measure_first_answer
    from siftfunnel.shared.bundle import load_bundle

    bundle = load_bundle(folder)
    print(f"measuring bundle {bundle.manifest.name} ...", file=sys.stderr)
    result = {
        "name": bundle.manifest.name,
        "digest": bundle.digest,
        "architecture": bundle.manifest.architecture,
        "frame": measure_frame(bundle, rounds=args.rounds),
    }
    with running_cloud(folder) as server:
        result["first_answer"] = measure_first_answer(folder, server, args.picture)
    if args.int8_accuracy or args.codecs:
        splits = _splits(bundle.manifest.name, args)
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

    for make in RECIPES.values():
        recipe = make()
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
    from siftfunnel.bench.edge.int8 import measure_accuracy

    calibration = splits.train.take(slice(0, CALIBRATION_PICTURES))
    held_out = _held_out(splits, TEST_PICTURES)
    return measure_accuracy(
        bundle, _prepared(bundle, calibration), _prepared(bundle, held_out), held_out.labels
    )

"""``siftfunnel lab figure2``: information and attacks block by block."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lab.arguments import add_common, prepare_torch
from lab.study.cli import RESULTS

FAMILY_NAMES = ("cnn", "resnet18", "vgg16")


def add_figure2_parser(commands: Any) -> None:
    """Add ``lab figure2``."""
    parser = commands.add_parser(
        "figure2",
        help="measure and attack each block of an unprotected network",
        description="Figure 2 of the paper: cut an unprotected CIFAR-10 network after each of its blocks, "
        "measure the information there and attack it. Resumable; `siftfunnel lab tables --table figure2` "
        "prints it.",
    )
    parser.add_argument("family", choices=FAMILY_NAMES, help="which network")
    parser.add_argument("--profile", default="cpu", help="cpu or full (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of training (default: 1)")
    parser.add_argument(
        "--attacks", default="", metavar="NAMES", help="only these attacks, separated by commas"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="run folders (default: %(default)s)"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="where results go (default: lab/results of this checkout)",
    )
    add_common(parser)
    parser.set_defaults(run=run_figure2_command)


def run_figure2_command(args: argparse.Namespace) -> int:
    """Run it and print the result's path."""
    device = prepare_torch(args.device, args.threads)
    from lab.study.figure2 import DEFAULT_ATTACKS, run_figure2
    from lab.study.profiles import profile
    from lab.study.run import Places

    attacks = tuple(name for name in args.attacks.split(",") if name) or DEFAULT_ATTACKS
    path = run_figure2(
        args.family,
        profile(args.profile),
        Places(args.data, args.cache, args.runs, args.results),
        device,
        lambda text: print(text, file=sys.stderr, flush=True),
        seed=args.seed,
        attacks=attacks,
    )
    print(path)
    return 0

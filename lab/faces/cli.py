"""``siftfunnel faces``: draw the shipped set again, another one, or a contact sheet."""

import argparse
from pathlib import Path
from typing import Any

from siftfunnel.lab.faces.sets import SPLITS
from siftfunnel.lab.faces.shipping import contact_sheet, write_set


def add_faces_parser(subparsers: Any) -> None:
    """Add the ``faces`` command; it sets ``run``, a callable from arguments to an exit code."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "faces",
        help="draw the faces of the demo",
        description="Draw the twenty people as folders of 64x64 PNG files, as a contact sheet, or both. "
        "The same seed and split give the same pictures; the defaults are those of the shipped set.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for <name>/<nn>.png and ABOUT.json")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="picture of some faces of everyone (PNG)")
    parser.add_argument(
        "--per-identity",
        type=_count,
        default=12,
        metavar="N",
        help="pictures of each person (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="SEED", help="seed of the set (default: %(default)s)"
    )
    parser.add_argument(
        "--split", choices=SPLITS, default="demo", help="which pictures (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw what the arguments ask for.

    Raises:
        ValueError: when neither a folder nor a sheet is asked for, or the folder holds other files.
    """
    if args.out is None and args.sheet is None:
        raise ValueError("nothing to draw: give --out DIR, --sheet FILE or both")
    if args.seed < 0:
        raise ValueError(f"the seed must not be negative, got {args.seed}")
    if args.out is not None:
        total_bytes = write_set(args.out, args.per_identity, args.seed, args.split)
        print(f"{args.out}: {20 * args.per_identity} pictures, {total_bytes / 1e6:.2f} MB")
    if args.sheet is not None:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(min(args.per_identity, 2), args.seed, args.split).save(args.sheet, optimize=True)
        print(f"{args.sheet}: the contact sheet")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, got {text!r}")
    return int(text)

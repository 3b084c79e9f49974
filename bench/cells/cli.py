"""`siftfunnel bench run`: measure cells and write them as JSON."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from siftfunnel.bench.cells.load import AT_MOST_S, QUERIES_FOR_P90, Load
from siftfunnel.bench.cells.pictures import PictureSet, read_pictures
from siftfunnel.bench.cells.plan import Wish, make_plan, names_in
from siftfunnel.bench.cells.result import Scenario
from siftfunnel.bench.links.cli import add_emulation
from siftfunnel.bench.output import show
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.bundle_search import find_bundle, shipped_assets
from siftfunnel.shared.settings import add_flags, from_flags

OVERLOAD_SHARE = 1.5
DEFAULT_BUNDLES = ("drawnfaces-siftfunnel", "drawnfaces-unprotected")
_DESCRIPTION = (
    "Measures cells: bundle x mode x codec x link x scenario, each with a real server and a real client "
    "at the two ends of an emulated link. Without arguments: the shipped drawn faces over three links, about "
    "three minutes. Results are written as they come; the same command goes on where it was interrupted."
)


def add_run_parser(verbs: Any) -> None:
    """Add `bench run` to the verbs of `bench`."""
    parser = verbs.add_parser(
        "run", help="measure latency, bytes and accuracy over emulated links", description=_DESCRIPTION
    )
    what = parser.add_argument_group("what is measured (lists are separated by commas)")
    what.add_argument(
        "--bundle",
        action="append",
        metavar="DIR[,DIR]",
        help=f"bundles or names of shipped ones ({','.join(DEFAULT_BUNDLES)}); the unprotected one among "
        "them is what edge-only and cloud-only run",
    )
    add_flags(what, Wish, "modes", "codecs", "links", "scenarios")
    what.add_argument(
        "--images",
        type=Path,
        action="append",
        metavar="DIR_OR_TAR",
        help="pictures in class folders, a tar of them, or CIFAR-10's binary archive; repeatable: a bundle "
        "takes the first whose labels it knows (the shipped drawn faces)",
    )
    what.add_argument(
        "--pictures", type=int, default=500, metavar="N", help="at most so many of them (%(default)s)"
    )
    how = parser.add_argument_group("how")
    add_flags(how, Load)
    add_flags(how, Wish, "repeats", "drop_s")
    how.add_argument(
        "--until-claim",
        action="store_true",
        help=f"let SingleStream and MultiStream go on, to {AT_MOST_S:g} s at most, until LoadGen's "
        "early-stopping rule can claim a 90th percentile",
    )
    how.add_argument(
        "--overload",
        action="store_true",
        help=f"one more Server cell each, at {OVERLOAD_SHARE} times what it can carry",
    )
    add_emulation(how)
    how.add_argument("--no-calibration", action="store_true", help="do not measure the links first")
    parser.add_argument(
        "--out", type=Path, default=Path("bench-run.json"), metavar="FILE.json", help="(%(default)s)"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what the file already has")
    parser.set_defaults(run=run_cells)


def run_cells(args: argparse.Namespace) -> int:
    """Measure what was asked for.

    Raises:
        ValueError: a name that is not known, a file that holds something else.
        ModuleNotFoundError: without the extra `bench`.
    """
    import mlperf_loadgen  # noqa: F401 - the device's process needs it; its lack is told before anything starts

    from siftfunnel.bench.cells.journal import Journal
    from siftfunnel.bench.cells.session import Session, estimate_s
    from siftfunnel.lab.provenance import provenance

    wish = read_wish(args)
    plan, skipped = make_plan(wish)
    journal = Journal(args.out, provenance(), fresh=args.fresh)
    for each in skipped:
        journal.skip(each)
    minutes = estimate_s(plan) / 60
    show(f"{len(plan)} cells, {wish.repeats} runs each: about {minutes:.0f} minutes; into {args.out}")
    Session(journal, show, calibrates=not args.no_calibration).measure(plan)
    return 0


def read_wish(args: argparse.Namespace) -> Wish:
    """The arguments, checked.

    Raises:
        ValueError: a name that is not known, a value out of range.
    """
    names = [name for text in args.bundle or [",".join(DEFAULT_BUNDLES)] for name in names_in(text)]
    sets = [read_pictures(place, args.pictures) for place in args.images or [_shipped_pictures()]]
    bundles = [find_bundle(name) for name in names]
    return from_flags(
        Wish,
        args,
        bundles=[(bundle, _pictures_for(bundle, sets)) for bundle in bundles],
        loads=[load for scenario in args.scenarios for load in _loads(scenario, args)],
    )


def _loads(scenario: Scenario, args: argparse.Namespace) -> list[Load]:
    streams = scenario in ("SingleStream", "MultiStream")
    claims = args.until_claim and streams
    load = from_flags(
        Load,
        args,
        scenario=scenario,
        at_most_s=max(AT_MOST_S, args.seconds) if claims else args.seconds,
        queries=QUERIES_FOR_P90 if claims else 1,
        target_frames_per_s=args.target if scenario == "Server" else None,
    )
    if scenario == "Server" and args.overload:
        return [load, replace(load, target_frames_per_s=None, capacity_share=OVERLOAD_SHARE)]
    return [load]


def _pictures_for(bundle: Bundle, sets: Sequence[PictureSet]) -> PictureSet:
    """The first set whose labels are the bundle's classes; else the first, whose answers are not judged."""
    return next((each for each in sets if each.knows(bundle.manifest.classes)), sets[0])


def _shipped_pictures() -> Path:
    assets = shipped_assets()
    if assets is None:
        raise ValueError("no shipped pictures here: name a folder or a tar with --images")
    return assets / "images" / "drawnfaces"

"""``siftfunnel lab front``: accuracy against bytes per frame, with leakage. PyTorch is imported late."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from siftfunnel.lab.arguments import add_common, names, prepare_torch, say
from siftfunnel.lab.front.request import FrontRequest
from siftfunnel.shared.settings import add_flags, from_flags

EPILOG = """\
Points that FILE has already are kept; --again measures their bytes, accuracy and time anew. Leakage is
measured only of the codecs named with --leakage-of, and attacks continue where they were stopped. Examples:
  siftfunnel lab front BUNDLE... --unprotected BUNDLE --dataset cifar10 --data DIR --out FILE
  siftfunnel lab front BUNDLE --dataset cifar10 --data DIR --out FILE --leakage-of q4 --attacks residual"""


def add_front_parser(commands: Any) -> None:
    """Add ``front`` to the lab's commands."""
    parser = commands.add_parser(
        "front",
        help="measure accuracy against bytes per frame, and leakage, of every codec",
        description="Measure bytes, accuracy and time of every codec of some bundles, of JPEG, WebP and raw "
        "pixels of the input, and what attacks restore of frames that went through a codec.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE", help="bundle folders")
    add_flags(parser, FrontRequest)
    _add_leakage_arguments(parser)
    add_common(parser)
    parser.set_defaults(run=run_front)


def _add_leakage_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--leakage-from",
        type=Path,
        nargs="+",
        default=(),
        metavar="FILE",
        help="take attacks over from other fronts, of a machine with a GPU say",
    )
    parser.add_argument(
        "--attacks",
        type=names,
        default=("stored-inverter", "doubled"),
        metavar="NAME,...",
        help="attacks of the suite; `doubled` trains the bundle's stored inverter on, or "
        "the residual one where it has none, for as many passes again; `autoinvert` stands for the whole "
        "suite (default: stored-inverter,doubled)",
    )
    parser.add_argument(
        "--inverters",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders with the bundles' stored inverters (default: `inverters` beside each bundle's folder)",
    )
    parser.add_argument("--profile", default="cpu", help="cpu or full: the study's (default: %(default)s)")
    parser.add_argument(
        "--suite",
        choices=("fast", "standard", "thorough"),
        help="budget of AutoInvert, whose attacks --attacks names (default: the profile's)",
    )
    parser.add_argument(
        "--attacked", type=int, metavar="N", help="pictures whose features are attacked (default: profile's)"
    )
    parser.add_argument(
        "--auxiliary", type=int, metavar="N", help="the attacker's own pictures (default: the profile's)"
    )


def _beside(bundles: Sequence[Path]) -> list[Path]:
    """Folders named ``inverters`` beside the folders that hold these bundles, as the package's assets lie."""
    places = {place.absolute().parent.parent / "inverters" for place in bundles}
    return sorted(place for place in places if place.is_dir())


def run_front(args: argparse.Namespace) -> int:
    """Measure and say where the front lies.

    Raises:
        ValueError: see ``siftfunnel.lab.front.front.measure_front``; an unknown profile or attack.
    """
    device = prepare_torch(args.device, args.threads)
    from siftfunnel.lab.front.front import measure_front
    from siftfunnel.lab.front.leakage import LeakageSettings
    from siftfunnel.lab.study.sizes import profile

    leakage = None
    if args.leakage_of or args.leakage_from:
        size = profile(args.profile)
        leakage = LeakageSettings.of_profile(
            size.under(args.suite) if args.suite else size,
            args.attacks,
            attacked=args.attacked,
            auxiliary=args.auxiliary,
            inverters=args.inverters or _beside(args.bundles),
        )
    wanted = from_flags(
        FrontRequest,
        args,
        bundles=tuple(args.bundles),
        data=args.data,
        cache=args.cache,
        leakage=leakage,
        leakage_from=tuple(args.leakage_from),
    )
    try:
        front = measure_front(wanted, device, say)
    except KeyboardInterrupt:
        say(f"\nstopped; what is finished is kept in {args.out}, the same command continues")
        raise
    attacked = sum(point["leakage"] is not None for point in front["points"])
    print(f"{args.out}: {len(front['points'])} points, {attacked} of them with leakage")
    return 0

"""``siftfunnel lab run`` and ``lab figure2``: train, attack and measure what the study consists of."""

import argparse
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.lab.arguments import add_common, names, prepare_torch, say

if TYPE_CHECKING:
    from siftfunnel.lab.study.sizes import Profile
    from siftfunnel.lab.study.study import Places

RESULTS = Path(__file__).resolve().parents[1] / "results"
STEP_NAMES = ("train", "measure", "attack")
SUITE_NAMES = ("fast", "standard", "thorough")
FAMILY_NAMES = ("cnn", "resnet18", "vgg16")


def add_run_parser(commands: Any) -> None:
    """Add ``lab run``."""
    parser = commands.add_parser(
        "run",
        help="train, attack and measure rows of the study",
        description="Train, attack and measure rows of the paper's study, and write each as JSON with its "
        "provenance. Everything is resumable: stop with Ctrl-C, the same command continues. "
        "`siftfunnel lab recipes` lists the rows; ROW-equal@0.50 is a row stopped at a validation accuracy, "
        "ROW-weight@4 one whose defence has four times its own weight.",
    )
    parser.add_argument("rows", nargs="+", metavar="ROW", help="rows; `table2` stands for all of that table")
    parser.add_argument(
        "--steps",
        default=",".join(STEP_NAMES),
        metavar="NAMES",
        help="which of train, measure and attack, separated by commas (default: all)",
    )
    _add_study_arguments(parser)
    parser.set_defaults(run=run_rows)


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
    _add_study_arguments(parser)
    parser.set_defaults(run=run_figure2_command)


def add_agreement_parser(commands: Any) -> None:
    """Add ``lab agreement``."""
    parser = commands.add_parser(
        "agreement",
        help="measure how far the suite's shorter budgets are from its longer ones",
        description="Compare results of AutoInvert's budgets on the rows that several of them attacked, and "
        "write what every result of a shorter budget prints. Make them with `siftfunnel lab run ROW... "
        "--steps attack --suite NAME`.",
    )
    parser.add_argument("--profile", default="cpu", help="brief, cpu or full (default: %(default)s)")
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="where results are, and the file goes (default: lab/results of this checkout)",
    )
    parser.set_defaults(run=run_agreement)


def _add_study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="cpu", help="brief, cpu or full (default: %(default)s)")
    parser.add_argument(
        "--suite",
        choices=SUITE_NAMES,
        help="budget of AutoInvert, the suite of attacks (default: the profile's; fast, standard, thorough "
        "for brief, cpu, full)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of training (default: 1)")
    parser.add_argument(
        "--attacks", default="", metavar="NAMES", help="only these of the suite's, separated by commas"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="run folders, large (default: %(default)s)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="where results go (default: lab/results of this checkout)",
    )
    add_common(parser)


def _chosen(text: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    chosen = names(text)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise ValueError(f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}")
    return chosen


def _places(args: argparse.Namespace) -> "Places":
    from siftfunnel.lab.study.study import Places

    return Places(args.data, args.cache, args.runs, args.results)


def _profile(args: argparse.Namespace) -> "Profile":
    from siftfunnel.lab.study.sizes import profile

    size = profile(args.profile)
    return size.under(args.suite) if args.suite else size


def run_rows(args: argparse.Namespace) -> int:
    """Run rows one after the other; one that fails is named and does not stop the others."""
    device = prepare_torch(args.device, args.threads)
    from siftfunnel.lab.attacks.registry import ATTACKS
    from siftfunnel.lab.study.rows import expand, row
    from siftfunnel.lab.study.study import chosen_attacks, run_row

    steps = _chosen(args.steps, STEP_NAMES, "step")
    attacks = _chosen(args.attacks, tuple(ATTACKS), "attack")
    rows = [row(name) for name in expand(args.rows)]
    size, places = _profile(args), _places(args)
    for wanted in rows:
        chosen_attacks(wanted, size, attacks)  # refused before any work, not after the first rows
    failed = []
    for wanted in rows:
        try:
            path = run_row(
                wanted,
                size,
                places,
                device,
                say,
                seed=args.seed,
                steps=steps,  # type: ignore[arg-type]  # checked against the same names
                attacks=attacks,
            )
        except KeyboardInterrupt:
            say(f"\nstopped; what is finished is kept in {args.runs}, the same command continues")
            raise
        except (RuntimeError, ValueError, MemoryError) as error:
            if len(rows) == 1:
                raise
            traceback.print_exc()
            failed.append(f"{wanted.name}: {error}")
            continue
        print(path)
    for line in failed:
        say(f"failed: {line}")
    return 1 if failed else 0


def run_agreement(args: argparse.Namespace) -> int:
    """Measure the agreement, print it and write it."""
    from siftfunnel.lab.evaluation.agreement import AGREEMENT, write_agreement
    from siftfunnel.lab.evaluation.ranking import agreement_told

    made = write_agreement(args.results / args.profile, args.results / AGREEMENT.name)
    for pair in made["pairs"]:
        print(agreement_told(pair))
    return 0


def run_figure2_command(args: argparse.Namespace) -> int:
    """Measure and attack a network block by block, and print the result's path."""
    device = prepare_torch(args.device, args.threads)
    from siftfunnel.lab.attacks.registry import ATTACKS
    from siftfunnel.lab.study.figure2 import DEFAULT_ATTACKS, run_figure2

    attacks = _chosen(args.attacks, tuple(ATTACKS), "attack") or DEFAULT_ATTACKS
    size = _profile(args)
    print(run_figure2(args.family, size, _places(args), device, say, seed=args.seed, attacks=attacks))
    return 0

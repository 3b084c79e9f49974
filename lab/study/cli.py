"""``siftfunnel lab run``: train, attack and measure rows of the study."""

import argparse
import sys
import traceback
from pathlib import Path
from typing import Any

from lab.arguments import add_common, prepare_torch

RESULTS = Path(__file__).resolve().parents[1] / "results"
STEP_NAMES = ("train", "measure", "attack")


def add_run_parser(commands: Any) -> None:
    """Add ``lab run``."""
    parser = commands.add_parser(
        "run",
        help="train, attack and measure rows of the study",
        description="Train, attack and measure rows of the paper's study, and write each as JSON with its "
        "provenance. Everything is resumable: stop with Ctrl-C, the same command continues. "
        "`siftfunnel lab recipes` lists the rows; ROW-equal@0.50 is a row stopped at a validation accuracy.",
    )
    parser.add_argument("rows", nargs="+", metavar="ROW", help="rows; `table2` stands for all of that table")
    parser.add_argument("--profile", default="cpu", help="cpu or full (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of training (default: 1)")
    parser.add_argument(
        "--steps",
        default=",".join(STEP_NAMES),
        metavar="NAMES",
        help="which of train, measure and attack, separated by commas (default: all)",
    )
    parser.add_argument(
        "--attacks", default="", metavar="NAMES", help="only these attacks, separated by commas"
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
    parser.set_defaults(run=run_rows)


def _chosen(text: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown {what} {', '.join(unknown)}; known: {', '.join(known)}")
    return names


def run_rows(args: argparse.Namespace) -> int:
    """Run rows one after the other; one that fails is named and does not stop the others."""
    device = prepare_torch(args.device, args.threads)
    from lab.attacks.registry import ATTACKS
    from lab.study.profiles import profile
    from lab.study.rows import expand, row
    from lab.study.run import Places, run_row

    steps = _chosen(args.steps, STEP_NAMES, "step")
    attacks = _chosen(args.attacks, tuple(ATTACKS), "attack")
    rows = [row(name) for name in expand(args.rows)]
    size = profile(args.profile)
    places = Places(args.data, args.cache, args.runs, args.results)
    failed = []
    for wanted in rows:
        try:
            path = run_row(
                wanted,
                size,
                places,
                device,
                lambda text: print(text, file=sys.stderr, flush=True),
                seed=args.seed,
                steps=steps,  # type: ignore[arg-type]  # checked against the same names
                attacks=attacks,
            )
        except KeyboardInterrupt:
            print(f"\nstopped; what is finished is kept in {args.runs}", file=sys.stderr)
            raise
        except (RuntimeError, ValueError, MemoryError) as error:
            if len(rows) == 1:
                raise
            traceback.print_exc()
            failed.append(f"{wanted.name}: {error}")
            continue
        print(path)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0

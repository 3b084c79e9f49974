"""The console's ``lab`` and ``data`` commands. PyTorch is imported only when a command runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.lab.arguments import add_common, prepare_torch, require_lab_extra, say
from siftfunnel.lab.audit.cli import add_audit_parser
from siftfunnel.lab.board.cli import add_board_parser
from siftfunnel.lab.certify.cli import add_certify_parser
from siftfunnel.lab.front.cli import add_front_parser
from siftfunnel.lab.reports.study.cli import add_tables_parser
from siftfunnel.lab.study.cli import add_agreement_parser, add_figure2_parser, add_run_parser

if TYPE_CHECKING:
    from siftfunnel.shared.bundle import Inverter


def add_lab_parser(subparsers: Any) -> None:
    """Add ``lab`` with its commands; each sets ``run``, which takes arguments and returns an exit code."""
    parser = subparsers.add_parser(
        "lab",
        help="train, export, attack and audit models; the paper's study",
        description="Train a recipe, export the run as a bundle, train the attacker's decoder for a bundle; "
        "run the paper's study row by row and print its tables; audit a bundle or a run.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_recipes(commands)
    _add_train(commands)
    _add_export(commands)
    _add_inverter(commands)
    add_run_parser(commands)
    add_figure2_parser(commands)
    add_agreement_parser(commands)
    add_tables_parser(commands)
    add_audit_parser(commands)
    add_certify_parser(commands)
    add_front_parser(commands)
    add_board_parser(commands)


def add_data_parser(subparsers: Any) -> None:
    """Add ``data``; it needs no PyTorch."""
    parser = subparsers.add_parser(
        "data",
        help="unpack CIFAR-10 as folders of pictures",
        description="Unpack CIFAR-10 into class folders of PNG files: train/<class>/ and test/<class>/ "
        "from the official binary archive, <class>/ from a tar of class folders.",
    )
    parser.add_argument("dataset", choices=["cifar10"], help="the data set")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the folders go")
    parser.add_argument(
        "--archive",
        type=Path,
        metavar="FILE",
        help="cifar-10-binary.tar.gz, or a tar of class folders; left out, the official archive is "
        "downloaded (170 MB) and its checksum verified",
    )
    parser.set_defaults(run=run_data)


def _add_recipes(commands: Any) -> None:
    parser = commands.add_parser("recipes", help="list the recipes", description="List the recipes.")
    parser.set_defaults(run=run_recipes)


def _add_train(commands: Any) -> None:
    parser = commands.add_parser(
        "train",
        help="train a recipe, or continue a run",
        description="Train a recipe into a run folder. Stop it with Ctrl-C; the same command continues.",
    )
    parser.add_argument("recipe", help="name of a recipe; `siftfunnel lab recipes` lists them")
    parser.add_argument(
        "--run", dest="folder", type=Path, metavar="DIR", help="run folder (default: runs/RECIPE)"
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="RUN",
        help="for a warm start: a run of the unprotected recipe (default: train it first); "
        "for a recipe that goes on from a bundle: the bundle's directory",
    )
    parser.add_argument(
        "--teacher",
        dest="teachers",
        type=Path,
        action="append",
        default=[],
        metavar="BUNDLE",
        help="for a recipe with teachers: a teacher's bundle; once for each",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="another number of epochs than the recipe's")
    add_common(parser)
    parser.set_defaults(run=run_train)


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="export a run as a bundle",
        description="Export a run's best weights as a bundle, verified against PyTorch on real pictures, "
        "with accuracy and payload size per codec in its report.json.",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's directory")
    parser.add_argument("--name", metavar="NAME", help="the bundle's name (default: that of its directory)")
    parser.add_argument(
        "--evaluate-on",
        choices=["test", "validation"],
        default="test",
        help="pictures the figures are measured on; validation leaves the test set untouched (default: test)",
    )
    add_common(parser)
    parser.set_defaults(run=run_export)


def _add_inverter(commands: Any) -> None:
    parser = commands.add_parser(
        "inverter",
        help="train the attacker's decoder for a bundle",
        description="Train the decoder that turns a bundle's features back into pictures, on auxiliary "
        "pictures that the bundle's network never saw, and export it. "
        "Ctrl-C stops; the same command continues.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle's directory or name")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the inverter's directory")
    parser.add_argument(
        "--run", dest="folder", type=Path, metavar="DIR", help="run folder (default: runs/inverter-BUNDLE)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="another number of epochs than the recipe's")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="a folder or tar of pictures like those the bundle is for, instead of its data set; labels are "
        "not needed, a part is kept to measure on",
    )
    parser.add_argument(
        "--measure-only", action="store_true", help="measure the inverter in --out anew; nothing is trained"
    )
    add_common(parser)
    parser.set_defaults(run=run_inverter)


def run_data(args: argparse.Namespace) -> int:
    """Unpack a data set."""
    from siftfunnel.lab.data.unpack import unpack_cifar10

    count = unpack_cifar10(args.archive, args.out, say)
    print(f"{args.out}: {count} pictures")
    return 0


def run_recipes(args: argparse.Namespace) -> int:
    """List the recipes with their first line."""
    require_lab_extra()
    from siftfunnel.lab.study.rows import ROWS
    from siftfunnel.lab.training.recipes import RECIPES, SAYS

    for name, recipe in RECIPES.items():
        print(f"{name:31} {recipe.epochs:3d} epochs  {SAYS[name].splitlines()[0]}")
    print("\nRows of the study (siftfunnel lab run ROW... --profile brief|cpu|full):")
    for name, row in ROWS.items():
        print(f"  {name:44} {row.defence.label}")
    return 0


def run_train(args: argparse.Namespace) -> int:
    """Train a recipe."""
    device = prepare_torch(args.device, args.threads)
    from dataclasses import replace

    from siftfunnel.lab.training.recipes import recipe
    from siftfunnel.lab.training.runs import train_recipe

    wanted = recipe(args.recipe)
    if args.epochs is not None:
        wanted = replace(wanted, epochs=args.epochs)
    folder = args.folder or Path("runs") / wanted.name
    try:
        progress = train_recipe(wanted, folder, args.data, args.cache, device, args.start_from, args.teachers)
    except KeyboardInterrupt:
        say(f"stopped; what is said above to be kept is in {folder}, and the same command continues")
        raise
    print(f"{folder}: best validation score {progress.best_score:.4f} in epoch {progress.best_epoch}")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Export a run."""
    prepare_torch("cpu", args.threads)
    from siftfunnel.lab.export.bundle import export_run

    bundle = export_run(
        args.folder, args.out, args.data, args.cache, name=args.name, evaluate_on=args.evaluate_on
    )
    print(f"{args.out}: {bundle.name} {bundle.digest[:12]}, accuracy {bundle.report()['accuracy']:.4f}")
    return 0


def run_inverter(args: argparse.Namespace) -> int:
    """Train and export a bundle's inverter, or measure one anew."""
    device = prepare_torch(args.device, args.threads)
    from siftfunnel.lab.inverter import measure_inverter, train_inverter
    from siftfunnel.shared.bundle_search import find_bundle

    bundle = find_bundle(args.bundle)
    if args.measure_only:
        _print_inverter(
            args.out, measure_inverter(bundle.directory, args.out, args.data, args.cache, args.images)
        )
        return 0
    folder = args.folder or Path("runs") / f"inverter-{bundle.name}"
    try:
        made = train_inverter(
            bundle.directory,
            args.out,
            folder,
            args.data,
            args.cache,
            device,
            images=args.images,
            epochs=args.epochs,
        )
    except KeyboardInterrupt:
        say(f"stopped; what is said above to be kept is in {folder}, and the same command continues")
        raise
    _print_inverter(args.out, made)
    return 0


def _print_inverter(place: Path, made: "Inverter") -> None:
    for codec, figures in made.report["codecs"].items():
        print(f"{place}: {codec} PSNR {figures['psnr_mean']:.2f} dB, SSIM {figures['ssim_mean']:.3f}")

"""``siftfunnel split fit | train | export``.

What says which network, which input and which pictures is shared with ``inspect`` and ``check``; it
comes from ``siftfunnel.lab.split.cli``.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.lab.arguments import prepare_torch, say

if TYPE_CHECKING:
    from siftfunnel.lab.split.choosing import Budget
    from siftfunnel.lab.split.cuts import Cut
    from siftfunnel.lab.split.network import Network
    from siftfunnel.shared.input_spec import InputSpec


@dataclass(frozen=True)
class Shared:
    """What all commands of the room share.

    Attributes:
        add_network: Adds what says which network and which input.
        add_images: Adds ``--images``.
        network: Opens the network.
        input: The input that was asked for.
    """

    add_network: Callable[[argparse.ArgumentParser], None]
    add_images: Callable[[argparse.ArgumentParser], None]
    network: Callable[[argparse.Namespace], "Network"]
    input: Callable[[argparse.Namespace, "Network"], "InputSpec"]


def add_fit(commands: Any, shared: Shared) -> None:
    """Add ``fit``."""
    parser = commands.add_parser(
        "fit",
        help="cut a network and fit a funnel to pictures without labels",
        description="Cut a network and fit a funnel in closed form to some hundred pictures without labels; "
        "several byte targets become several codecs of one funnel. Writes a run folder.",
    )
    shared.add_network(parser)
    for half in ("edge", "cloud"):
        parser.add_argument(
            f"--{half}", type=Path, metavar="ONNX", help=f"instead of NET: the {half} half, cut already"
        )
    shared.add_images(parser)
    parser.add_argument("--cut", default="auto", metavar="NAME", help="where: a name of `inspect`, or auto")
    parser.add_argument("--max-macs", metavar="SHARE", help="on the device, funnel included, such as 30%%")
    parser.add_argument("--max-bytes", type=float, metavar="N", help="auto: bytes of a frame, as guessed")
    parser.add_argument("--link", metavar="MBIT/S:MS", help="auto: what answers soonest over such a link")
    parser.add_argument(
        "--funnel", choices=["linear", "none"], default="linear", help="none cuts only (default: linear)"
    )
    parser.add_argument(
        "--bytes", metavar="N,...", help="mean payloads of the rate points, the default first"
    )
    parser.add_argument(
        "--agreement",
        metavar="SHARE,...",
        help="or their agreement with the uncut network, such as 91%%",
    )
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="names of the classes, a line each: NAME, or ID,NAME"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")
    parser.set_defaults(run=lambda args: run_fit(args, shared))


def add_train(commands: Any) -> None:
    """Add ``train``."""
    parser = commands.add_parser(
        "train",
        help="go on from a fitted funnel by distillation",
        description="Train a fitted funnel by distillation, without labels; the network's weights stay "
        "what they are. Ctrl-C stops; the same command continues.",
    )
    parser.add_argument("source", type=Path, metavar="RUN", help="a run folder of `fit`")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the trained run's folder (default: RUN-trained)"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="other pictures than those of `fit`")
    parser.add_argument("--most-pictures", type=int, metavar="N", help="to train on (default: 600)")
    parser.add_argument("--steps", type=int, metavar="N", help="of the optimiser (default: 400)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="pictures of a step (default: 12)")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="at its peak (default: 3e-4)")
    for flag, what in (
        ("feature-weight", "the error of what is sent"),
        ("distance-correlation", "Eq. 12, between pictures and what is sent"),
        ("channel-correlation", "Eq. 13, between its channels"),
        ("adversary", "a linear attacker's picture getting worse"),
    ):
        parser.add_argument(f"--{flag}", type=float, metavar="WEIGHT", help=f"{what} (default: 0)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")
    parser.set_defaults(run=run_train)


def add_export(commands: Any) -> None:
    """Add ``export``."""
    parser = commands.add_parser(
        "export",
        help="write the bundle of a run",
        description="Write the bundle of a run, checked against the uncut network, with a report beside JPEG "
        "and WebP.",
    )
    parser.add_argument("source", type=Path, metavar="RUN", help="a run folder of `fit` or `train`")
    parser.add_argument("--images", type=Path, metavar="DIR", help="other pictures than those of `fit`")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the bundle's directory")
    parser.add_argument("--name", metavar="NAME", help="the bundle's name (default: that of its directory)")
    parser.add_argument("--identity", action="store_true", help="the answer says who somebody is")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: PyTorch's choice)")
    parser.set_defaults(run=run_export)


def run_fit(args: argparse.Namespace, shared: Shared) -> int:
    """Cut and fit."""
    prepare_torch("cpu", args.threads)
    from siftfunnel.lab.split.fit import FitSettings, fit_network
    from siftfunnel.lab.split.targets import DEFAULT_AGREEMENTS, agreement_targets, byte_targets, share

    targets = (byte_targets(args.bytes) if args.bytes else ()) + (
        agreement_targets(args.agreement) if args.agreement else ()
    )
    if args.funnel == "linear" and not targets:
        targets = agreement_targets(DEFAULT_AGREEMENTS)
    ids, classes = read_classes(args.classes) if args.classes else ((), ())
    network, cut = _cut_network(args, shared)
    limit = share(args.max_macs) if args.max_macs else None
    settings = FitSettings(args.funnel, targets, classes, ids, limit)
    fit_network(network, cut, shared.input(args, network), args.images, settings, args.out, say)
    print(f"{args.out}: cut at {cut.name}, {cut.mac_share:.1%} of the multiply-adds before it")
    return 0


def _cut_network(args: argparse.Namespace, shared: Shared) -> "tuple[Network, Cut]":
    if args.edge is None and args.cloud is None:
        network = shared.network(args)
        return network, _chosen(args, network)
    from siftfunnel.lab.split.brought import joined_network

    if args.edge is None or args.cloud is None or args.net or args.torch:
        raise ValueError("name a network, or both its halves with --edge and --cloud")
    network, cut = joined_network(args.edge, args.cloud)
    return network.with_kinds(dict(args.kind)) if args.kind else network, cut


def _chosen(args: argparse.Namespace, network: "Network") -> "Cut":
    from siftfunnel.lab.split.choosing import choose_cut
    from siftfunnel.lab.split.cuts import cut_named, find_cuts

    if args.cut != "auto":
        return cut_named(network, args.cut)
    cut = choose_cut(find_cuts(network), _budget(args), *_timer(network))
    say(f"cut at {cut.name}")
    return cut


def _budget(args: argparse.Namespace) -> "Budget":
    from siftfunnel.lab.split.choosing import Budget, read_link
    from siftfunnel.lab.split.targets import share

    return Budget(
        share(args.max_macs) if args.max_macs else None,
        args.max_bytes,
        read_link(args.link) if args.link else None,
    )


def _timer(network: "Network") -> tuple[Callable[["Cut"], float], float]:
    """Milliseconds of a cut's device half by its share of the multiply-adds, and of the whole network."""
    from siftfunnel.lab.split.exporting import milliseconds

    frames = network.random_frames(network.frames_per_run or 1)
    whole = milliseconds(network.model, network.frames_per_run, [frames])
    return (lambda cut: cut.mac_share * whole), whole


def run_train(args: argparse.Namespace) -> int:
    """Train on."""
    prepare_torch("cpu", args.threads)
    from siftfunnel.lab.split.fit import MOST_FITTED
    from siftfunnel.lab.split.train import train_run
    from siftfunnel.lab.split.training import TrainSettings

    given = {name: getattr(args, name, None) for name in TrainSettings.__dataclass_fields__}
    settings = TrainSettings(**{name: value for name, value in given.items() if value is not None})
    folder = args.out or args.source.with_name(f"{args.source.name}-trained")
    most = args.most_pictures or MOST_FITTED
    run = train_run(args.source, folder, settings, say, images=args.images, most_pictures=most)
    told = run.about["train"]
    print(
        f"{folder}: divergence of held-out pictures at equal bytes {told['divergence_linear']:.4f} linear, "
        f"{told['divergence_trained']:.4f} trained"
    )
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Export."""
    prepare_torch("cpu", args.threads)
    from siftfunnel.lab.split.exporting import export_run

    kind = "identity" if args.identity else "category"
    bundle = export_run(args.source, args.out, say, images=args.images, name=args.name, label_kind=kind)
    report = bundle.report()
    print(
        f"{args.out}: {bundle.name} {bundle.digest[:12]}, {report['agreement_is']} as the uncut network "
        f"{report['agreement']:.3f}"
    )
    return 0


def read_classes(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids (none where the file has none) and names of classes, in the order of the scores.

    Raises:
        ValueError: an empty file, or lines of differing kinds.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(map(str.strip, row))]
    if not rows or len({len(row) for row in rows}) != 1 or len(rows[0]) > 2:
        raise ValueError(f"{path}: a line for each class is wanted, NAME or ID,NAME")
    names = tuple(row[-1] for row in rows)
    return (tuple(row[0] for row in rows), names) if len(rows[0]) == 2 else ((), names)

"""``siftfunnel split fit | train | export``."""

import argparse
from pathlib import Path
from typing import Any

from siftfunnel.lab.arguments import prepare_torch, say
from siftfunnel.lab.split.network_flags import (
    LABELS_HELP,
    add_classes,
    add_images,
    add_network_and_input,
    add_threads,
    asked_classes,
    asked_input,
    open_network,
)
from siftfunnel.lab.split.settings import (
    DEFAULT_AGREEMENTS,
    Budget,
    FitSettings,
    TrainSettings,
    agreement_targets,
    byte_targets,
    read_link,
    share,
)
from siftfunnel.shared.settings import add_flags, from_flags


def add_fit(commands: Any) -> None:
    """Add ``fit``."""
    parser = commands.add_parser(
        "fit",
        help="cut a network and fit a funnel to pictures without labels",
        description="Cut a network and fit a funnel in closed form to some hundred pictures without labels; "
        "several byte targets become several codecs of one funnel. Writes a run folder. "
        "Ctrl-C stops; the same command continues.",
    )
    add_network_and_input(parser)
    add_images(parser)
    parser.add_argument("--cut", default="auto", metavar="NAME", help="where: a name of `inspect`, or auto")
    parser.add_argument("--max-macs", metavar="SHARE", help="on the device, funnel included, such as 30%%")
    parser.add_argument("--max-bytes", type=float, metavar="N", help="auto: bytes of a frame, as guessed")
    parser.add_argument(
        "--link",
        metavar="MBIT/S:MS",
        help="auto: what answers soonest over such a link, by this machine's ms",
    )
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
    add_classes(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder")
    add_threads(parser)
    parser.set_defaults(run=run_fit)


def add_train(commands: Any) -> None:
    """Add ``train``."""
    parser = commands.add_parser(
        "train",
        help="go on from a fitted funnel by distillation",
        description="Train a fitted funnel by distillation, without labels; the network's weights stay "
        "what they are, unless --finetune and labels are given. Ctrl-C stops; the same command continues.",
    )
    parser.add_argument("source", type=Path, metavar="RUN", help="a run folder of `fit`")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="the trained run's folder (default: RUN-trained)"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="other pictures than those of `fit`")
    parser.add_argument("--most-pictures", type=int, metavar="N", help="to train on (default: 600)")
    parser.add_argument("--labels", type=Path, metavar="CSV", help=LABELS_HELP)
    add_flags(parser, TrainSettings)
    add_threads(parser)
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
    parser.add_argument("--labels", type=Path, metavar="CSV", help=LABELS_HELP)
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="the bundle's directory")
    parser.add_argument("--name", metavar="NAME", help="the bundle's name (default: that of its directory)")
    parser.add_argument("--identity", action="store_true", help="the answer says who somebody is")
    add_threads(parser)
    parser.set_defaults(run=run_export)


def run_fit(args: argparse.Namespace) -> int:
    """Cut and fit."""
    prepare_torch("cpu", args.threads)
    from siftfunnel.lab.split.choosing import chosen_cut
    from siftfunnel.lab.split.cuts import cut_named
    from siftfunnel.lab.split.fit import fit_network

    targets = (byte_targets(args.bytes) if args.bytes else ()) + (
        agreement_targets(args.agreement) if args.agreement else ()
    )
    if args.funnel == "linear" and not targets:
        targets = agreement_targets(DEFAULT_AGREEMENTS)
    limit = share(args.max_macs) if args.max_macs else None
    budget = Budget(limit, args.max_bytes, read_link(args.link) if args.link else None)
    ids, classes = asked_classes(args)
    settings = FitSettings(args.funnel, targets, classes, ids, limit)
    network, cut = open_network(args)
    if cut is not None and args.cut not in ("auto", cut.name):
        raise ValueError(f"the halves are cut at {cut.name}: leave out --cut, or bring the whole network")
    spec = asked_input(args, network)
    if cut is None and args.cut != "auto":
        cut = cut_named(network, args.cut)
    cut = cut or chosen_cut(network, spec, args.images, settings, budget, say)
    fit_network(network, cut, spec, args.images, settings, args.out, say)
    print(f"{args.out}: cut at {cut.name}, {cut.mac_share:.1%} of the multiply-adds before it")
    return 0


def run_train(args: argparse.Namespace) -> int:
    """Train on."""
    prepare_torch("cpu", args.threads)
    from siftfunnel.lab.split.pictures import MOST_FITTED
    from siftfunnel.lab.split.train import train_run

    settings = from_flags(TrainSettings, args)
    folder = args.out or args.source.with_name(f"{args.source.name}-trained")
    most = args.most_pictures or MOST_FITTED
    run = train_run(
        args.source, folder, settings, say, images=args.images, labels=args.labels, most_pictures=most
    )
    told = run.about["train"]
    accuracy = (
        f"; accuracy {told['accuracy_frozen']:.1%} before, {told['accuracy_finetuned']:.1%} fine-tuned"
        if settings.finetune
        else ""
    )
    print(
        f"{folder}: divergence of held-out pictures at equal bytes {told['divergence_linear']:.4f} before, "
        f"{told['divergence_trained']:.4f} trained{accuracy}"
    )
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Export."""
    prepare_torch("cpu", args.threads)
    from siftfunnel.lab.split.exporting import export_run

    kind = "identity" if args.identity else "category"
    bundle = export_run(
        args.source, args.out, say, images=args.images, labels=args.labels, name=args.name, label_kind=kind
    )
    report = bundle.report()
    print(
        f"{args.out}: {bundle.name} {bundle.digest[:12]}, {report['agreement_is']} as the uncut network "
        f"{report['agreement']:.3f}"
    )
    return 0

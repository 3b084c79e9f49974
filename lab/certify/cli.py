"""``siftfunnel lab certify``: what no attacker can beat. PyTorch is imported when it runs."""

import argparse
from pathlib import Path
from typing import Any

from siftfunnel.lab.arguments import add_common, prepare_torch, say
from siftfunnel.lab.certify.request import Request, Sources
from siftfunnel.shared.settings import add_flags, from_flags

EPILOG = """\
What each line says, of which pictures, and what it does not say: docs/certify.md."""


def add_certify_parser(commands: Any) -> None:
    """Add ``certify`` to the lab's commands."""
    parser = commands.add_parser(
        "certify",
        help="prove what no attacker can beat, beside an attack on the same pictures",
        description="What no attacker can beat on a bundle's frames: by pictures that send equal bytes, "
        "by how many bits are sent, by the noise. Written to OUT/certificate.json and into the bundle's "
        "report. Ctrl-C stops; the same command continues.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder or name")
    parser.add_argument("--codec", metavar="NAME", help="another codec than the recommended one")
    parser.add_argument("--dataset", metavar="NAME", help="data set (default: the one it was trained for)")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="a folder or tar of your own pictures instead"
    )
    parser.add_argument(
        "--inverter",
        type=Path,
        metavar="DIR",
        help="the bundle's inverter, to attack with (default: the one in `inverters` beside the bundles or "
        "shipped; where there is none, one is trained)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="run folder (default: runs/certify-NAME-DIGEST-CODEC)"
    )
    parser.add_argument(
        "--allow-tracked-folder", action="store_true", help="write pictures where git would track them"
    )
    parser.add_argument(
        "--leave-report", action="store_true", help="write nothing into the bundle's own report.json"
    )
    add_flags(parser, Request)
    add_common(parser)
    parser.set_defaults(run=run_certify)


def run_certify(args: argparse.Namespace) -> int:
    """Certify, print the table and write the bundle's report."""
    wanted = from_flags(Request, args)
    device = prepare_torch(args.device, args.threads)
    from siftfunnel.lab.certify.certify import RESULT, certify, report_to_bundle
    from siftfunnel.lab.reports.certificates import certificate_page
    from siftfunnel.lab.reports.pages import to_text
    from siftfunnel.shared.bundle_search import find_bundle

    bundle = find_bundle(args.bundle)
    named = f"certify-{bundle.name}-{bundle.digest[:8]}-{args.codec or bundle.manifest.default_codec}"
    sources = Sources(
        out=args.out or Path("runs") / named,
        data=args.data,
        cache=args.cache,
        dataset=args.dataset,
        images=args.images,
        inverter=args.inverter,
        allow_tracked_folder=args.allow_tracked_folder,
    )
    try:
        result = certify(bundle.directory, args.codec, wanted, sources, device, say)
    except KeyboardInterrupt:
        say(f"\nstopped; what is finished is kept in {sources.out}, the same command continues")
        raise
    print(to_text(certificate_page(result)), end="")
    if not args.leave_report:
        report_to_bundle(bundle.directory, result)
    print(f"{sources.out / RESULT}")
    return 0

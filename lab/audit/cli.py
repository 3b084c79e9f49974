"""``siftfunnel lab audit``: attack a network and report what leaked. PyTorch is imported when it runs."""

import argparse
from pathlib import Path
from typing import Any

from siftfunnel.lab.arguments import add_common, names, prepare_torch, say
from siftfunnel.lab.evaluation.places import default_out

BUDGET_NAMES = ("quick", "cpu", "full")

EPILOG = """\
A foreign edge half is audited black-box: --edge edge.onnx --spec spec.json, where the spec says at least
  {"input": {"height": 64, "width": 64, "mean": [0, 0, 0], "std": [1, 1, 1]}, "feature": [12, 16, 16]}
and may add "name", "classes", "label_kind" and "cloud" (the other half, for the accuracy). Several outputs
are told as "tensors": [{"name": "p3", "shape": [64, 28, 28]}, ...] in place of "feature"."""


def add_audit_parser(commands: Any) -> None:
    """Add ``audit`` to the lab's commands."""
    parser = commands.add_parser(
        "audit",
        help="attack a bundle, a run or a foreign edge half, and report what leaks",
        description="Attack a network with everything that it gives access to and write one report: "
        "report.html for people, report.json for programs. Ctrl-C stops; the same command continues.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target", nargs="?", metavar="BUNDLE_OR_RUN", help="a bundle's folder or name, or a run folder"
    )
    parser.add_argument("--edge", type=Path, metavar="FILE", help="a foreign ONNX edge half instead")
    parser.add_argument("--spec", type=Path, metavar="FILE", help="its feature spec, JSON")
    parser.add_argument("--dataset", metavar="NAME", help="data set (default: the one it was trained for)")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="a folder or tar of your own pictures, labelled or not: a part is attacked, the rest is "
        "the attacker's",
    )
    parser.add_argument("--codec", metavar="NAME", help="overhear features after this codec of the bundle")
    parser.add_argument(
        "--budget", choices=BUDGET_NAMES, default="cpu", help="how much to attack (default: %(default)s)"
    )
    parser.add_argument(
        "--attacks", type=names, default=(), metavar="NAME,...", help="other attacks than the budget's"
    )
    parser.add_argument(
        "--pictures", type=int, metavar="N", help="attacked (default: 256, fewer where they are large)"
    )
    parser.add_argument(
        "--auxiliary", type=int, metavar="N", help="the attacker's pictures (default: budget's)"
    )
    parser.add_argument(
        "--evaluate-on",
        choices=["test", "validation"],
        default="test",
        help="pictures that are attacked; validation leaves the test set untouched (default: test)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="report's folder (default: runs/audit-NAME-DIGEST)"
    )
    parser.add_argument(
        "--allow-tracked-folder", action="store_true", help="write pictures where git would track them"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="TEXT",
        help='try to falsify a stated number, such as "mean PSNR at most 18 dB"; exit 1 when an attack does',
    )
    add_common(parser)
    parser.set_defaults(run=run_audit)


def run_audit(args: argparse.Namespace) -> int:
    """Audit and say where the report lies; 1 when a claim was falsified.

    Raises:
        ClaimError: a claim that no audit can test.
        ValueError: neither a target nor an edge half and spec, or both; see ``siftfunnel.lab.audit.audit``.
    """
    is_foreign = args.edge is not None or args.spec is not None
    if is_foreign == (args.target is not None) or (is_foreign and None in (args.edge, args.spec)):
        raise ValueError("give either a bundle or run folder, or both --edge FILE and --spec FILE")
    from siftfunnel.lab.certify.claims import Claim, try_claims

    claims = [Claim.parse(text) for text in args.claim]
    device = prepare_torch(args.device, args.threads)
    from siftfunnel.lab.audit.audit import audit
    from siftfunnel.lab.audit.budgets import budget
    from siftfunnel.lab.audit.subject import Request
    from siftfunnel.lab.targets.target import target_at, target_of_foreign

    target = target_of_foreign(args.edge, args.spec, device) if is_foreign else target_at(args.target, device)
    wanted = Request(
        out=args.out or default_out(target.name, target.digest),
        budget=budget(args.budget),
        data=args.data,
        cache=args.cache,
        dataset=args.dataset,
        auxiliary=args.auxiliary,
        pictures=args.pictures,
        attacks=args.attacks,
        evaluate_on=args.evaluate_on,
        seed=args.seed,
        images=args.images,
        codec=args.codec,
        allow_tracked_folder=args.allow_tracked_folder,
    )
    try:
        report = audit(target, wanted, say)
    except KeyboardInterrupt:
        say(f"\nstopped; what is finished is kept in {wanted.out}, the same command continues")
        raise
    print(f"{wanted.out / 'report.html'}: {report['verdict']['headline']}")
    tried = try_claims(claims, report["attacks"])
    for each in tried:
        print(each.says())
    return 1 if any(each.falsified for each in tried) else 0

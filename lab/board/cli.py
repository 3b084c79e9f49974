"""``siftfunnel lab board``: put a network on the board, check entries, make the page."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.lab.arguments import add_common, names, prepare_torch, say
from siftfunnel.lab.audit.cli import BUDGET_NAMES

if TYPE_CHECKING:
    from siftfunnel.lab.board.entry import Entry
    from siftfunnel.lab.board.sources import Bundles

EPILOG = """\
SOURCE is a bundle (its folder or name), which is attacked by the suite as far as that is not done yet; or a
result: a row of `siftfunnel lab run`, a front, a table of own networks, an audit's report.json. Without one,
every result that the repository keeps is read, and entries that none gives any more are taken off."""
ACTIONS = {
    "add": "make entries of a bundle, measuring what is missing, or of results",
    "add-attack": "score an attack from outside, and put it on the board where it beats ours",
    "check": "hold entries against the results and bundles that they name; exit 1 where one differs",
    "page": "make one page of all entries, which needs nothing but itself",
}


def add_board_parser(commands: Any) -> None:
    """Add ``board`` to the lab's commands."""
    parser = commands.add_parser(
        "board",
        help="put a defence on the board, check its entries, make its page",
        description="A board of defences under one suite of attacks: one small file an entry, rules for "
        "entries and attacks from outside in board/README.md, and a page made of them.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    made = {name: actions.add_parser(name, help=told, description=told) for name, told in ACTIONS.items()}
    for name, action in made.items():
        action.add_argument("--board", type=Path, metavar="DIR", help="the board (default: the repository's)")
        action.set_defaults(run=RUNS[name])
        if name != "page":
            action.add_argument(
                "--bundles", type=Path, nargs="+", default=[], metavar="DIR", help="besides the shipped ones"
            )
            add_common(action)
    _add_add(made["add"])
    made["add-attack"].add_argument("claim", type=Path, metavar="CLAIM", help="the form; see board/README.md")
    made["add-attack"].add_argument(
        "restored", type=Path, metavar="RESTORED", help="restored pictures, safetensors with uint8 x_NCHW"
    )
    made["add-attack"].add_argument("--reproduced-by", metavar="NAME", help="who ran the attack's code")
    made["check"].add_argument("entries", nargs="*", metavar="ENTRY", help="names of entries (default: all)")
    made["check"].add_argument(
        "--measure", action="store_true", help="measure bytes and accuracy of bundles anew"
    )
    made["page"].add_argument(
        "--out", type=Path, default=Path("runs") / "board.html", metavar="FILE", help="(default: %(default)s)"
    )


def _add_add(add: argparse.ArgumentParser) -> None:
    add.epilog = EPILOG
    add.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="a bundle or a result (default: all results)"
    )
    add.add_argument("--only", type=names, default=(), metavar="ENTRY,...", help="of several, these alone")
    add.add_argument("--images", type=Path, metavar="DIR", help="your own pictures, for a bundle")
    add.add_argument("--dataset", metavar="NAME", help="data set for a bundle (default: its own)")
    add.add_argument("--codec", metavar="NAME", help="the codec that is overheard (default: recommended)")
    add.add_argument(
        "--budget", choices=BUDGET_NAMES, default="standard", help="the suite's (default: %(default)s)"
    )
    add.add_argument("--by", metavar="NAME", help="who makes the entry")
    add.add_argument("--licence", metavar="TEXT", help="of the bundle")
    add.add_argument(
        "--link", dest="links", action="append", metavar="URL", help="where the bundle can be had"
    )


def _board(args: argparse.Namespace) -> Path:
    from siftfunnel.lab.board.entry import BOARD

    return Path(args.board or BOARD)


def _bundles(args: argparse.Namespace) -> "Bundles":
    """Every bundle at hand by digest: the shipped ones, and those of ``--bundles``."""
    from siftfunnel.shared.bundle import EDGE, Bundle, find_bundles
    from siftfunnel.shared.bundle_search import shipped_folder

    found = find_bundles(*shipped_folder("bundles"), *args.bundles, need=(EDGE,))
    return {each.digest: each for each in found if isinstance(each, Bundle)}


def _audited(named: str, args: argparse.Namespace, bundles: "Bundles") -> "tuple[Path, Bundles]":
    """The report of a bundle, attacked as far as its run folder does not say so, and it among the bundles.

    Raises:
        BoardError: it is none of the shipped ones, and nobody is named who makes the entry.
    """
    device = prepare_torch(args.device, args.threads)
    from siftfunnel.lab.audit.audit import REPORT, audit
    from siftfunnel.lab.audit.budgets import budget
    from siftfunnel.lab.audit.subject import Request
    from siftfunnel.lab.board.entry import BoardError
    from siftfunnel.lab.evaluation.places import default_out
    from siftfunnel.lab.targets.target import target_at
    from siftfunnel.shared.bundle_search import find_bundle

    bundle, target = find_bundle(named), target_at(named, device)
    if args.by is None and bundle.digest not in bundles:
        raise BoardError(f"{named} is no bundle of ours: say who makes the entry, --by NAME --licence TEXT")
    heard = args.codec or target.heard or "features"
    out = default_out(f"{target.name}-{heard}-{args.budget}", target.digest)
    told = {key: getattr(args, key) for key in ("data", "cache", "dataset", "images", "codec")}
    audit(target, Request(out=out, budget=budget(args.budget), **told), say)
    return out / REPORT, {**bundles, bundle.digest: bundle}


def run_add(args: argparse.Namespace) -> int:
    """Make entries and say where they lie."""
    from siftfunnel.lab.board.entry import BoardError, put_file, said_by, take_off
    from siftfunnel.lab.board.sheets import write_sheet
    from siftfunnel.lab.board.sources import US, entries_of, repository_results

    bundles, written = _bundles(args), []
    for source in args.sources or repository_results():
        path = Path(source)
        if not path.is_file():
            path, bundles = _audited(str(source), args, bundles)
        for entry in entries_of(path, bundles):
            if not args.only or entry.id in args.only:
                told = said_by(entry, args.by, args.licence, args.links)
                print(put_file(_board(args) / "entries", told))
                write_sheet(_board(args), told, bundles)
                written.append(entry.id)
    if not written:
        raise BoardError("no entry was made: no source gives one, or none that --only names")
    for gone in () if args.sources or args.only else take_off(_board(args), US, written):
        print(f"{gone}: taken off, for no result gives it any more")
    return 0


def run_add_attack(args: argparse.Namespace) -> int:
    """Score a claim; exit 1 where it beats nothing."""
    from dataclasses import replace

    from siftfunnel.lab.board.claims import CLAIMS, attacked_pictures, read_form, score_claim
    from siftfunnel.lab.board.entry import Entry, put_file, read_file

    claim = read_form(args.claim)
    entry = read_file(Entry, _board(args) / "entries" / f"{claim.entry}.json")
    originals = attacked_pictures(entry, args.data, args.cache)
    scored = replace(score_claim(claim, entry, args.restored, originals), reproduced_by=args.reproduced_by)
    beaten, figures, ours = scored.beats(entry), scored.figures, entry.best_known
    assert figures is not None
    assert ours is not None
    print(
        f"{claim.attack}: {figures.psnr_db} dB {list(figures.psnr_ci95)}, {figures.retrieval} found again; "
        f"best known for {entry.id}: {ours.leak.psnr_db} dB ({ours.leak.attack})"
    )
    if not beaten:
        print("it beats neither beyond its 95 % interval, so nothing is put on the board")
        return 1
    print(f"{put_file(_board(args) / CLAIMS, scored)}: beats ours in {' and '.join(beaten)}")
    return 0


def _chosen(args: argparse.Namespace) -> "list[Entry]":
    from siftfunnel.lab.board.entry import BoardError, read_board

    entries = read_board(_board(args))
    if missing := set(args.entries) - {entry.id for entry in entries}:
        raise BoardError(f"no entry {min(missing)!r} is on the board in {_board(args)}")
    return [entry for entry in entries if not args.entries or entry.id in args.entries]


def run_check(args: argparse.Namespace) -> int:
    """Check entries; exit 1 where one does not follow from what it names."""
    from siftfunnel.lab.board.checking import Checker, measured_again
    from siftfunnel.lab.board.claims import check_claims

    bundles, refused = _bundles(args), 0
    checker = Checker(bundles)
    for entry in _chosen(args):
        says, differences = checker(entry)
        bundle = bundles.get(entry.origin.digest or "")
        if args.measure and bundle is not None:
            say(f"{entry.id}: measuring")
            differences += measured_again(entry, bundle, args.data, args.cache)
        refused += bool(differences)
        print("\n  ".join([f"{entry.id}: " + ("refused" if differences else says), *differences]))
    for problem in check_claims(_board(args)):
        refused += 1
        print(problem)
    return 1 if refused else 0


def run_page(args: argparse.Namespace) -> int:
    """Make the page and say where it lies."""
    from siftfunnel.lab.board.claims import read_claims, with_claims
    from siftfunnel.lab.board.entry import read_board
    from siftfunnel.lab.reports.board_page import write_page

    board, claims = _board(args), read_claims(_board(args))
    entries = [with_claims(entry, claims) for entry in read_board(board)]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_page(entries, board, args.out)
    print(f"{args.out}: {len(entries)} entries")
    return 0


RUNS = {"add": run_add, "add-attack": run_add_attack, "check": run_check, "page": run_page}

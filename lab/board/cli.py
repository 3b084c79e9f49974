"""``siftfunnel lab board``: put a network on the board, check entries, make the page."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.lab.arguments import add_common, names, prepare_torch, say
from siftfunnel.lab.audit.cli import BUDGET_NAMES

if TYPE_CHECKING:
    from siftfunnel.lab.board.entry import Entry
    from siftfunnel.lab.board.sources import Bundles

ADD_EPILOG = """\
SOURCE is a bundle (its folder or name), which is attacked by the suite as far as that is not done yet; or a
result: a row of `siftfunnel lab run`, a front, a table of own networks, an audit's report.json. Without one,
every result that the repository keeps is read. Examples:
  siftfunnel lab board add my-bundle --images PICTURES
  siftfunnel lab board add lab/results/cpu/cifar10-cnn-siftfunnel.json"""


def add_board_parser(commands: Any) -> None:
    """Add ``board`` to the lab's commands."""
    parser = commands.add_parser(
        "board",
        help="put a defence on the board, check its entries, make its page",
        description="A board of defences under one suite of attacks: one small file an entry, rules for "
        "entries and attacks from outside in board/README.md, and a page made of them.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_add(actions)
    _add_attack(actions)
    check = actions.add_parser(
        "check",
        help="hold entries against the results and bundles that they name",
        description="Hold entries against the results and bundles that they name; exit 1 where one differs.",
    )
    check.add_argument("entries", nargs="*", metavar="ENTRY", help="names of entries (default: all)")
    check.add_argument("--measure", action="store_true", help="measure bytes and accuracy of bundles anew")
    page = actions.add_parser(
        "page",
        help="make the page",
        description="Make one page of all entries, which needs nothing but itself.",
    )
    page.add_argument(
        "--out", type=Path, default=Path("runs") / "board.html", metavar="FILE", help="(default: %(default)s)"
    )
    for action, run in ((check, run_check), (page, run_page)):
        _add_places(action)
        action.set_defaults(run=run)
    add_common(check)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--board", type=Path, metavar="DIR", help="the board (default: the repository's)")
    parser.add_argument(
        "--bundles", type=Path, nargs="+", default=[], metavar="DIR", help="bundles, besides the shipped ones"
    )


def _add_add(actions: Any) -> None:
    add = actions.add_parser(
        "add",
        help="make entries of a bundle or of results",
        description="Make the entry of a bundle, measuring what is missing, or entries of results.",
        epilog=ADD_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="a bundle or a result (default: all results)"
    )
    add.add_argument("--only", type=names, default=(), metavar="ENTRY,...", help="of several, these alone")
    add.add_argument("--images", type=Path, metavar="DIR", help="your own pictures, for a bundle")
    add.add_argument("--dataset", metavar="NAME", help="data set for a bundle (default: its own)")
    add.add_argument(
        "--codec", metavar="NAME", help="the bundle's codec that is overheard (default: recommended)"
    )
    add.add_argument(
        "--budget", choices=BUDGET_NAMES, default="cpu", help="of the suite's (default: %(default)s)"
    )
    add.add_argument("--by", metavar="NAME", help="who makes the entry")
    add.add_argument("--licence", metavar="TEXT", help="of the bundle")
    add.add_argument(
        "--link", dest="links", action="append", metavar="URL", help="where the bundle can be had"
    )
    _add_places(add)
    add_common(add)
    add.set_defaults(run=run_add)


def _add_attack(actions: Any) -> None:
    attack = actions.add_parser(
        "add-attack",
        help="score an attack from outside, and put it on the board where it beats ours",
        description="Score what an attack restored, and put it on the board where it beats ours.",
    )
    attack.add_argument("claim", type=Path, metavar="CLAIM", help="the form, JSON; see board/README.md")
    attack.add_argument("restored", type=Path, metavar="RESTORED", help="safetensors with uint8 x_NCHW")
    attack.add_argument("--reproduced-by", metavar="NAME", help="who ran the attack's code to get these")
    _add_places(attack)
    add_common(attack)
    attack.set_defaults(run=run_add_attack)


def _board(args: argparse.Namespace) -> Path:
    from siftfunnel.lab.board.entry import BOARD

    return Path(args.board or BOARD)


def _bundles(places: Sequence[Path]) -> "Bundles":
    """Every bundle at hand by digest: the shipped ones, and those of these folders."""
    from siftfunnel.shared.bundle import EDGE, Bundle, find_bundles
    from siftfunnel.shared.bundle_search import shipped_folder

    found = find_bundles(*shipped_folder("bundles"), *places, need=(EDGE,))
    return {each.digest: each for each in found if isinstance(each, Bundle)}


def run_add(args: argparse.Namespace) -> int:
    """Make entries and say where they lie."""
    from siftfunnel.lab.board.adding import Maker, add_bundle, repository_results, told_by
    from siftfunnel.lab.board.entry import BoardError, write_entry
    from siftfunnel.lab.board.sheets import write_sheet
    from siftfunnel.lab.board.sources import entries_of

    bundles, maker = _bundles(args.bundles), Maker(args.by, args.licence, tuple(args.links or ()))
    written = 0
    for source in args.sources or [str(path) for path in repository_results()]:
        if Path(source).is_file():
            entries = entries_of(Path(source), bundles)
        else:
            device = prepare_torch(args.device, args.threads)
            entries, bundles = add_bundle(source, args, device, bundles)
        for entry in entries:
            if not args.only or entry.id in args.only:
                place = write_entry(_board(args), told_by(entry, maker))
                write_sheet(_board(args), entry, bundles)
                written += 1
                print(place)
    if not written:
        raise BoardError("no entry was made: no source gives one that --only names")
    return 0


def run_add_attack(args: argparse.Namespace) -> int:
    """Score a claim; exit 1 where it beats nothing."""
    from siftfunnel.lab.board.adding import attacked_pictures
    from siftfunnel.lab.board.claims import read_claim, score_claim, write_claim
    from siftfunnel.lab.board.entry import read_entry

    claim = read_claim(args.claim)
    entry = read_entry(_board(args) / "entries" / f"{claim.entry}.json")
    originals = attacked_pictures(entry, args.data, args.cache)
    scored = score_claim(claim, entry, args.restored, originals)
    scored = scored.model_copy(update={"reproduced_by": args.reproduced_by})
    beaten, figures, ours = scored.beats(entry), scored.figures, entry.best_known
    assert figures is not None
    assert ours is not None
    print(
        f"{claim.attack}: {figures.psnr_db} dB {list(figures.psnr_ci95)}, retrieval {figures.retrieval}; "
        f"best known for {entry.id}: {ours.psnr_db} dB ({ours.attack})"
    )
    if not beaten:
        print("it beats neither beyond its 95 % interval, so nothing is put on the board")
        return 1
    print(f"{write_claim(_board(args), scored)}: beats ours in {' and '.join(beaten)}")
    return 0


def _chosen(args: argparse.Namespace) -> "list[Entry]":
    from siftfunnel.lab.board.entry import BoardError, read_board

    entries = read_board(_board(args))
    missing = set(args.entries) - {entry.id for entry in entries}
    if missing:
        raise BoardError(f"no entry {sorted(missing)[0]!r} is on the board in {_board(args)}")
    return [entry for entry in entries if not args.entries or entry.id in args.entries]


def run_check(args: argparse.Namespace) -> int:
    """Check entries; exit 1 where one does not follow from what it names."""
    from siftfunnel.lab.board.checking import check_entry, measured_again
    from siftfunnel.lab.board.claims import check_claims

    bundles, refused = _bundles(args.bundles), 0
    for entry in _chosen(args):
        checked = check_entry(entry, bundles)
        differences = list(checked.differences)
        bundle = bundles.get(entry.origin.digest or "")
        if args.measure and bundle is not None:
            say(f"{entry.id}: measuring")
            differences += measured_again(entry, bundle, args.data, args.cache)
        refused += bool(differences)
        print(f"{entry.id}: " + ("refused" if differences else f"follows from {checked.says}"))
        for difference in differences:
            print(f"  {difference}")
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

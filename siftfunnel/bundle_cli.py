"""``siftfunnel bundle list | show | verify``: what there is, what is in it, whether it is whole and runs."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_bundle_parser(subparsers: Any) -> None:
    """Add ``bundle`` to the console."""
    parser: argparse.ArgumentParser = subparsers.add_parser("bundle", help="list, show and verify bundles")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="the bundles in a folder (default: the shipped ones)")
    listing.add_argument(
        "directory", nargs="*", type=Path, metavar="DIR", help="a bundle, or a folder of bundles"
    )
    form = listing.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--markdown", action="store_true", help="as a table in Markdown")
    listing.set_defaults(run=run_list)

    showing = actions.add_parser("show", help="all that a bundle says about itself")
    showing.add_argument("bundle", metavar="NAME|DIR", help="name of a shipped bundle, or a bundle's folder")
    showing.add_argument("--json", action="store_true", help="as JSON")
    showing.set_defaults(run=run_show)

    verifying = actions.add_parser("verify", help="compare every file with the manifest, and run the graphs")
    verifying.add_argument("bundle", nargs="*", metavar="NAME|DIR", help="default: all shipped bundles")
    verifying.add_argument("--json", action="store_true", help="as JSON")
    verifying.set_defaults(run=run_verify)


def run_list(args: argparse.Namespace) -> int:
    """Print one row per bundle; 1 if one of them cannot be used."""
    from siftfunnel import bundle_facts
    from siftfunnel.shared.bundle import Bundle, find_bundles
    from siftfunnel.shipped import Library

    library = Library.from_environment(os.environ)
    found = find_bundles(*args.directory) if args.directory else library.bundles()
    if not found:
        raise ValueError(
            f"no bundles in {', '.join(map(str, args.directory or library.models)) or 'this package'}"
        )
    facts = [bundle_facts.facts(item, library) for item in found if isinstance(item, Bundle)]
    problems = [item for item in found if not isinstance(item, Bundle)]
    if args.json:
        print(json.dumps({"bundles": facts, "problems": [problem.reason for problem in problems]}, indent=2))
    elif args.markdown:
        print(bundle_facts.markdown(facts))
    else:
        _print_table([bundle_facts.row(fact) for fact in facts])
    if not args.json:
        for problem in problems:
            print(f"unusable: {problem.reason}")
    return 1 if problems else 0


def run_show(args: argparse.Namespace) -> int:
    """Print everything about one bundle."""
    from siftfunnel import bundle_facts
    from siftfunnel.shipped import Library

    library = Library.from_environment(os.environ)
    bundle = library.find_bundle(args.bundle)
    fact = bundle_facts.facts(bundle, library)
    if args.json:
        print(json.dumps({**fact, "report": bundle.report()}, indent=2))
        return 0
    told = list(bundle_facts.lines(fact))
    width = max(14, *(len(key) for key, _ in told))
    for key, value in told:
        print(f"{key:{width}} {value}")
    report = bundle.report()
    if report:
        print("\nreport.json")
        print(json.dumps(report, indent=2))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Check the files of some bundles and run their graphs; 1 if one is not as it should be."""
    from siftfunnel.bundle_verify import verify
    from siftfunnel.shipped import Library

    library = Library.from_environment(os.environ)
    wanted = args.bundle or [str(item.directory) for item in library.bundles()]
    if not wanted:
        raise ValueError("no bundles are shipped here; give a bundle's folder")
    verdicts = [verify(directory) for directory in [library.bundle_directory(name) for name in wanted]]
    if args.json:
        print(json.dumps([verdict.as_json() for verdict in verdicts], indent=2))
    else:
        print("\n".join(verdict.as_text() for verdict in verdicts))
    return 1 if any(verdict.trouble for verdict in verdicts) else 0


def _print_table(rows: Sequence[dict[str, str]]) -> None:
    if not rows:
        return
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    print("  ".join(key.ljust(width) for key, width in widths.items()).rstrip())
    for row in rows:
        print("  ".join(row[key].ljust(width) for key, width in widths.items()).rstrip())

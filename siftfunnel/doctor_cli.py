"""``siftfunnel doctor``: looks at this machine, its packages, bundles and settings, and says what to mend."""

import argparse
import json
import os
from typing import Any


def add_doctor_parser(subparsers: Any) -> None:
    """Add ``doctor`` to the console."""
    about = "look at this machine, its packages, bundles and settings, and say what to mend"
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "doctor",
        help=about,
        description=f"{about.capitalize()}. Exit code 1 if something is wrong; advice and what is not "
        "installed are no fault. A server is tried by `siftfunnel classify PICTURE --server HOST:PORT`.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print each finding as it comes; 1 if one of them is wrong."""
    # what ONNX Runtime and gRPC write on their own would stand between the findings
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from siftfunnel.doctor import examine

    wrong = False
    for finding in examine(os.environ):
        wrong |= finding.state == "wrong"
        print(json.dumps(finding.as_json()) if args.json else finding.as_text(), flush=True)
    return 1 if wrong else 0

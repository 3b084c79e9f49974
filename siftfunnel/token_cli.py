"""`siftfunnel token`: a token for a client, and the lines by which a server knows it."""

import argparse
from pathlib import Path
from typing import Any


def add_token_parser(subparsers: Any) -> None:
    """Add `token` to the console."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "token",
        help="make a token for a client of the server",
        description="Draw a token and write it to a file that its owner alone may read; print what a file of "
        "clients (`siftfunnel cloud --clients`) says of it. The server keeps the token's hash alone.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="new file for the token")
    parser.add_argument("--client", default="client", metavar="NAME", help="the client's name (%(default)s)")
    parser.add_argument(
        "--right",
        action="append",
        metavar="RIGHT",
        help="what it may do: describe, infer, administer or watch; may be repeated (describe and infer)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the token, print the lines.

    Raises:
        ValueError: no such right, or a name that is none.
        OSError: the file is there already, or cannot be written.
    """
    import os

    from siftfunnel.shared.access import Right, hash_of, new_token, parse_clients

    token = new_token()
    rights = args.right or [Right.DESCRIBE.value, Right.INFER.value]
    parse_clients({"clients": {args.client: {"token-sha256": hash_of(token), "rights": rights}}})
    with os.fdopen(os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    listed = ", ".join(f'"{right}"' for right in rights)
    print(f'[clients.{args.client}]\ntoken-sha256 = "{hash_of(token)}"\nrights = [{listed}]')
    return 0

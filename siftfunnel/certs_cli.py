"""``siftfunnel certs``: make local certificates and say how to use them."""

import argparse
from pathlib import Path
from typing import Any


def add_certs_parser(subparsers: Any) -> None:
    """Add ``certs`` to the console."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "certs",
        help="make local certificates for TLS and mutual TLS",
        description="Make a local certificate authority, a server certificate and a client certificate.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the six PEM files")
    parser.add_argument(
        "--name",
        action="append",
        metavar="NAME",
        help="DNS name or IP address clients use for the server; repeatable "
        "(default: localhost, 127.0.0.1 and ::1)",
    )
    parser.add_argument("--days", type=int, default=365, help="days until they expire (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace files that are already there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the files and print the flags that use them."""
    from siftfunnel.certs import DEFAULT_NAMES, make_certificates

    names = args.name or list(DEFAULT_NAMES)
    files = make_certificates(args.out, names=names, valid_days=args.days, force=args.force)
    print(f"wrote {len(files)} files to {args.out} (server: {', '.join(names)}; {args.days} days)")
    print("\nTLS, the server proves who it is:")
    print(f"  siftfunnel cloud --tls-cert {files.server} --tls-key {files.server_key} ...")
    print(f"  siftfunnel edge --tls-ca {files.ca} ...")
    own = f"--tls-cert {files.server} --tls-key {files.server_key}"
    print("\nMutual TLS, the device proves itself too:")
    print(f"  siftfunnel cloud {own} --tls-client-ca {files.ca} ...")
    print(f"  siftfunnel edge --tls-ca {files.ca} --tls-cert {files.client} --tls-key {files.client_key} ...")
    print(
        f"\nKeep {files.ca_key} and {files.server_key} off the device: it needs only ca.pem and its own pair."
    )
    return 0

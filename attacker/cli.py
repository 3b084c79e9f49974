"""`siftfunnel attacker`: flags to configuration, configuration to a process.

Flags and environment are read here and nowhere else; what runs is imported when it runs.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from siftfunnel.attacker.config import DEFAULT_HTTP, AttackerConfig
from siftfunnel.shared.hosts import TOKEN_VARIABLE
from siftfunnel.shared.settings import add_flags, from_flags

SUMMARY = "tap the channel and show what can be reconstructed"
MAX_TOKEN_BYTES = 4096

_DESCRIPTION = """\
Play the adversary of split inference: listen to the channel between edge and cloud, decode the features that
cross it, rebuild pictures from them with trained inverters, and show all of it on a live page."""
_EPILOG = f"""\
taps (--tap, repeatable):
  relay:LISTEN:TARGET   stand in the path; each is PORT or HOST:PORT. No privilege needed: the edge
                        connects to LISTEN
  sniff:IFACE:PORT      listen on a network interface (Linux; needs CAP_NET_RAW, for instance root)
  pcap:FILE[:PORT]      a recorded capture; PORT is the server's, in case the beginning was not captured
  cloud:FILE            what a curious cloud records (`siftfunnel cloud --record-flows FILE`); TLS does not
                        stop it

examples:
  siftfunnel attacker --tap relay:50052:127.0.0.1:50051
      in the path of a cloud on this machine; the page at http://{DEFAULT_HTTP}/
  siftfunnel attacker --tap relay:50052:127.0.0.1:50051 --preview http://127.0.0.1:8090
      with the originals beside the reconstructions, so that they are scored (the edge needs
      --preview 127.0.0.1:8090 too)
  siftfunnel attacker --tap sniff:eth0:50051 --tap cloud:flows.jsonl --record-flows overheard.jsonl

When it is ready it prints one JSON line on standard output:
  {{"ready": true, "http": "127.0.0.1:8080", "taps": [{{"tap", "kind", "address", "phase"}}],
   "bundles": {{NAME: DIGEST}}, "inverters": [NAME]}}
All else goes to standard error. GET /summary on the page's address has every figure as JSON.

exit codes: 0 ended as asked, 1 failed (a port in use, no permission to sniff), 2 wrong input
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


def add_attacker_parser(subparsers: Any) -> None:
    """Add `attacker` to the console."""
    parser = subparsers.add_parser(
        "attacker", help=SUMMARY, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_Formatter
    )
    add_arguments(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; `run` is set to what they start."""
    add_flags(parser.add_argument_group("listening"), AttackerConfig, "taps", "record", "retention_mb")
    knows = parser.add_argument_group("what it knows")
    for one, several, variable in (
        ("bundle", "bundles", "SIFTFUNNEL_MODELS"),
        ("inverter", "inverters", "SIFTFUNNEL_INVERTERS"),
    ):
        knows.add_argument(
            f"--{one}",
            f"--{several}",
            dest=several,
            type=Path,
            action="append",
            default=[],
            metavar="DIR",
            help=f"a folder of one {one}, or of several; may be repeated (default: {variable}, else the "
            "shipped ones)",
        )
    showing = parser.add_argument_group("showing")
    add_flags(showing, AttackerConfig, "http", "preview", "control", "page_names", "page_anyone")
    showing.add_argument(
        "--page-token-file",
        type=Path,
        metavar="FILE",
        help="show the page only to those who bring the token in this file, as http://HOST:PORT/?token=TOKEN "
        f"(default: the environment variable {TOKEN_VARIABLE}, else anyone on this machine; where other "
        "machines reach the page a token is drawn and told)",
    )
    parser.set_defaults(run=run)


def config_from(args: argparse.Namespace) -> AttackerConfig:
    """The configuration that the flags mean.

    Raises:
        ValueError: a flag is missing or out of range.
    """
    return from_flags(
        AttackerConfig,
        args,
        bundles=tuple(args.bundles or _places("SIFTFUNNEL_MODELS", "bundles")),
        inverters=tuple(args.inverters or _places("SIFTFUNNEL_INVERTERS", "inverters")),
        page_names=tuple(name.lower() for name in args.page_name),
        page_token=_token(args.page_token_file),
    )


def run(args: argparse.Namespace) -> int:
    """Listen and show until a signal; the exit code is the process's.

    Raises:
        ValueError: wrong input, which the console turns into one line and exit code 2.
        OSError: the page's address cannot be listened on (exit code 1).
        RuntimeError: a tap cannot start (exit code 1).
    """
    config = config_from(args)
    from siftfunnel.attacker.serving import serve

    given = _token(args.page_token_file)
    return serve(config, lambda line: announce(line, config.page_token if given is None else None))


def announce(line: Mapping[str, Any], drawn: str | None = None) -> None:
    """Print the line that tests and the demo's conductor wait for, and one for people, with a drawn token."""
    print(json.dumps(line), flush=True)
    query = "" if drawn is None else f"?token={drawn}"
    print(f"attacker: the page is at http://{line['http']}/{query}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m siftfunnel.attacker`: the same command where only this room is installed."""
    parser = argparse.ArgumentParser(
        prog="attacker", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_Formatter
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"attacker: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


def _token(path: Path | None) -> str | None:
    """The page's token, from a file or the environment: a command line can be read by everybody."""
    if path is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        with path.open("rb") as file:
            return file.read(MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise ValueError(f"cannot read the token (--page-token-file {path}): {error.strerror}") from None


def _places(variable: str, kind: str) -> tuple[Path, ...]:
    """Folders that a variable names, else the shipped ones."""
    from siftfunnel.shared.bundle_search import named_folders, shipped_folder

    return named_folders(variable) or shipped_folder(kind)

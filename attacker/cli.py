"""`siftfunnel attacker`: flags to configuration, configuration to a process.

Flags and environment are read here and nowhere else; what runs is imported when it runs.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.attacker.feeds.config import Endpoint, FeedConfig, parse_tap
from siftfunnel.shared.hosts import TOKEN_VARIABLE

if TYPE_CHECKING:
    from siftfunnel.attacker.config import AttackerConfig

SUMMARY = "tap the channel and show what can be reconstructed"
DEFAULT_HTTP = "127.0.0.1:8080"
DEFAULT_RETENTION_MB = 64.0
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


def add_attacker_parser(
    subparsers: Any, bundles_default: Sequence[Path] = (), inverters_default: Sequence[Path] = ()
) -> None:
    """Add `attacker` to the console.

    Args:
        subparsers: of the console's parser.
        bundles_default: where bundles are looked for when no flag says so.
        inverters_default: likewise for inverters.
    """
    parser = subparsers.add_parser(
        "attacker", help=SUMMARY, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_Formatter
    )
    add_arguments(parser)
    parser.set_defaults(bundles_default=tuple(bundles_default), inverters_default=tuple(inverters_default))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; `run` is set to what they start."""
    _add_listening_flags(parser.add_argument_group("listening"))
    _add_knowledge_flags(parser.add_argument_group("what it knows"))
    _add_showing_flags(parser.add_argument_group("showing"))
    parser.set_defaults(run=run, bundles_default=(), inverters_default=())


def _add_listening_flags(group: Any) -> None:
    group.add_argument(
        "--tap", type=_tap, action="append", default=[], metavar="TAP", help="where to listen; see below"
    )
    group.add_argument(
        "--record-flows",
        type=Path,
        metavar="FILE",
        help="keep what is overheard as JSON lines (replay it with cloud:FILE)",
    )
    group.add_argument(
        "--retention-mb",
        type=float,
        default=DEFAULT_RETENTION_MB,
        metavar="N",
        help="size that the record may reach; the oldest goes (%(default)s)",
    )


def _add_knowledge_flags(group: Any) -> None:
    group.add_argument(
        "--bundle",
        "--bundles",
        dest="bundles",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a bundle or a folder of bundles; may be repeated "
        "(default: SIFTFUNNEL_MODELS, else the shipped ones)",
    )
    group.add_argument(
        "--inverter",
        "--inverters",
        dest="inverters",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="an inverter or a folder of inverters; may be repeated "
        "(default: SIFTFUNNEL_INVERTERS, else the shipped ones)",
    )


def _add_showing_flags(group: Any) -> None:
    group.add_argument(
        "--http",
        type=_endpoint,
        default=DEFAULT_HTTP,
        metavar="HOST:PORT",
        help=f"where the page is served; port 0 takes a free one ({DEFAULT_HTTP})",
    )
    group.add_argument("--preview", metavar="URL", help="the edge's preview: originals, for scoring only")
    group.add_argument("--control", metavar="URL", help="the demo's conductor: switches appear on the page")
    group.add_argument(
        "--page-name",
        action="append",
        default=[],
        metavar="NAME",
        help="answer to this host name too, beside localhost and addresses; may be repeated",
    )
    group.add_argument(
        "--page-token-file",
        type=Path,
        metavar="FILE",
        help="show the page only to those who bring the token in this file, as http://HOST:PORT/?token=TOKEN "
        f"(default: the environment variable {TOKEN_VARIABLE}, else anyone who can reach it)",
    )


def config_from(args: argparse.Namespace) -> "AttackerConfig":
    """The configuration that the flags mean.

    Raises:
        ValueError: a flag is missing or out of range.
    """
    from siftfunnel.attacker.config import AttackerConfig

    return AttackerConfig(
        taps=tuple(args.tap),
        http=args.http,
        bundles=tuple(args.bundles or args.bundles_default or _places("SIFTFUNNEL_MODELS", "bundles")),
        inverters=tuple(
            args.inverters or args.inverters_default or _places("SIFTFUNNEL_INVERTERS", "inverters")
        ),
        preview=args.preview,
        control=args.control,
        page_names=tuple(name.lower() for name in args.page_name),
        page_token=_token(args.page_token_file),
        record=args.record_flows,
        retention_mb=args.retention_mb,
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

    return serve(config, announce)


def announce(line: Mapping[str, Any]) -> None:
    """Print the line that tests and the demo's conductor wait for, and one for people."""
    print(json.dumps(line), flush=True)
    print(f"attacker: the page is at http://{line['http']}/", file=sys.stderr, flush=True)


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


def _tap(text: str) -> FeedConfig:
    try:
        return parse_tap(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _endpoint(text: str) -> Endpoint:
    try:
        return parse_endpoint(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_endpoint(text: str) -> Endpoint:
    """HOST:PORT or PORT (then on 127.0.0.1); IPv6 addresses in brackets.

    Raises:
        ValueError: neither.

    >>> parse_endpoint("8080")
    Endpoint(host='127.0.0.1', port=8080)
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError(f"expected HOST:PORT or PORT, not {text!r} (IPv6 addresses in brackets)")
    return Endpoint(host.strip("[]") or "127.0.0.1", int(port))


def _token(path: Path | None) -> str | None:
    """The page's token, from a file or the environment: a command line can be read by everybody."""
    if path is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        with path.open("rb") as file:
            return file.read(MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise ValueError(f"cannot read the token (--page-token-file {path}): {error.strerror}") from None


def _places(variable: str, folder: str) -> Iterator[Path]:
    """Folders that a variable names, else the shipped ones, found without importing the distribution."""
    if named := os.environ.get(variable):
        yield from map(Path, filter(None, named.split(os.pathsep)))
        return
    product = find_spec("siftfunnel")
    for place in (product and product.submodule_search_locations) or ():
        shipped = Path(place) / "assets" / folder
        if shipped.is_dir():
            yield shipped

"""`siftfunnel edge` and `siftfunnel classify`: flags to configuration, configuration to a run.

Most flags are the fields of `settings.py`; what runs is imported when it runs.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.edge_client.settings import (
    ClientSettings,
    PreviewConfig,
    ReconnectPolicy,
    RunConfig,
    SourceChoice,
    WindowPolicy,
)
from siftfunnel.shared.access import TOKEN_VARIABLE, read_token
from siftfunnel.shared.hosts import PREVIEW_TOKEN_VARIABLE
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.settings import add_flags, from_flags
from siftfunnel.shared.showing import printable

if TYPE_CHECKING:
    from siftfunnel.edge_client.client import SplitClient
    from siftfunnel.edge_client.preview import PreviewServer
    from siftfunnel.shared.tls import TlsFiles

DEFAULT_SERVER = "127.0.0.1:50051"

_EDGE = (
    "Run the device: read pictures, run the edge half of a bundle, send compressed features to a "
    "`siftfunnel cloud`, and write the answers. Pictures never leave the device."
)
_EDGE_EPILOG = f"""\
examples:
  siftfunnel edge --bundle drawnfaces-siftfunnel --source demo
      the shipped pictures through a shipped bundle, to a server at {DEFAULT_SERVER}
  siftfunnel edge --bundle bundles/mine --source pictures/ --server cloud:50051 --output jsonl:answers.jsonl
      a directory (sub-folders are labels, a flat one has none), answers as JSON lines
  siftfunnel edge --bundle bundles/mine --source inbox/ --watch
      what lies in a directory, then every new file; half-written files are waited for
  siftfunnel edge --bundle bundles/mine --source camera:0 --rate 10 --frames 100
      a camera (with the extra `camera`); pictures that nobody had room for count as superseded
  find pictures -name '*.png' | siftfunnel edge --bundle bundles/mine --source - --output jsonl:-
      paths on standard input, JSON lines on standard output
  siftfunnel edge --bundle drawnfaces-unprotected --bundle drawnfaces-siftfunnel --source demo
      every picture through both, on a stream of its own each, under the same number
  siftfunnel edge --bundle bundles/mine --source jsonl:-
      lines of JSON: {{"path": "1.png", "label": "cat"}}, or {{"bytes": 5120, "name": "webcam"}} and the bytes

A server that goes away is dialled again and everything unanswered is sent again; every frame ends as
exactly one answer or one typed error. Pictures that do not decode are named on standard error and skipped;
outputs have a line for them too, with the outcome "skipped". Ctrl-C or SIGTERM stops reading, waits
--drain-seconds for answers under way and still writes the summary; a second one waits no more. A camera or
network stream that stops is opened again for a minute.

exit codes: 0 done, 1 the server could not be used or answered nothing, or a camera stayed away,
2 wrong input or nothing to send
"""

_CLASSIFY = "Send pictures once and print the answers."
_CLASSIFY_EPILOG = f"""\
examples:
  siftfunnel classify cat.jpg --bundle cifar10-siftfunnel
  siftfunnel classify *.png --bundle bundles/mine --server cloud:50051 --top-k 3 --output jsonl:-

The server is at {DEFAULT_SERVER} unless --server says otherwise.

exit codes: 0 all answered, 1 a picture got no answer, 2 wrong input
"""


def add_edge_parser(subparsers: Any, bundles_default: Sequence[Path] = ()) -> None:
    """Add `edge` to the console.

    Args:
        subparsers: of the console's parser.
        bundles_default: folders in which a bundle's name is looked up, besides the shipped bundles.
    """
    parser = subparsers.add_parser(
        "edge",
        help="run the device: pictures in, compressed features out, answers back",
        description=_EDGE,
        epilog=_EDGE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bundle",
        action="append",
        required=True,
        metavar="DIR|NAME",
        help="a bundle's folder, or a name to look up; repeated, every picture goes through each of them",
    )
    parser.add_argument(
        "--codec",
        action="append",
        default=[],
        metavar="NAME|BUNDLE=NAME",
        help="how features are encoded, for all bundles or for one; may be repeated (default: their choice)",
    )
    _add_network_flags(parser, bundles_default)
    pictures = parser.add_argument_group("pictures")
    add_flags(pictures, SourceChoice)
    add_flags(pictures, ClientSettings, "first_sequence")
    _add_server_flags(parser.add_argument_group("server"))
    _add_answer_flags(parser.add_argument_group("answers"))
    preview = parser.add_argument_group("preview")
    preview.add_argument(
        "--preview",
        type=Endpoint.parse,
        metavar="HOST:PORT",
        help="show the model's inputs over HTTP, for scoring reconstructions: private pictures, unencrypted",
    )
    add_flags(preview, PreviewConfig)
    parser.set_defaults(run=run_edge)


def add_classify_parser(subparsers: Any, bundles_default: Sequence[Path] = ()) -> None:
    """Add `classify` to the console; arguments as for `add_edge_parser`."""
    parser = subparsers.add_parser(
        "classify",
        help="send one or more pictures once and print the answers",
        description=_CLASSIFY,
        epilog=_CLASSIFY_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="picture files")
    parser.add_argument(
        "--bundle", required=True, metavar="DIR|NAME", help="a bundle's folder, or a name to look up"
    )
    parser.add_argument(
        "--codec", metavar="NAME", help="how features are encoded (default: the bundle's choice)"
    )
    _add_network_flags(parser, bundles_default)
    _add_server_flags(parser.add_argument_group("server"))
    parser.add_argument(
        "--output",
        metavar="jsonl:FILE|-",
        help="add JSON lines to a file, or - for standard output; npz:DIR writes outputs as files of numpy",
    )
    parser.set_defaults(run=run_classify)


def _add_network_flags(parser: argparse.ArgumentParser, bundles_default: Sequence[Path]) -> None:
    parser.add_argument(
        "--bundles",
        type=Path,
        action="append",
        default=list(bundles_default),
        metavar="DIR",
        help="folder of bundles to look a name up in, before the shipped ones; may be repeated",
    )
    add_flags(parser, ClientSettings, "threads", "top_k", "outputs", "max_output_bytes")


def _add_server_flags(group: Any) -> None:
    group.add_argument(
        "--server",
        default=DEFAULT_SERVER,
        metavar="HOST:PORT[,...]",
        help="a `siftfunnel cloud`, or several of them, which take turns and stand in for one another "
        "(%(default)s)",
    )
    group.add_argument("--tls", action="store_true", help="TLS, trusting the authorities that ship with grpc")
    group.add_argument(
        "--tls-ca", type=Path, metavar="FILE", help="TLS, trusting only the authorities in this PEM file"
    )
    group.add_argument("--tls-cert", type=Path, metavar="FILE", help="own certificate, PEM, for mutual TLS")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    group.add_argument(
        "--tls-name", metavar="NAME", help="name in the server's certificate if not the host's"
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="show the server the token in this file (default: the one in the environment variable "
        f"{TOKEN_VARIABLE}, if there is one)",
    )
    add_flags(group, WindowPolicy)
    add_flags(group, ClientSettings, "frames_per_message", "budget_ms", "pad")
    add_flags(group, ReconnectPolicy)


def _add_answer_flags(group: Any) -> None:
    group.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="KIND:FILE|-",
        help="jsonl:FILE or text:FILE, which is added to, - for standard output, or npz:DIR, a new folder "
        "that gets each answer's outputs as a file of numpy; may be repeated (default: text:-)",
    )
    add_flags(group, RunConfig)


def run_edge(args: argparse.Namespace) -> int:
    """Play a source; 0 when it ended in order.

    Raises:
        ValueError: wrong input.
        EdgeError: the server could not be used.
    """
    from siftfunnel.edge_client.outputs import open_output
    from siftfunnel.edge_client.run import play
    from siftfunnel.edge_client.sources.choice import open_source
    from siftfunnel.shared.bundle_search import shipped_assets

    config = from_flags(RunConfig, args)
    assets = shipped_assets()
    demo_pictures = assets / "images" / "drawnfaces" if assets else None
    source = open_source(from_flags(SourceChoice, args, demo_pictures=demo_pictures))
    with ExitStack() as cleanup:
        clients = _clients(args, cleanup, live=source.keeps_latest)
        outputs = []
        for text in args.output or ["text:-"]:
            outputs.append(open_output(text))
            cleanup.callback(outputs[-1].close)
        preview = _preview(args)
        if preview is not None:
            cleanup.callback(preview.close)
        play(clients, source, outputs, preview, config)
    return 0


def run_classify(args: argparse.Namespace) -> int:
    """Classify pictures; 1 when one of them got no answer.

    Raises:
        ValueError: wrong input.
        EdgeError: the server could not be used.
    """
    from siftfunnel.edge_client.outcome import REFUSED, UNREACHABLE, Answer
    from siftfunnel.edge_client.outputs import Lines, as_verdict, open_output

    failed = 0
    with _client(args, args.bundle, args.codec) as client, ExitStack() as cleanup:
        output = open_output(args.output) if args.output else Lines("-", as_verdict)
        cleanup.callback(output.close)
        for outcome in client.stream(args.images):
            if not isinstance(outcome, Answer):
                failed += 1
                # what is wrong with the server is the stream's own error, which follows
                of_server = getattr(outcome, "code", "") in (REFUSED, UNREACHABLE)
                text = "not answered" if of_server else getattr(outcome, "message", "")
                _warn(printable(text if outcome.source in text else f"{outcome.source}: {text}"))
            if args.output or isinstance(outcome, Answer):
                output.write(outcome)
    return 1 if failed else 0


def _clients(args: argparse.Namespace, cleanup: ExitStack, live: bool) -> "list[SplitClient]":
    """A client per `--bundle`, each with its `--codec`; a live source keeps few frames under way in each.

    Raises:
        ValueError: the same bundle twice, or a codec for a bundle that is not among them.
    """
    codecs = dict(_codec_wish(text) for text in args.codec)
    clients = []
    for name in args.bundle:
        codec = codecs.get(name, codecs.get(None))
        clients.append(cleanup.enter_context(_client(args, name, codec, live and len(args.bundle) > 1)))
    if len({client.bundle.digest for client in clients}) < len(clients):
        raise ValueError(f"--bundle {' --bundle '.join(args.bundle)}: the same bundle twice")
    if foreign := sorted(name for name in codecs if name is not None and name not in args.bundle):
        raise ValueError(f"--codec {foreign[0]}={codecs[foreign[0]]}: no --bundle {foreign[0]} was given")
    return clients


def _codec_wish(text: str) -> tuple[str | None, str]:
    bundle, equals, codec = text.rpartition("=")
    return (bundle if equals else None), codec


def _client(args: argparse.Namespace, bundle: str, codec: str | None, live: bool = False) -> "SplitClient":
    # gRPC's own log repeats on standard error what our messages say; it must be told before it is loaded
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from siftfunnel.edge_client.client import LIVE_WINDOW, SplitClient

    window = from_flags(WindowPolicy, args)
    settings = from_flags(ClientSettings, args, window=window, reconnect=from_flags(ReconnectPolicy, args))
    if live:
        window = replace(window, limit=min(window.limit, LIVE_WINDOW))
        settings = replace(settings, frames_per_message=1, window=window)
    return SplitClient(
        bundle,
        args.server,
        codec=codec,
        tls=_tls(args),
        tls_name=args.tls_name,
        token=read_token(args.token_file),
        settings=settings,
        bundles=args.bundles,
    )


def _tls(args: argparse.Namespace) -> "TlsFiles | bool | None":
    from siftfunnel.shared.tls import TlsFiles

    if args.tls_ca is None and args.tls_cert is None and args.tls_key is None:
        return True if args.tls else None
    return TlsFiles(args.tls_ca, args.tls_cert, args.tls_key)


def _preview(args: argparse.Namespace) -> "PreviewServer | None":
    if args.preview is None:
        if args.preview_anywhere or args.preview_anyone or args.preview_name:
            raise ValueError("--preview-anywhere and the like do nothing without --preview HOST:PORT")
        return None
    from siftfunnel.edge_client.preview import PreviewServer

    names = tuple(name.lower() for name in args.preview_name)
    token = os.environ.get(PREVIEW_TOKEN_VARIABLE) or None
    config = from_flags(PreviewConfig, args, address=args.preview, names=names, token=token)
    return PreviewServer(config, _warn)


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""`siftfunnel edge` and `siftfunnel classify`: flags to configuration, configuration to a run.

Flags are declared in `flags.py` and read here; what runs is imported when it runs.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.edge_client.flags import (
    DEFAULT_SERVER,
    add_bundle_flags,
    add_one_bundle_flags,
    add_output_flags,
    add_preview_flags,
    add_server_flags,
    add_several_bundles_flags,
    add_source_flags,
)
from siftfunnel.shared.console import on_console
from siftfunnel.shared.showing import printable, without_credentials

if TYPE_CHECKING:
    from siftfunnel.edge_client.client import SplitClient
    from siftfunnel.edge_client.preview import PreviewServer
    from siftfunnel.shared.tls import TlsFiles


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
    add_several_bundles_flags(parser)
    add_bundle_flags(parser, bundles_default)
    add_source_flags(parser.add_argument_group("pictures"))
    add_server_flags(parser.add_argument_group("server"))
    add_output_flags(parser.add_argument_group("answers"))
    add_preview_flags(parser.add_argument_group("preview"))
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
    add_one_bundle_flags(parser)
    add_bundle_flags(parser, bundles_default)
    add_server_flags(parser.add_argument_group("server"))
    parser.add_argument(
        "--output",
        metavar="jsonl:FILE|-",
        help="add JSON lines to a file, or - for standard output; npz:DIR writes outputs as files of numpy",
    )
    parser.set_defaults(run=run_classify)


def run_edge(args: argparse.Namespace) -> int:
    """Play a source; 0 when it ended in order.

    Raises:
        ValueError: wrong input.
        EdgeError: the server could not be used.
    """
    from siftfunnel.edge_client.outputs import open_output
    from siftfunnel.edge_client.run import RunConfig, play
    from siftfunnel.edge_client.sources.choice import open_source

    config = RunConfig(args.summary, args.drain_seconds, args.ready_line, args.quiet)
    source = open_source(_source_choice(args))
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
    from siftfunnel.edge_client.client import LIVE_WINDOW, ClientSettings, SplitClient
    from siftfunnel.edge_client.reconnection import ReconnectPolicy
    from siftfunnel.edge_client.window import WindowPolicy

    settings = ClientSettings(
        top_k=args.top_k,
        outputs=args.outputs,
        max_output_bytes=args.max_output_bytes,
        budget_ms=args.budget_ms,
        first_sequence=getattr(args, "first_sequence", 0),
        threads=args.threads,
        frames_per_message=1 if live else args.frames_per_message,
        window=WindowPolicy(
            limit=min(args.window, LIVE_WINDOW) if live else args.window,
            reply_timeout_s=args.reply_timeout_seconds,
        ),
        reconnect=ReconnectPolicy(connect_timeout_s=args.connect_timeout_seconds),
    )
    return SplitClient(
        bundle,
        args.server,
        codec=codec,
        tls=_tls(args),
        tls_name=args.tls_name,
        settings=settings,
        bundles=args.bundles,
    )


def _tls(args: argparse.Namespace) -> "TlsFiles | bool | None":
    from siftfunnel.shared.tls import TlsFiles

    if args.tls_ca is None and args.tls_cert is None and args.tls_key is None:
        return True if args.tls else None
    return TlsFiles(args.tls_ca, args.tls_cert, args.tls_key)


def _source_choice(args: argparse.Namespace) -> Any:
    from siftfunnel.edge_client.sources.choice import SourceChoice
    from siftfunnel.shared.bundle_search import shipped_assets

    assets = shipped_assets()
    return SourceChoice(
        place=args.source,
        watch=args.watch,
        shuffle_seed=args.shuffle,
        frames=args.frames,
        rate_fps=args.rate,
        demo_pictures=assets / "images" / "drawnfaces" if assets else None,
    )


def _preview(args: argparse.Namespace) -> "PreviewServer | None":
    if args.preview is None:
        if args.preview_anywhere:
            raise ValueError("--preview-anywhere does nothing without --preview HOST:PORT")
        return None
    from siftfunnel.edge_client.preview import PreviewConfig, PreviewServer

    return PreviewServer(PreviewConfig(args.preview, args.preview_anywhere), _warn)


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m siftfunnel.edge_client edge|classify`: the same where only this room is installed."""
    parser = argparse.ArgumentParser(prog="python -m siftfunnel.edge_client", description=_EDGE)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    add_edge_parser(subparsers)
    add_classify_parser(subparsers)
    return on_console(lambda: _run(parser.parse_args(argv)))


def _run(args: argparse.Namespace) -> int:
    try:
        code: int = args.run(args)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        _warn(f"edge_client: {without_credentials(str(error))}")
        return 2 if isinstance(error, ValueError) else 1
    except Exception as error:
        if not type(error).__module__.startswith("siftfunnel."):
            raise
        _warn(f"edge_client: {without_credentials(str(error))}")
        return 1
    return code

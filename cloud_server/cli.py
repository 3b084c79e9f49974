"""`siftfunnel cloud`: flags to configuration, configuration to a process.

Flags are read here and nowhere else; what runs is imported when it runs.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_server.batching import BatchPolicy
from cloud_server.config import CloudConfig, Endpoint, default_workers
from cloud_server.engine import ENGINES, EngineOptions
from cloud_server.recorder import RecorderConfig
from shared.tls import TlsFiles

if TYPE_CHECKING:
    from cloud_server.server import CloudServer

SUMMARY = "run the service that finishes the inference"
DEFAULT_LISTEN = "127.0.0.1:50051"
_FORCED = 1

_EPILOG = f"""\
examples:
  siftfunnel cloud
      the shipped bundles on {DEFAULT_LISTEN}
  siftfunnel cloud --models bundles/ --listen 0.0.0.0:50051 --http 0.0.0.0:9100
      every bundle in a folder, for others on the network, with /healthz, /bundles and /metrics
  siftfunnel cloud --bundle bundles/mine --tls-listen 0.0.0.0:50443 --tls-cert server.pem --tls-key server.key
      one bundle, over TLS only (`siftfunnel certs` makes certificates); --tls-client-ca ca.pem lets in
      only clients with a certificate of that authority
  siftfunnel cloud --listen 127.0.0.1:0 --http 127.0.0.1:0
      on free ports; the line on standard output says which

When it is ready the server prints one JSON line on standard output:
  {{"ready": true, "grpc": "127.0.0.1:50051", "grpc_tls": null, "http": null, "bundles": {{NAME: DIGEST}},
   "pid": 1}}
All else goes to standard error. SIGTERM or Ctrl-C drains: no new frames are taken, everything taken is
answered, then it exits with 0 (1 if --drain-seconds were not enough). A second signal stops it at once.

exit codes: 0 drained, 1 failed, 2 wrong input (a flag, a bundle, a certificate, a port in use)
"""


def add_cloud_parser(subparsers: Any) -> None:
    """Add `cloud` to the console."""
    parser = subparsers.add_parser(
        "cloud", help=SUMMARY, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_Formatter
    )
    add_arguments(parser)


_DESCRIPTION = (
    "Serve the cloud halves of one or more bundles over gRPC: decode compressed features, batch them across "
    "streams, finish the inference, answer. A client names its bundle by digest when a stream opens."
)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; `run` is set to what they start."""
    _add_bundle_flags(parser.add_argument_group("bundles"))
    _add_address_flags(parser.add_argument_group("addresses (HOST:PORT; port 0 takes a free one)"))
    _add_serving_flags(parser.add_argument_group("serving"))
    _add_watching_flags(parser.add_argument_group("watching"))
    parser.set_defaults(run=run)


def _add_bundle_flags(group: Any) -> None:
    group.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of bundles, one sub-folder each; may be repeated "
        "(default: SIFTFUNNEL_MODELS, else the shipped bundles)",
    )
    group.add_argument(
        "--bundle", type=Path, action="append", default=[], metavar="DIR", help="one bundle; may be repeated"
    )
    group.add_argument(
        "--skip-bad", action="store_true", help="serve the others when a bundle fails its checks"
    )


def _add_address_flags(group: Any) -> None:
    address = {"type": _endpoint, "metavar": "HOST:PORT"}
    group.add_argument(
        "--listen",
        **address,
        help=f"gRPC in plain text (default: {DEFAULT_LISTEN}, unless --tls-listen is given)",
    )
    group.add_argument("--tls-listen", **address, help="gRPC over TLS, beside or instead of --listen")
    group.add_argument("--tls-cert", type=Path, metavar="FILE", help="the server's certificate chain, PEM")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    group.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        help="mutual TLS: demand client certificates of this authority",
    )
    group.add_argument("--http", **address, help="admin side: /healthz, /bundles, /metrics (default: off)")


def _add_serving_flags(group: Any) -> None:
    policy, options = BatchPolicy(), EngineOptions()
    group.add_argument(
        "--engine", choices=ENGINES, default="onnxruntime", help="what runs the model (%(default)s)"
    )
    group.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads for one run of the model (%(default)s)"
    )
    group.add_argument(
        "--device",
        metavar="cpu|cuda|cuda:N",
        help="where --engine torch computes (default: CUDA where there is one)",
    )
    group.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="the Ray cluster for --engine ray-serve; this machine must be one of its nodes "
        "(default: a cluster on this machine alone)",
    )
    group.add_argument(
        "--replicas",
        type=_replicas,
        default=options.replicas,
        metavar="N|MIN:MAX",
        help="copies of each model there; between the two numbers Serve follows the load (1)",
    )
    group.add_argument(
        "--ray-start-seconds",
        type=float,
        default=options.ray_start_s,
        metavar="S",
        help="patience with the cluster until the copies run (%(default)s)",
    )
    group.add_argument(
        "--remote",
        metavar="HOST:PORT",
        help="the model server that holds the cloud half, for --engine open-inference",
    )
    group.add_argument(
        "--remote-model",
        default=options.remote_model,
        metavar="NAME",
        help="the model's name there; {name} stands for the bundle's (%(default)s)",
    )
    group.add_argument(
        "--remote-timeout",
        type=float,
        default=options.remote_timeout_s,
        metavar="S",
        help="patience with one batch on a model server or a Ray cluster (%(default)s)",
    )
    group.add_argument(
        "--workers",
        type=int,
        default=None,
        metavar="N",
        help="batches of one bundle that run at once (default: as many as keep the engine busy; on this "
        f"machine's cores one per core less one, at most 8: {default_workers()} here)",
    )
    group.add_argument(
        "--max-batch",
        type=int,
        default=policy.max_batch_size,
        metavar="N",
        help="frames per batch (%(default)s)",
    )
    group.add_argument(
        "--max-wait-ms",
        type=float,
        default=policy.max_wait_ms,
        metavar="MS",
        help="how long an idle worker holds a frame back for company; 0 starts at once and lets batches form "
        "while workers are busy (%(default)s)",
    )
    group.add_argument(
        "--queue-limit",
        type=int,
        default=policy.queue_limit_frames,
        metavar="N",
        help="frames of one bundle that may wait; the next one is told to come back later (%(default)s)",
    )
    group.add_argument(
        "--window", type=int, default=64, metavar="N", help="unanswered frames per stream (%(default)s)"
    )
    group.add_argument(
        "--drain-seconds", type=float, default=10.0, metavar="S", help="patience of a stop (%(default)s)"
    )


def _add_watching_flags(group: Any) -> None:
    group.add_argument(
        "--reflection", action="store_true", help="let tools such as grpcurl list the services"
    )
    group.add_argument(
        "--record-flows",
        type=Path,
        metavar="FILE",
        help="the curious cloud: append every frame and reply to FILE "
        "(`siftfunnel attacker --tap cloud:FILE` reads it)",
    )
    group.add_argument(
        "--record-limit-mb",
        type=float,
        default=256.0,
        metavar="MB",
        help="size that FILE may reach (%(default)s)",
    )
    group.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(%(default)s)"
    )


def config_from(args: argparse.Namespace) -> CloudConfig:
    """The configuration that the flags mean.

    Raises:
        ValueError: a flag is out of range or does not go with another one.
    """
    listen, tls_listen, tls = args.listen, args.tls_listen, _tls_from(args)
    if listen is None and tls_listen is None:
        listen = Endpoint.parse(DEFAULT_LISTEN)
    if tls is not None and tls_listen is None:
        # Whoever brings a certificate for the only port wants TLS there, not plain text.
        listen, tls_listen = None, listen
    return CloudConfig(
        bundles=(*args.models, *args.bundle) or tuple(_default_models()),
        listen=listen,
        tls_listen=tls_listen,
        http=args.http,
        tls=tls,
        skip_bad=args.skip_bad,
        engine=args.engine,
        engine_options=EngineOptions(
            threads=args.threads,
            remote=args.remote,
            remote_model=args.remote_model,
            remote_timeout_s=args.remote_timeout,
            device=args.device,
            ray_address=args.ray_address,
            replicas=args.replicas,
            ray_start_s=args.ray_start_seconds,
        ),
        workers=args.workers,
        batching=BatchPolicy(args.max_batch, args.max_wait_ms, args.queue_limit),
        window_frames=args.window,
        drain_s=args.drain_seconds,
        reflection=args.reflection,
        record=RecorderConfig(args.record_flows, args.record_limit_mb) if args.record_flows else None,
    )


def run(args: argparse.Namespace) -> int:
    """Serve until a signal; the exit code is the process's.

    Raises:
        ValueError: wrong input, which the console turns into one line and exit code 2.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=args.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # It announces itself under the name of an error; what it has to say there is in our own lines.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return asyncio.run(_serve(config_from(args)))


async def _serve(config: CloudConfig) -> int:
    from cloud_server.process import settle_memory
    from cloud_server.server import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    drained = False

    def on_signal(number: int, frame: object) -> None:
        if drained:
            return
        if stop.is_set():
            os.write(sys.stderr.fileno(), b"second signal: stopping at once\n")
            os._exit(_FORCED)
        loop.call_soon_threadsafe(stop.set)

    def listen() -> None:
        # Not the loop's own handlers: they are gone when the loop is, and a signal in that moment would kill
        # a process that had drained well.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)

    def on_ready(server: "CloudServer") -> None:
        settle_memory()
        # once more: Ray's core has put a handler of its own in place that aborts the process
        listen()
        announce(server)

    listen()
    in_time = await serve(config, stop, on_ready)
    drained = True
    if not in_time:
        # A model that still runs in its thread would crash an orderly exit.
        logging.shutdown()
        os._exit(_FORCED)
    return 0


def announce(server: "CloudServer") -> None:
    """Print the one line that tests and the demo's conductor wait for."""
    where = server.addresses
    line = {
        "ready": True,
        "grpc": where.grpc and str(where.grpc),
        "grpc_tls": where.grpc_tls and str(where.grpc_tls),
        "http": where.http and str(where.http),
        "bundles": {served.label: served.bundle.digest for served in server.catalogue},
        "pid": os.getpid(),
    }
    print(json.dumps(line), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m cloud_server`: the same command where only this room is installed."""
    parser = argparse.ArgumentParser(
        prog="cloud_server", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_Formatter
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"cloud_server: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


def _endpoint(text: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _replicas(text: str) -> tuple[int, int]:
    fewest, _, most = text.partition(":")
    try:
        return int(fewest), int(most or fewest)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither N nor MIN:MAX, as in 2:8") from None


def _tls_from(args: argparse.Namespace) -> TlsFiles | None:
    if args.tls_cert is None and args.tls_key is None and args.tls_client_ca is None:
        return None
    return TlsFiles(ca=args.tls_client_ca, certificate=args.tls_cert, key=args.tls_key)


def _default_models() -> Iterator[Path]:
    """Folders of SIFTFUNNEL_MODELS, else the shipped bundles, found without importing the distribution."""
    if named := os.environ.get("SIFTFUNNEL_MODELS"):
        yield from map(Path, filter(None, named.split(os.pathsep)))
        return
    product = find_spec("siftfunnel")
    for place in (product and product.submodule_search_locations) or ():
        bundles = Path(place) / "assets" / "bundles"
        if bundles.is_dir():
            yield bundles

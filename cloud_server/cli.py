"""`siftfunnel cloud`: flags to configuration, configuration to a process.

Flags are read here and nowhere else; what runs is imported when it runs.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.config import DEFAULT_LISTEN, CloudConfig
from siftfunnel.cloud_server.engine import EngineOptions
from siftfunnel.cloud_server.recorder import RecorderConfig
from siftfunnel.shared.access import TOKEN_VARIABLE, ClientLimits, read_token
from siftfunnel.shared.bundle_search import bundle_directory, named_folders, shipped_folder
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.settings import add_flags, from_flags
from siftfunnel.shared.tls import TlsFiles

if TYPE_CHECKING:
    from siftfunnel.cloud_server.server import CloudServer

SUMMARY = "run the service that finishes the inference"
MODELS = "SIFTFUNNEL_MODELS"
_FORCED = 1

_log = logging.getLogger(__name__)

_EPILOG = f"""\
examples:
  siftfunnel cloud
      the shipped bundles on {DEFAULT_LISTEN}
  siftfunnel cloud --bundles bundles/ --listen 0.0.0.0:50051 --http 0.0.0.0:9100
      every bundle in a folder, for others on the network, with /healthz, /bundles and /metrics
  siftfunnel cloud --bundle bundles/mine --tls-listen 0.0.0.0:50443 --tls-cert server.pem --tls-key server.key
      one bundle, over TLS only (`siftfunnel certs` makes certificates); --tls-client-ca ca.pem lets in
      only clients with a certificate of that authority
  siftfunnel cloud --listen 127.0.0.1:0 --http 127.0.0.1:0
      on free ports; the line on standard output says which

When it is ready the server prints one JSON line on standard output:
  {{"ready": true, "grpc": "127.0.0.1:50051", "grpc_tls": null, "http": null, "oip_http": null,
   "bundles": {{NAME: DIGEST}}, "pid": 1}}
All else goes to standard error. SIGTERM, Ctrl-C or a terminal that closes drains: no new frames are taken,
everything taken is answered, then it exits with 0 (1 if --drain-seconds were not enough). A second SIGTERM or
Ctrl-C stops it at once. Under nohup it outlives its terminal. Certificates that are renewed in place are used
without a restart.

exit codes: 0 drained, 1 failed, 2 wrong input (a flag, a bundle, a certificate, a port in use)
"""


def add_cloud_parser(subparsers: Any) -> None:
    """Add `cloud` to the console."""
    parser = subparsers.add_parser(
        "cloud", help=SUMMARY, description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_Formatter
    )
    _add_arguments(parser)
    parser.set_defaults(run=run)


_DESCRIPTION = (
    "Serve the cloud halves of one or more bundles over gRPC: decode compressed features, batch them across "
    "streams, finish the inference, answer. A client names its bundle by digest when a stream opens."
)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    bundles = parser.add_argument_group("bundles")
    bundles.add_argument(
        "--bundles",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of bundles, one sub-folder each; may be repeated "
        "(default: SIFTFUNNEL_MODELS, else the shipped bundles)",
    )
    bundles.add_argument(
        "--bundle",
        action="append",
        default=[],
        metavar="DIR|NAME",
        help="a bundle's folder, or a name to look up in --bundles, SIFTFUNNEL_MODELS and among the shipped; "
        "may be repeated",
    )
    add_flags(bundles, CloudConfig, "skip_bad", "watch_models")
    _add_address_flags(parser.add_argument_group("addresses (HOST:PORT; port 0 takes a free one)"))
    serving = parser.add_argument_group("serving")
    add_flags(serving, CloudConfig, "engine")
    add_flags(serving, EngineOptions)
    add_flags(serving, CloudConfig, "workers")
    add_flags(serving, BatchPolicy)
    add_flags(serving, CloudConfig, "window_frames", "max_output_bytes", "stall_s", "drain_s")
    add_flags(
        parser.add_argument_group("Open Inference Protocol"),
        CloudConfig,
        "simple",
        "model_control",
        "compression",
    )
    access = parser.add_argument_group("who may do what")
    add_flags(access, CloudConfig, "clients")
    access.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="serve only who shows the token in this file (default: the one in the environment variable "
        f"{TOKEN_VARIABLE}, if there is one and no --clients)",
    )
    ceilings = parser.add_argument_group("ceilings")
    add_flags(ceilings, Ceilings)
    add_flags(ceilings, ClientLimits)
    _add_watching_flags(parser.add_argument_group("watching"))


def _add_address_flags(group: Any) -> None:
    add_flags(group, CloudConfig, "listen", "tls_listen")
    group.add_argument("--tls-cert", type=Path, metavar="FILE", help="the server's certificate chain, PEM")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    group.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="FILE",
        help="mutual TLS: demand client certificates of this authority",
    )
    add_flags(group, CloudConfig, "http", "oip_http")


def _add_watching_flags(group: Any) -> None:
    add_flags(group, CloudConfig, "reflection")
    group.add_argument(
        "--record-flows",
        type=Path,
        metavar="FILE",
        help="the curious cloud: append every frame and reply to FILE "
        "(`siftfunnel attacker --tap cloud:FILE` reads it)",
    )
    add_flags(group, RecorderConfig)
    group.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(%(default)s)"
    )


def config_from(args: argparse.Namespace) -> CloudConfig:
    """The configuration that the flags mean.

    Raises:
        ValueError: a flag is out of range or does not go with another one.
        BundleError: there is no bundle of a name.
    """
    listen, tls_listen, tls = args.listen, args.tls_listen, _tls_from(args)
    if listen is None and tls_listen is None:
        listen = Endpoint.parse(DEFAULT_LISTEN)
    if tls is not None and tls_listen is None:
        # Whoever brings a certificate for the only port wants TLS there, not plain text.
        listen, tls_listen = None, listen
    return from_flags(
        CloudConfig,
        args,
        bundles=(*args.bundles, *_named(args)) or named_folders(MODELS) or shipped_folder("bundles"),
        listen=listen,
        tls_listen=tls_listen,
        tls=tls,
        engine_options=from_flags(EngineOptions, args),
        batching=from_flags(BatchPolicy, args),
        ceilings=from_flags(Ceilings, args, client=from_flags(ClientLimits, args)),
        token=read_token(args.token_file) if args.token_file or not args.clients else None,
        record=from_flags(RecorderConfig, args, path=args.record_flows) if args.record_flows else None,
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
    if args.log_level != "debug":
        # gRPC writes a line for every client that fails to shake hands or compresses: a flood, if one likes
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    config = config_from(args)
    code = asyncio.run(_serve(config))
    if config.tls is not None:
        from siftfunnel.cloud_server.process import release_memory

        release_memory()
    return code


async def _serve(config: CloudConfig) -> int:
    from siftfunnel.cloud_server.process import StopSignals, settle_memory
    from siftfunnel.cloud_server.server import serve
    from siftfunnel.cloud_server.supervisor import Supervisor

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = StopSignals(lambda: loop.call_soon_threadsafe(stop.set))

    def on_ready(server: "CloudServer") -> None:
        settle_memory()
        # once more: Ray's core has put a handler of its own in place that aborts the process
        signals.install()
        signals.ready = True
        announce(server)

    signals.install()
    in_time = await serve(config, stop, on_ready, supervisor=Supervisor(os.environ))
    signals.finish()
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
        "oip_http": where.oip_http and str(where.oip_http),
        "bundles": {served.label: served.bundle.digest for served in server.catalogue},
        "pid": os.getpid(),
    }
    try:
        print(json.dumps(line), flush=True)
    except OSError as error:
        from siftfunnel.cloud_server.process import forget_standard_output

        _log.warning("nobody reads the ready line on standard output (%s)", error.strerror)
        forget_standard_output()


def _tls_from(args: argparse.Namespace) -> TlsFiles | None:
    if args.tls_cert is None and args.tls_key is None and args.tls_client_ca is None:
        return None
    return TlsFiles(ca=args.tls_client_ca, certificate=args.tls_cert, key=args.tls_key)


def _named(args: argparse.Namespace) -> Iterator[Path]:
    """Where the bundles of `--bundle` lie; a folder without a manifest is left to the checks."""
    places = (*args.bundles, *named_folders(MODELS))
    for name in args.bundle:
        yield Path(name) if os.path.isdir(name) else bundle_directory(name, places)

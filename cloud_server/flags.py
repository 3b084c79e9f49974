"""The flags of `siftfunnel cloud`, in groups, with their defaults."""

import argparse
from pathlib import Path
from typing import Any

from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.config import CloudConfig, Endpoint, default_workers
from siftfunnel.cloud_server.engine import ENGINES, EngineOptions

DEFAULT_LISTEN = "127.0.0.1:50051"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    _add_bundle_flags(parser.add_argument_group("bundles"))
    _add_address_flags(parser.add_argument_group("addresses (HOST:PORT; port 0 takes a free one)"))
    _add_serving_flags(parser.add_argument_group("serving"))
    _add_ceiling_flags(parser.add_argument_group("ceilings"))
    _add_watching_flags(parser.add_argument_group("watching"))


def _add_bundle_flags(group: Any) -> None:
    group.add_argument(
        "--bundles",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of bundles, one sub-folder each; may be repeated "
        "(default: SIFTFUNNEL_MODELS, else the shipped bundles)",
    )
    group.add_argument(
        "--bundle",
        action="append",
        default=[],
        metavar="DIR|NAME",
        help="a bundle's folder, or a name to look up in --bundles, SIFTFUNNEL_MODELS and among the shipped; "
        "may be repeated",
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
        "--engine-start-seconds",
        type=float,
        default=options.start_s,
        metavar="S",
        help="patience at the start until a model server has loaded the model or a Ray cluster runs its "
        "copies (%(default)s)",
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
        "--remote-timeout-seconds",
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
        help="frames of one bundle that may wait; over that, the newest one of the client with the most is "
        "told to come back later (%(default)s)",
    )
    group.add_argument(
        "--window", type=int, default=64, metavar="N", help="unanswered frames per stream (%(default)s)"
    )
    group.add_argument(
        "--max-output-bytes",
        type=int,
        default=CloudConfig.max_output_bytes,
        metavar="N",
        help="what embeddings, boxes and other outputs beside classes take at most in one reply; a frame "
        "whose outputs take more gets an error (%(default)s)",
    )
    group.add_argument(
        "--stall-seconds",
        type=float,
        default=CloudConfig.stall_s,
        metavar="S",
        help="a batch that runs longer makes the server say NOT_SERVING until it ends, and its frames get an "
        "error; likewise a model server or cluster that is away for longer (%(default)s)",
    )
    group.add_argument(
        "--drain-seconds", type=float, default=10.0, metavar="S", help="patience of a stop (%(default)s)"
    )


def _add_ceiling_flags(group: Any) -> None:
    ceilings = Ceilings()
    for name, default, text in (
        ("connections", ceilings.connections, "connections of each gRPC port; the next one is closed"),
        (
            "calls",
            ceilings.calls,
            "streams and other calls of all clients; the next one takes an idle stream's place or is refused",
        ),
        (
            "calls-per-connection",
            ceilings.calls_per_connection,
            "calls of one connection; the next one waits",
        ),
        (
            "calls-per-client",
            ceilings.calls_per_client,
            "calls from one address (IPv6: one /64); likewise. Behind a proxy all clients have its address",
        ),
    ):
        group.add_argument(
            f"--max-{name}", type=int, default=default, metavar="N", help=f"{text} (%(default)s)"
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
        help="most that FILE and its older half, FILE.1, take; the latest messages are kept (%(default)s)",
    )
    group.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="(%(default)s)"
    )


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

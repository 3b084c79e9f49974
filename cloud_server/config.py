"""What a server is told, as frozen values that are checked when made."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.engine import ENGINES, EngineOptions
from siftfunnel.cloud_server.recorder import RecorderConfig
from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES
from siftfunnel.shared.ports import Endpoint
from siftfunnel.shared.settings import check, setting
from siftfunnel.shared.tls import TlsError, TlsFiles

DEFAULT_LISTEN = "127.0.0.1:50051"
MOST_OUTPUT_BYTES = 2**30
"""Protobuf's messages end at 2 GiB."""


def usable_cores() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """One worker per core, less one for the streams, at most 8."""
    return min(max(usable_cores() - 1, 1), 8)


@dataclass(frozen=True)
class CloudConfig:
    """All of `siftfunnel cloud`.

    Attributes:
        bundles: directories that hold a `manifest.json`, or whose children do.
        tls: certificate and key for `tls_listen`; a `ca` in it demands client certificates.
        engine_options: what the engine is told.
        batching: limits of each bundle's batcher.
        ceilings: how many connections and calls may be open.
        record: where flows are recorded, or None.
        token: what clients must show, where all show the same; None where they need not.

    Raises:
        ValueError: a value out of range, nothing to serve, nowhere to serve it, TLS without a certificate.
    """

    bundles: tuple[Path, ...]
    listen: Endpoint | None = setting(
        None,
        f"gRPC in plain text (default: {DEFAULT_LISTEN}, unless --tls-listen is given)",
        metavar="HOST:PORT",
    )
    tls_listen: Endpoint | None = setting(
        None, "gRPC over TLS, beside or instead of --listen", metavar="HOST:PORT"
    )
    http: Endpoint | None = setting(
        None, "admin side: /healthz, /bundles, /metrics (default: off)", metavar="HOST:PORT"
    )
    oip_http: Endpoint | None = setting(
        None,
        "the Open Inference Protocol over HTTP: /v2/... (default: off; over gRPC it is on every gRPC port)",
        metavar="HOST:PORT",
    )
    simple: bool = setting(
        False,
        "serve `simple` too, the example model of the Open Inference Protocol's clients",
    )
    model_control: bool = setting(
        False, "let clients load and unload bundles of the model directories by the Open Inference Protocol"
    )
    watch_models: bool = setting(
        False, "serve what appears in the model directories, replace what changes there, drop what goes"
    )
    compression: bool = setting(
        False,
        "take messages that gRPC or HTTP compressed; a few kilobytes may then inflate to the largest message",
    )
    tls: TlsFiles | None = None
    clients: Path | None = setting(
        None,
        "who may do what (docs/access.md); read again when it changes (default: everybody everything, unless "
        "there is a token)",
    )
    token: str | None = field(default=None, repr=False)
    skip_bad: bool = setting(False, "serve the others when a bundle fails its checks")
    engine: str = setting("onnxruntime", "what runs the model", choices=tuple(ENGINES))
    engine_options: EngineOptions = field(default_factory=EngineOptions)
    workers: int | None = setting(
        None,
        "batches of one bundle that run at once (default: as many as keep the engine busy; on this "
        f"machine's cores one per core less one, at most 8: {default_workers()} here)",
        least=1,
    )
    batching: BatchPolicy = field(default_factory=BatchPolicy)
    window_frames: int = setting(
        64,
        "unanswered frames that one stream may have before it is read no further",
        flag="--window",
        least=1,
    )
    max_output_bytes: int = setting(
        MAX_OUTPUT_BYTES,
        "what embeddings, boxes and other outputs beside classes take at most in one reply; a frame "
        "whose outputs take more gets an error",
        least=1,
        most=MOST_OUTPUT_BYTES,
    )
    ceilings: Ceilings = field(default_factory=Ceilings)
    stall_s: float = setting(
        20.0,
        "a batch that runs longer makes the server say NOT_SERVING until it ends, and its frames get an "
        "error; likewise a model server or cluster that is away for longer",
        above=0,
        finite=True,
    )
    drain_s: float = setting(10.0, "patience of a stop with answers that are under way", least=0, finite=True)
    reflection: bool = setting(False, "let tools such as grpcurl list the services")
    record: RecorderConfig | None = None

    def __post_init__(self) -> None:
        check(self)
        if not self.bundles:
            raise ValueError("nothing to serve: name a model directory (--bundles) or a bundle (--bundle)")
        if self.listen is None and self.tls_listen is None:
            raise ValueError("nowhere to serve: give --listen, --tls-listen or both")
        if (self.tls_listen is None) != (self.tls is None):
            raise TlsError(
                "TLS needs both an address and a certificate: --tls-listen, --tls-cert and --tls-key"
            )
        if self.clients is not None and self.token is not None:
            raise ValueError("--clients and --token-file both say who is served; give one of them")
        if self.tls is not None and self.tls.certificate is None:
            raise TlsError("TLS needs the server's own certificate: --tls-cert and --tls-key")

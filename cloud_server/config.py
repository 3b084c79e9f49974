"""What a server is told, as frozen values that are checked when made."""

import ipaddress
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from siftfunnel.cloud_server.batching import BatchPolicy
from siftfunnel.cloud_server.ceilings import Ceilings
from siftfunnel.cloud_server.engine import ENGINES, EngineOptions
from siftfunnel.cloud_server.recorder import RecorderConfig
from siftfunnel.shared.call_metadata import MAX_OUTPUT_BYTES
from siftfunnel.shared.tls import TlsError, TlsFiles

MAX_PORT = 65535
MOST_OUTPUT_BYTES = 2**30
"""Protobuf's messages end at 2 GiB."""


@dataclass(frozen=True)
class Endpoint:
    """A host and a TCP port; port 0 lets the system choose.

    Attributes:
        host: name or address, an IPv6 address without brackets.
        port: 0 to 65535.

    Raises:
        ValueError: an empty host or a port out of range.

    Example:
        >>> str(Endpoint.parse("[::1]:50051"))
        '[::1]:50051'
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("an address needs a host before the colon; 0.0.0.0 listens on all interfaces")
        if not 0 <= self.port <= MAX_PORT:
            raise ValueError(f"a port lies in 0 to {MAX_PORT}, not {self.port}")

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read HOST:PORT or [IPV6]:PORT.

        Raises:
            ValueError: anything else.
        """
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            ipaddress.IPv6Address(host)
        elif ":" in host:
            raise ValueError(f"{text!r}: write an IPv6 address in brackets, as in [::1]:50051")
        if not colon or not (port.isascii() and port.isdigit()):
            raise ValueError(f"{text!r} is not HOST:PORT, as in 127.0.0.1:50051")
        return cls(host, int(port))

    def with_port(self, port: int) -> "Endpoint":
        """The same host with the port that the system chose."""
        return Endpoint(self.host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
        listen: where plaintext gRPC is served, or None.
        tls_listen: where gRPC over TLS is served, or None.
        http: where the admin side is served, or None.
        tls: certificate and key for `tls_listen`; a `ca` in it demands client certificates.
        skip_bad: leave a bundle out that fails its checks, instead of refusing to start.
        engine: a key of `ENGINES`.
        engine_options: what the engine is told.
        workers: threads per bundle that run batches; None for as many as keep the engine busy.
        batching: limits of each bundle's batcher.
        window_frames: unanswered frames that one stream may have before it is read no further.
        max_output_bytes: what the outputs of one reply take at most together; a frame whose outputs take more
            gets an error.
        ceilings: how many connections and calls may be open.
        stall_s: how long a batch may run before the server says that it is not serving, seconds.
        drain_s: how long a stop waits for answers that are under way, seconds.
        reflection: whether gRPC reflection is served.
        record: where flows are recorded, or None.

    Raises:
        ValueError: a value out of range, nothing to serve, nowhere to serve it, TLS without a certificate.
    """

    bundles: tuple[Path, ...]
    listen: Endpoint | None = field(default_factory=lambda: Endpoint("127.0.0.1", 50051))
    tls_listen: Endpoint | None = None
    http: Endpoint | None = None
    tls: TlsFiles | None = None
    skip_bad: bool = False
    engine: str = "onnxruntime"
    engine_options: EngineOptions = field(default_factory=EngineOptions)
    workers: int | None = None
    batching: BatchPolicy = field(default_factory=BatchPolicy)
    window_frames: int = 64
    max_output_bytes: int = MAX_OUTPUT_BYTES
    ceilings: Ceilings = field(default_factory=Ceilings)
    stall_s: float = 20.0
    drain_s: float = 10.0
    reflection: bool = False
    record: RecorderConfig | None = None

    def __post_init__(self) -> None:
        if not self.bundles:
            raise ValueError("nothing to serve: name a model directory (--bundles) or a bundle (--bundle)")
        if self.listen is None and self.tls_listen is None:
            raise ValueError("nowhere to serve: give --listen, --tls-listen or both")
        if (self.tls_listen is None) != (self.tls is None):
            raise TlsError(
                "TLS needs both an address and a certificate: --tls-listen, --tls-cert and --tls-key"
            )
        if self.tls is not None and self.tls.certificate is None:
            raise TlsError("TLS needs the server's own certificate: --tls-cert and --tls-key")
        if self.engine not in ENGINES:
            raise ValueError(f"unknown engine {self.engine!r}; known: {', '.join(ENGINES)}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        if self.window_frames < 1:
            raise ValueError(f"window_frames must be at least 1, not {self.window_frames}")
        if not 1 <= self.max_output_bytes <= MOST_OUTPUT_BYTES:
            raise ValueError(
                f"max_output_bytes must lie in 1 to {MOST_OUTPUT_BYTES}, not {self.max_output_bytes}"
            )
        if not (math.isfinite(self.stall_s) and self.stall_s > 0):
            raise ValueError(f"stall_s must be a finite number above 0, not {self.stall_s}")
        if not (math.isfinite(self.drain_s) and self.drain_s >= 0):
            raise ValueError(f"drain_s must be a finite number of at least 0, not {self.drain_s}")

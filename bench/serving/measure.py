"""The measurements of `siftfunnel bench serving`; each gives JSON values.

The model's core runs the bare loop and the server in turn, repeats interleaved, medians reported.
"""

import asyncio
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.children import Child
from siftfunnel.bench.cores import on_core
from siftfunnel.bench.halves import BareModel, edge_features
from siftfunnel.bench.serving.servers import MAX_BATCH, cloud_server, floor_server
from siftfunnel.bench.serving.streams import Streams, Traffic, poisson_arrivals, traffic_of
from siftfunnel.shared.bundle import Bundle

BULK_FRAMES, BULK_BYTES = 16, 65536
WINDOW_FRAMES = 32
MOST_IN_FLIGHT = 1024
BARE_BATCHES = (1, 16)
LAYOUTS = {
    "server": "the whole server process on the model's core",
    "model": "the thread that runs the model on the model's core, the rest of the server on the client's",
}


@dataclass(frozen=True)
class Cores:
    """Which core runs the model, and which the client."""

    model: int
    client: int

    def of_loop(self, layout: str) -> int:
        """Where the server's event loop runs."""
        return self.model if layout == "server" else self.client


@dataclass(frozen=True)
class Run:
    """One closed-loop run.

    Attributes:
        figures: Frames per second, the server's and the client's microseconds of processor time per frame,
            and the mean size of the server's batches.
        resident_bytes: The server's memory when all streams were open and each had been served once.
    """

    figures: dict[str, float]
    resident_bytes: int


def load(
    server: Child, traffic: Traffic, streams: int, frames: int, core: int, window: int = WINDOW_FRAMES
) -> Run:
    """One closed-loop run after a short one that is dropped.

    Args:
        server: Who answers.
        traffic: What is sent.
        streams: Each on a connection of its own.
        frames: Of all streams together.
        core: The client's.
        window: Frames in flight per stream.
    """
    group = traffic.frames_per_message
    count, window = max(frames // streams // group, 1), max(window // group, 1)

    async def play() -> Run:
        async with Streams(server.address, traffic, streams) as clients:
            await clients.send(1, window)
            clients.batch_sizes.clear()
            resident_bytes = server.resident_bytes()
            cpu_s, own_s = server.cpu_s(), time.process_time()
            seconds = await clients.send(count, window)
            total = count * group * streams
            figures = {
                "frames_per_s": total / seconds,
                "server_cpu_us_per_frame": (server.cpu_s() - cpu_s) / total * 1e6,
                "client_cpu_us_per_frame": (time.process_time() - own_s) / total * 1e6,
                "mean_batch": float(np.mean(clients.batch_sizes)),
            }
            return Run(figures, resident_bytes)

    with on_core(core):
        gc.collect()
        return asyncio.run(play())


def medians(runs: Sequence[Run]) -> dict[str, float]:
    """The median of each figure, rounded to four digits."""
    return {key: rounded(np.median([run.figures[key] for run in runs])) for key in runs[0].figures}


def rounded(value: Any) -> float:
    """Four significant digits."""
    return float(f"{float(value):.4g}")


def _bare_frames_per_s(model: BareModel, features: NDArray[np.float32], core: int, frames: int) -> float:
    with on_core(core):
        taken_s = model.run_s(features, max(frames // len(features), 2))
    return len(features) * len(taken_s) / sum(taken_s)


def measure_throughput(
    bundle: Bundle, cores: Cores, codecs: Sequence[str], frames: int, rounds: int
) -> list[dict[str, Any]]:
    """One and sixteen streams and bulk against the bare loop, whole server or model alone on its core."""
    features, bare = edge_features(bundle), BareModel(bundle)
    rows = []
    for layout in LAYOUTS:
        with cloud_server(bundle, model_core=cores.model, loop_core=cores.of_loop(layout)) as server:
            for codec, (streams, bulk) in product(codecs, ((1, False), (16, False), (1, True))):
                traffic = traffic_of(bundle, features, codec)
                if bulk:
                    group = min(BULK_FRAMES, BULK_BYTES // max(map(len, traffic.messages)))
                    traffic = traffic_of(bundle, features, codec, group)
                served: list[Run] = []
                loops: dict[int, list[float]] = {batch: [] for batch in BARE_BATCHES}
                for _ in range(rounds):
                    served.append(load(server, traffic, streams, frames, cores.client))
                    for batch, rates in loops.items():
                        rates.append(_bare_frames_per_s(bare, features[:batch], cores.model, frames // 2))
                figures = medians(served)
                at = {str(batch): rounded(np.median(rates)) for batch, rates in loops.items()}
                ratios = {batch: round(figures["frames_per_s"] / rate, 3) for batch, rate in at.items()}
                rows.append(
                    {
                        "layout": layout,
                        "codec": codec,
                        "streams": streams,
                        "frames_per_message": traffic.frames_per_message,
                        **figures,
                        "bare_frames_per_s_by_batch": at,
                        "ratio_by_batch": ratios,
                    }
                )
    return rows


def measure_null(
    null: Bundle, features: NDArray[np.float32], cores: Cores, frames: int, rounds: int
) -> list[dict[str, Any]]:
    """A cloud half that does nothing: what a frame costs beside plain gRPC, one per message and several."""
    bare_us = 1e6 / _bare_frames_per_s(BareModel(null), features[:MAX_BATCH], cores.model, 2000)
    default = null.manifest.default_codec
    one, several = "one {} frame per message", f"{BULK_FRAMES} {default} frames per message"
    cases = {one.format(codec): traffic_of(null, features, codec) for codec in ("fp32", default)}
    rows = []
    with (
        floor_server(cores.model) as floor,
        cloud_server(null, model_core=cores.model, loop_core=cores.model) as server,
    ):
        plan = {
            "plain gRPC, nothing behind it": (floor, cases[one.format(default)]),
            **{what: (server, traffic) for what, traffic in cases.items()},
            several: (server, traffic_of(null, features, default, BULK_FRAMES)),
        }
        for streams in (1, 16):
            runs: dict[str, list[Run]] = {what: [] for what in plan}
            for _, (what, (process, traffic)) in product(range(rounds), plan.items()):
                runs[what].append(load(process, traffic, streams, frames, cores.client))
            for what, (process, traffic) in plan.items():
                figures = medians(runs[what])
                model_us = 0 if process is floor else bare_us
                messages_per_s = figures["frames_per_s"] / traffic.frames_per_message
                rows.append(
                    {
                        "what": what,
                        "streams": streams,
                        **figures,
                        "messages_per_s": rounded(messages_per_s),
                        "added_us_per_frame": rounded(1e6 / figures["frames_per_s"] - model_us),
                    }
                )
    return rows


def measure_latency(
    bundle: Bundle, cores: Cores, codec: str, seconds: float, streams: int = 16
) -> dict[str, Any]:
    """Poisson arrivals at half of the capacity found just before, against the compute alone.

    The same arrivals also go to plain gRPC with nothing behind it: what the way there and back takes.
    """
    features = edge_features(bundle)
    traffic = traffic_of(bundle, features, codec)
    with (
        floor_server(cores.client) as floor,
        cloud_server(bundle, model_core=cores.model, loop_core=cores.client) as server,
    ):
        capacity = load(server, traffic, streams, 1200, cores.client).figures["frames_per_s"]
        with on_core(cores.model):
            alone_s = BareModel(bundle).run_s(features[:1], 300)
        due_s = poisson_arrivals(capacity / 2, seconds)

        async def play(process: Child) -> list[float]:
            async with Streams(process.address, traffic, streams) as clients:
                await clients.send(2, 1)
                return await clients.send_at(due_s)

        with on_core(cores.client):
            served_s, floor_s = asyncio.run(play(server)), asyncio.run(play(floor))
    return {
        "layout": "model",
        "codec": codec,
        "streams": streams,
        "capacity_frames_per_s": rounded(capacity),
        "offered_frames_per_s": rounded(capacity / 2),
        "frames": len(served_s),
        "served_ms": _percentiles_ms(served_s),
        "plain_grpc_ms": _percentiles_ms(floor_s),
        "compute_alone_ms": _percentiles_ms(alone_s),
        "queue_alone_ms": _percentiles_ms(lone_queue_s(due_s, float(np.median(alone_s)))),
    }


def lone_queue_s(due_s: Sequence[float], service_s: float) -> list[float]:
    """Latencies of one server without batching or overhead that takes `service_s` a frame: the same arrivals.

    >>> lone_queue_s([0.0, 1.0, 10.0], 2.0)
    [2.0, 3.0, 2.0]
    """
    free_s, latencies = 0.0, []
    for due in due_s:
        free_s = max(free_s, due) + service_s
        latencies.append(free_s - due)
    return latencies


def _percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{rank}": rounded(np.percentile(seconds, rank) * 1000) for rank in (50, 99)}


def measure_growth(
    bundle: Bundle, features: NDArray[np.float32], cores: Cores, counts: Sequence[int], frames: int
) -> list[dict[str, Any]]:
    """Throughput, processor time and memory as streams grow; a fresh server for each number of them."""
    traffic = traffic_of(bundle, features, bundle.manifest.default_codec)
    rows = []
    for streams in counts:
        with cloud_server(bundle, model_core=cores.model, loop_core=cores.model) as server:
            load(server, traffic, 1, 64, cores.client)
            before_bytes = server.resident_bytes()
            window = max(1, min(WINDOW_FRAMES, MOST_IN_FLIGHT // streams))
            run = load(server, traffic, streams, max(frames, 2 * streams), cores.client, window)
            rows.append(
                {
                    "streams": streams,
                    **medians([run]),
                    "resident_mib_before": rounded(before_bytes / 2**20),
                    "resident_mib_open": rounded(run.resident_bytes / 2**20),
                    "resident_mib_after_load": rounded(server.resident_bytes() / 2**20),
                    "kib_per_stream": rounded((run.resident_bytes - before_bytes) / 1024 / streams),
                }
            )
    return rows

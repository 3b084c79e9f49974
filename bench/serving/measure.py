"""The measurements of `siftfunnel bench serving`; each gives JSON values.

The model's core runs the bare loop and the server in turn, repeats interleaved, medians reported.
"""

import asyncio
import gc
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from siftfunnel.bench.serving.load import Streams, Traffic, poisson_arrivals, prepare
from siftfunnel.bench.serving.processes import ServerProcess, cloud_server, running
from siftfunnel.bench.throughput import edge_features, open_cloud_half
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.wire import codec_by_name, make_codecs

MAX_BATCH = 16
BULK_FRAMES, BULK_BYTES = 16, 65536
WINDOW_FRAMES = 32
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


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This thread, and threads that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class BareModel:
    """The cloud half in a loop, one thread, on the model's core."""

    def __init__(self, bundle: Bundle, features: NDArray[np.float32], core: int) -> None:
        self._session = open_cloud_half(bundle)
        self._features = features
        self._core = core

    def frames_per_s(self, batch: int, frames: int) -> float:
        """Frames per second at one batch size."""
        seconds = self.run_s(batch, max(frames // batch, 2))
        return batch * len(seconds) / sum(seconds)

    def run_s(self, batch: int, runs: int) -> list[float]:
        """Seconds of each run."""
        piece = np.ascontiguousarray(self._features[:batch])
        seconds = []
        with pinned(self._core):
            for _ in range(runs):
                started_s = time.perf_counter()
                self._session.run(None, {"feature": piece})
                seconds.append(time.perf_counter() - started_s)
        return seconds


def traffic_of(
    bundle: Bundle, features: NDArray[np.float32], codec: str, frames_per_message: int = 1
) -> Traffic:
    """Prepared messages of some features."""
    chosen = codec_by_name(make_codecs(bundle.manifest, bundle.digest), codec)
    payloads = [chosen.encode(feature) for feature in features]
    return prepare(bundle.digest, chosen.index, payloads, frames_per_message)


def load(
    server: ServerProcess, traffic: Traffic, streams: int, frames: int, core: int, window: int = WINDOW_FRAMES
) -> dict[str, float]:
    """One closed-loop run after a short one that is dropped."""
    group = traffic.frames_per_message
    count = max(frames // streams // group, 1)

    async def play() -> dict[str, float]:
        async with Streams(server.address, traffic, streams) as clients:
            await clients.send(1, max(window // group, 1))
            clients.batch_sizes.clear()
            cpu_s, own_s = server.cpu_s(), time.process_time()
            seconds = await clients.send(count, max(window // group, 1))
            total = count * group * streams
            return {
                "frames_per_s": total / seconds,
                "server_cpu_us_per_frame": (server.cpu_s() - cpu_s) / total * 1e6,
                "client_cpu_us_per_frame": (time.process_time() - own_s) / total * 1e6,
                "mean_batch": float(np.mean(clients.batch_sizes)),
            }

    with pinned(core):
        gc.collect()
        return asyncio.run(play())


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of each figure, rounded to four digits."""
    return {key: rounded(np.median([run[key] for run in runs])) for key in runs[0]}


def rounded(value: Any) -> float:
    """Four significant digits."""
    return float(f"{float(value):.4g}")


def measure_throughput(
    bundle: Bundle, cores: Cores, codecs: Sequence[str], frames: int, rounds: int
) -> list[dict[str, Any]]:
    """One and sixteen streams and bulk against the bare loop, whole server or model alone on its core."""
    features = edge_features(bundle)
    bare = BareModel(bundle, features, cores.model)
    rows = []
    for layout in LAYOUTS:
        with cloud_server(
            bundle.directory, max_batch=MAX_BATCH, model_core=cores.model, loop_core=cores.of_loop(layout)
        ) as server:
            for codec, (streams, bulk) in product(codecs, ((1, False), (16, False), (1, True))):
                traffic = traffic_of(bundle, features, codec)
                if bulk:
                    group = min(BULK_FRAMES, BULK_BYTES // max(map(len, traffic.messages)))
                    traffic = traffic_of(bundle, features, codec, group)
                served, loops = [], {1: [], 16: []}  # type: tuple[list[dict[str, float]], dict[int, list[float]]]
                for _ in range(rounds):
                    served.append(load(server, traffic, streams, frames, cores.client))
                    for batch, rates in loops.items():
                        rates.append(bare.frames_per_s(batch, frames // 2))
                figures = medians(served)
                at = {batch: rounded(np.median(rates)) for batch, rates in loops.items()}
                rows.append(
                    {
                        "layout": layout,
                        "codec": codec,
                        "streams": streams,
                        "frames_per_message": traffic.frames_per_message,
                        **figures,
                        "bare_frames_per_s_by_batch": {str(batch): rate for batch, rate in at.items()},
                        "ratio_by_batch": {
                            str(batch): round(figures["frames_per_s"] / rate, 3) for batch, rate in at.items()
                        },
                    }
                )
    return rows


def measure_null(
    null: Bundle, features: NDArray[np.float32], cores: Cores, frames: int, rounds: int
) -> list[dict[str, Any]]:
    """A cloud half that does nothing: what a frame costs beside plain gRPC, one per message and several."""
    bare = BareModel(null, features, cores.model)
    bare_us = 1e6 / bare.frames_per_s(MAX_BATCH, 2000)
    single = traffic_of(null, features, "fp32"), traffic_of(null, features, null.manifest.default_codec)
    several = traffic_of(null, features, null.manifest.default_codec, BULK_FRAMES)
    names = ("fp32", null.manifest.default_codec)
    cases = [(f"one {name} frame per message", t) for name, t in zip(names, single, strict=True)]
    cases.append((f"{BULK_FRAMES} {names[1]} frames per message", several))
    rows = []
    core = str(cores.model)
    with (
        running("siftfunnel.bench.serving.floor_process", "--core", core) as floor,
        cloud_server(
            null.directory, max_batch=MAX_BATCH, model_core=cores.model, loop_core=cores.model
        ) as server,
    ):
        for streams in (1, 16):
            plan = [("plain gRPC, nothing behind it", floor, single[1])]
            plan += [(what, server, traffic) for what, traffic in cases]
            runs: dict[str, list[dict[str, float]]] = {what: [] for what, *_ in plan}
            for _ in range(rounds):
                for what, process, traffic in plan:
                    runs[what].append(load(process, traffic, streams, frames, cores.client))
            for what, process, traffic in plan:
                figures = medians(runs[what])
                group = traffic.frames_per_message
                rows.append(
                    {
                        "what": what,
                        "streams": streams,
                        **figures,
                        "messages_per_s": rounded(figures["frames_per_s"] / group),
                        "added_us_per_frame": rounded(
                            1e6 / figures["frames_per_s"] - (0 if process is floor else bare_us)
                        ),
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
        running("siftfunnel.bench.serving.floor_process", "--core", str(cores.client)) as floor,
        cloud_server(
            bundle.directory, max_batch=MAX_BATCH, model_core=cores.model, loop_core=cores.client
        ) as server,
    ):
        capacity = load(server, traffic, streams, 1200, cores.client)["frames_per_s"]
        alone_s = BareModel(bundle, features, cores.model).run_s(1, 300)
        due_s = poisson_arrivals(capacity / 2, seconds)

        async def play(process: ServerProcess) -> list[float]:
            async with Streams(process.address, traffic, streams) as clients:
                await clients.send(2, 1)
                return await clients.send_at(due_s)

        with pinned(cores.client):
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

    >>> lone_queue_s([0.0, 1.0], 2.0)
    [2.0, 3.0]
    """
    free_s, latencies = 0.0, []
    for due in due_s:
        free_s = max(free_s, due) + service_s
        latencies.append(free_s - due)
    return latencies


def _percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{rank}": rounded(np.percentile(seconds, rank) * 1000) for rank in (50, 99)}


def measure_growth(
    bundle: Bundle,
    features: NDArray[np.float32],
    cores: Cores,
    counts: Sequence[int],
    frames: int,
) -> list[dict[str, Any]]:
    """Throughput, processor time and memory as streams grow; a fresh server for each number of them."""
    traffic = traffic_of(bundle, features, bundle.manifest.default_codec)
    rows = []
    for streams in counts:
        with cloud_server(
            bundle.directory, max_batch=MAX_BATCH, model_core=cores.model, loop_core=cores.model
        ) as server:
            load(server, traffic, 1, 64, cores.client)
            before_bytes = server.resident_bytes()
            idle_bytes, figures = _grown(server, traffic, streams, max(frames, 2 * streams), cores.client)
            rows.append(
                {
                    "streams": streams,
                    **figures,
                    "resident_mib_before": rounded(before_bytes / 2**20),
                    "resident_mib_open": rounded(idle_bytes / 2**20),
                    "resident_mib_after_load": rounded(server.resident_bytes() / 2**20),
                    "kib_per_stream": rounded((idle_bytes - before_bytes) / 1024 / streams),
                }
            )
    return rows


def _grown(
    server: ServerProcess, traffic: Traffic, streams: int, frames: int, core: int
) -> tuple[int, dict[str, float]]:
    window = max(1, min(WINDOW_FRAMES, 1024 // streams))

    async def play() -> tuple[int, dict[str, float]]:
        async with Streams(server.address, traffic, streams) as clients:
            # one frame on each, so that every stream is open and has served
            await clients.send(1, 1)
            idle_bytes = server.resident_bytes()
            cpu_s = server.cpu_s()
            count = max(frames // streams, 1)
            seconds = await clients.send(count, window)
            total = count * streams
            cpu_us = (server.cpu_s() - cpu_s) / total * 1e6
            return idle_bytes, {
                "frames_per_s": rounded(total / seconds),
                "server_cpu_us_per_frame": rounded(cpu_us),
            }

    with pinned(core):
        return asyncio.run(play())


def null_at(directory: Path, bundle: Bundle) -> Bundle:
    """The null bundle of a real one."""
    from siftfunnel.bench.serving.null_bundle import write_null_bundle

    return write_null_bundle(directory, bundle)

"""What an honest client waits beside a greedy one: `siftfunnel bench fairness`.

The server has a core of its own. The honest client sends a fifth of what the server can do, at Poisson times;
the greedy one has sixteen streams and as many frames under way as it is let. Both share the other core, where
the honest one goes first.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from siftfunnel.bench.children import Child, announced, child, tell, until_told
from siftfunnel.bench.cores import on_core, two_cores
from siftfunnel.bench.halves import edge_features
from siftfunnel.bench.output import show
from siftfunnel.bench.serving.streams import Streams, poisson_arrivals, traffic_of
from siftfunnel.shared.access import ClientLimits, Right, hash_of
from siftfunnel.shared.bundle import load_bundle
from siftfunnel.shared.children import python_module

HONEST, GREEDY = "honest-client-of-the-bench", "greedy-client-of-the-bench"
SHARE = 0.2
HONEST_STREAMS, GREEDY_STREAMS, GREEDY_WINDOW = 4, 16, 64
ANY_NUMBER = 1 << 20
CASES = {
    "alone": "the honest client by itself",
    "one client": "both show the same token, as two behind one address do: no turns, no limits",
    "turns": "each shows its own: they take turns in the queue",
    "limits": "likewise, with the default of {frames} frames of one client under way",
    "rate": "likewise, and the greedy one may send {share:.0%} of what the server can do",
}


def measure_fairness(path: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """All cases in turn, `rounds` times; JSON values.

    Args:
        path: of a bundle.
        rounds: interleaved repeats.
        seconds: of one run.

    Raises:
        ValueError: not Linux, or fewer than two usable cores.
    """
    server_core, client_core = two_cores()
    bundle = load_bundle(path)
    traffic = traffic_of(bundle, edge_features(bundle), bundle.manifest.default_codec)
    found: dict[str, dict[str, list[float]]] = {
        case: {"honest_s": [], "greedy_frames_per_s": []} for case in CASES
    }

    async def honest(address: str, due_s: Sequence[float]) -> list[float]:
        async with Streams(address, traffic, HONEST_STREAMS, HONEST) as streams:
            await streams.send(2, 1)
            return await streams.send_at(due_s)

    async def capacity(address: str) -> float:
        async with Streams(address, traffic, GREEDY_STREAMS, GREEDY) as streams:
            await streams.send(8, 8)
            return 100 * GREEDY_STREAMS / await streams.send(100, 8)

    with _server(path, server_core, ANY_NUMBER) as server, on_core(client_core):
        most = asyncio.run(capacity(server.address))
    for number in range(rounds):
        for case, figures in found.items():
            show(f"round {number + 1}: {CASES[case]} ...")
            due_s = poisson_arrivals(SHARE * most, seconds, seed=number)
            frames = ClientLimits().frames if case in ("limits", "rate") else ANY_NUMBER
            rate = SHARE * most if case == "rate" else None
            with _server(path, server_core, frames, rate) as server, on_core(client_core):
                if case == "alone":
                    figures["honest_s"] += asyncio.run(honest(server.address, due_s))
                    continue
                token = HONEST if case == "one client" else GREEDY
                with _greedy(path, server.address, token) as hog:
                    figures["honest_s"] += asyncio.run(honest(server.address, due_s))
                    hog.process.terminate()
                    figures["greedy_frames_per_s"].append((hog.hear() or {})["frames_per_s"])
    alone_ms = _percentile_ms(found["alone"]["honest_s"], 99)
    return {
        "bundle": bundle.manifest.name,
        "digest": bundle.digest,
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "capacity_frames_per_s": round(most),
            "honest_frames_per_s": round(SHARE * most),
            "honest_streams": HONEST_STREAMS,
            "greedy_streams": GREEDY_STREAMS,
            "greedy_window": GREEDY_WINDOW,
        },
        "cases": [
            {
                "case": case,
                "about": about.format(frames=ClientLimits().frames, share=SHARE),
                "frames": len(found[case]["honest_s"]),
                "p50_ms": _percentile_ms(found[case]["honest_s"], 50),
                "p99_ms": _percentile_ms(found[case]["honest_s"], 99),
                "p99_over_alone": round(_percentile_ms(found[case]["honest_s"], 99) / alone_ms, 2),
                "greedy_frames_per_s": round(float(np.mean(found[case]["greedy_frames_per_s"] or [0]))),
            }
            for case, about in CASES.items()
        ],
    }


def _percentile_ms(seconds: Sequence[float], rank: float) -> float:
    return round(float(np.percentile(seconds, rank)) * 1000, 2)


@contextmanager
def _server(bundle: Path, core: int, frames: int, greedy_rate: float | None = None) -> Iterator[Child]:
    """`siftfunnel cloud` on one core, which knows both clients."""
    with tempfile.TemporaryDirectory() as scratch:
        clients = Path(scratch) / "clients.toml"
        clients.write_text("".join(_told(token, greedy_rate) for token in (HONEST, GREEDY)))
        command = python_module(
            "siftfunnel", "cloud", "--bundle", str(bundle), "--listen", "127.0.0.1:0",
            "--log-level", "warning", "--clients", str(clients),
            "--max-frames-per-client", str(frames), "--queue-limit", "8192",
        )  # fmt: skip
        with on_core(core), announced(command) as server:
            yield server


def _told(token: str, greedy_rate: float | None) -> str:
    limit = f"frames-per-second = {greedy_rate}\n" if greedy_rate and token == GREEDY else ""
    name, right = token.partition("-")[0], Right.INFER
    return f'[clients.{name}]\ntoken-sha256 = "{hash_of(token)}"\nrights = ["{right}"]\n{limit}'


@contextmanager
def _greedy(bundle: Path, address: str, token: str) -> Iterator[Child]:
    command = child(send_without_end, bundle=str(bundle), address=address, token=token)
    with announced(command) as hog:
        yield hog


def send_without_end(bundle: str, address: str, token: str) -> None:
    """Keep sixteen streams full until told to tell how many frames a second were answered."""
    os.nice(19)
    loaded = load_bundle(Path(bundle))
    traffic = traffic_of(loaded, edge_features(loaded), loaded.manifest.default_codec)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        stop, answered, begun_s = until_told(), 0, loop.time()
        async with Streams(address, traffic, GREEDY_STREAMS, token) as streams:
            await streams.send(1, 1)
            tell(sending=True)
            said = asyncio.create_task(stop.wait())
            while not said.done():
                await streams.send(GREEDY_WINDOW, GREEDY_WINDOW)
                answered += GREEDY_WINDOW * GREEDY_STREAMS
            tell(frames_per_s=answered / (loop.time() - begun_s))

    asyncio.run(run())

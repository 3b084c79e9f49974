"""Serving figures: the parts on tiny bundles and real processes; no figure is asserted."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from siftfunnel.bench.halves import edge_features
from siftfunnel.bench.pages import render_serving
from siftfunnel.bench.serving.measure import load
from siftfunnel.bench.serving.servers import cloud_server
from siftfunnel.bench.serving.streams import Streams, poisson_arrivals, prepare, traffic_of
from siftfunnel.cli import main
from siftfunnel.shared.bundle import Bundle
from tests.tinybundle import make_tiny_bundle

CORE = min(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("serving") / "tiny")


def test_a_server_answers_single_and_bulk_traffic_and_every_frame_is_checked(tiny: Bundle) -> None:
    features = edge_features(tiny, 16)
    with cloud_server(tiny, max_batch=4, model_core=CORE, loop_core=CORE) as server:
        for frames_per_message in (1, 4):
            traffic = traffic_of(tiny, features, "q4", frames_per_message)
            figures = load(server, traffic, streams=2, frames=64, core=CORE).figures
            assert figures["frames_per_s"] > 0
            assert 1 <= figures["mean_batch"] <= 4
        assert server.resident_bytes() > 1 << 20

        async def play() -> list[float]:
            async with Streams(server.address, traffic_of(tiny, features, "fp32"), 3) as clients:
                return await clients.send_at([0.0, 0.01, 0.02, 0.03])

        latencies = asyncio.run(play())
        assert len(latencies) == 4
        assert min(latencies) > 0

        async def refused() -> float:
            async with Streams(server.address, prepare(tiny.digest, 0, [b"no payload"]), 1) as clients:
                return await clients.send(1, 1)

        with pytest.raises(RuntimeError, match="frame 0 was refused: codec fp32"):
            asyncio.run(refused())


def test_arrivals_are_poisson_and_repeatable() -> None:
    times = poisson_arrivals(200, 10)
    assert times == sorted(times) == poisson_arrivals(200, 10)
    assert times[-1] < 10
    assert abs(len(times) - 2000) < 200


def test_the_table_shows_every_row() -> None:
    figures = {"frames_per_s": 100.0, "server_cpu_us_per_frame": 50.0, "client_cpu_us_per_frame": 40.0}
    percentiles = {"p50": 1.0, "p99": 2.0}
    row = {"streams": 10, **figures, "resident_mib_open": 90.0, "kib_per_stream": 33.0}
    result = {
        "provenance": {"machine": {"processor": "a processor", "cores": 2}},
        "bundle": "tiny",
        "pinned": {"model_core": 0, "client_core": 1, "layouts": {"server": "all of it"}},
        "settings": {"rounds": 5, "frames_per_round": 100, "max_batch": 16, "window_frames": 32},
        "throughput": [
            {
                **figures,
                "layout": "server",
                "codec": "q4",
                "streams": 16,
                "frames_per_message": 4,
                "mean_batch": 15.9,
                "bare_frames_per_s_by_batch": {"1": 90.0, "16": 110.0},
                "ratio_by_batch": {"1": 1.111, "16": 0.909},
            }
        ],
        "null": [
            {"what": "one", "streams": 1, "messages_per_s": 100.0, "added_us_per_frame": 9.0, **figures}
        ],
        "latency": [
            {
                "codec": "q4",
                "offered_frames_per_s": 50.0,
                "capacity_frames_per_s": 100.0,
                "plain_grpc_ms": {"p50": 0.5, "p99": 0.7},
                **dict.fromkeys(("served_ms", "compute_alone_ms", "queue_alone_ms"), percentiles),
            }
        ],
        "growth": {"null": [row], "model": [row]},
    }
    page = render_serving(result)
    assert "| server | q4 | 16 | 4 | 100 | 0.909 of 110 | 1.111 of 90 | 15.9 | 50 |" in page
    assert "| one | 1 | 100 | 100 | 9 | 50 | 40 |" in page
    both = "1.00 ms | 2.00 ms"
    assert f"| q4 | 50/s of 100 | {both} | 0.50 ms | 0.70 ms | {both} | {both} |" in page
    assert "| 10 | 100 | 50 | 90 | 33 | 100 | 50 |" in page


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="server and client need a core each")
def test_the_command_measures_everything_it_shows(tiny: Bundle, tmp_path: Path) -> None:
    out, table = tmp_path / "results" / "serving.json", tmp_path / "serving.md"
    few = ["--rounds", "1", "--frames", "32", "--seconds", "0.2", "--streams", "1", "3", "--codec", "q4"]
    command = ["bench", "serving", "--bundle", str(tiny.directory), *few]
    assert main([*command, "--out", str(out), "--table", str(table)]) == 0
    result = json.loads(out.read_text())
    assert {(row["layout"], row["streams"]) for row in result["throughput"]} == {
        (layout, streams) for layout in ("server", "model") for streams in (1, 16)
    }
    assert [row["streams"] for row in result["growth"]["model"]] == [1, 3]
    assert all(row["resident_mib_open"] > 1 for row in result["growth"]["null"])
    assert len(result["null"]) == 8
    assert result["latency"][0]["served_ms"]["p99"] > 0
    assert table.read_text() == render_serving(result)

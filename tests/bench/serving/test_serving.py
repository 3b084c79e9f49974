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

"""Serving figures: the parts on tiny bundles and real processes; no figure is asserted."""

import asyncio
import os
from pathlib import Path

import pytest

from siftfunnel.bench.cli import add_bench_parser
from siftfunnel.bench.serving.cli import _cores
from siftfunnel.bench.serving.load import Streams, poisson_arrivals, prepare
from siftfunnel.bench.serving.measure import Cores, load, lone_queue_s, medians, traffic_of
from siftfunnel.bench.serving.null_bundle import write_null_bundle
from siftfunnel.bench.serving.processes import cloud_server
from siftfunnel.bench.serving.table import render_serving, series
from siftfunnel.bench.throughput import edge_features
from siftfunnel.shared.bundle import Bundle
from tests.tinybundle import make_tiny_bundle, run_model

CORE = min(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("serving") / "tiny")


def test_a_null_bundle_takes_the_features_and_codecs_of_the_real_one(tiny: Bundle, tmp_path: Path) -> None:
    null = write_null_bundle(tmp_path / "null", tiny)
    assert (null.manifest.feature, null.manifest.codecs) == (tiny.manifest.feature, tiny.manifest.codecs)
    logits = run_model(null.path("cloud.onnx").read_bytes(), edge_features(tiny, 2))
    assert logits.shape == (2, len(tiny.manifest.classes))


def test_a_server_answers_single_and_bulk_traffic_and_every_frame_is_checked(tiny: Bundle) -> None:
    features = edge_features(tiny, 16)
    with cloud_server(tiny.directory, max_batch=4, model_core=CORE, loop_core=CORE) as server:
        for frames_per_message in (1, 4):
            traffic = traffic_of(tiny, features, "q4", frames_per_message)
            figures = load(server, traffic, streams=2, frames=64, core=CORE)
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


def test_a_lone_queue_makes_frames_wait_for_one_another() -> None:
    assert lone_queue_s([0.0, 1.0, 10.0], 2.0) == [2.0, 3.0, 2.0]


def test_medians_are_taken_figure_by_figure() -> None:
    assert medians([{"a": 1.0}, {"a": 3.0}, {"a": 100.0}]) == {"a": 3.0}


def test_cores_are_two_and_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5})
    assert _cores(None, None) == (2, 5)
    assert _cores(5, None) == (5, 2)
    assert _cores(None, 2) == (5, 2)
    for wrong in ((2, 2), (0, 2), (7, None)):
        with pytest.raises(ValueError, match="two different cores"):
            _cores(*wrong)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    with pytest.raises(ValueError, match=r"may use \[3\]"):
        _cores(None, None)


def test_the_event_loop_runs_beside_the_model_or_beside_the_client() -> None:
    cores = Cores(model=0, client=1)
    assert (cores.of_loop("server"), cores.of_loop("model")) == (0, 1)


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
    assert series(result) == {
        "streams": [10],
        "model_frames_per_s": [100.0],
        "null_frames_per_s": [100.0],
    }


def test_the_command_is_there() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_bench_parser(parser.add_subparsers())
    args = parser.parse_args(["bench", "serving", "--bundle", "x"])
    assert (args.rounds, args.streams) == (5, [1, 10, 100, 1000])

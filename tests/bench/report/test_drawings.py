"""Drawings show what was measured."""

import pytest

from siftfunnel.bench.report.drawings import (
    peers_drawings,
    ratios_of,
    stages_drawing,
    throughput_curves,
    throughput_drawings,
)
from siftfunnel.bench.report.fronts import front_drawing
from tests.bench.report import made
from tests.drawn import tips

LINKS = ["gprs", "wifi"]
STREAMS = (1, 2, 3, 4, 8, 16, 64, 256, 1_000)


def peers_document() -> dict[str, object]:
    speeds = {"siftfunnel": 200.0, "grpc": 210.0, "triton": 100.0}

    def row(peer: str, speed: float) -> dict[str, object]:
        cells = [
            {"round": turn, "clients": clients, "frames_per_s": speed + turn, "p99_ms": 1e4 / speed}
            for turn in range(3)
            for clients in (1, 16)
        ]
        return {"peer": peer, "wire": "w", "stopped": None, "cells": cells}

    labels = {"siftfunnel": "siftfunnel cloud", "grpc": "plain gRPC", "triton": "Triton, Python backend"}
    return {
        "peers": [{"peer": peer, "label": label} for peer, label in labels.items()],
        "models": [
            {"model": model, "rows": [row(*each) for each in speeds.items()]} for model in ("real", "null")
        ],
    }


def serving_document() -> dict[str, object]:
    points = [{"streams": each, "frames_per_s": 1_000 * each**0.3} for each in STREAMS]
    slower = [{"streams": each, "frames_per_s": 200 - each / 10} for each in STREAMS]
    layouts = [{**row, "layout": "server", "codec": codec} for codec in ("q4", "fp32") for row in slower]
    return {"throughput": layouts, "null": [], "growth": {"null": points, "model": slower[:1]}}


def test_every_stage_of_every_cell_is_drawn() -> None:
    stages = stages_drawing(made.cells(LINKS), "drawnfaces", "SingleStream")
    assert stages is not None
    found = tips(stages.svg)
    assert len([tip for tip in found if tip.startswith("siftfunnel, edge only, ")]) == 2 * len(LINKS)
    assert len([tip for tip in found if tip.startswith("siftfunnel, split q4, ")]) == 8 * len(LINKS)


def test_the_front_shows_accuracy_and_leakage_and_leaves_a_point_far_below_the_best_to_the_table() -> None:
    front = made.front()
    front["points"].append(made.point("jpeg", None, "jpeg-q5", 300, 0.4, 20.0))
    drawing = front_drawing(front)
    assert drawing is not None
    found = tips(drawing.svg)
    assert "siftfunnel, rate-trained, r1: 150.0 bytes, 96.50" in found
    assert "siftfunnel, rate-trained, r1: 150.0 bytes, 15.90" in found
    assert not any("r2: 220.0 bytes, 1" in tip or "jpeg-q5" in tip for tip in found)


def test_there_is_no_drawing_of_nothing() -> None:
    assert stages_drawing([], "drawnfaces", "SingleStream") is None
    assert front_drawing(made.front() | {"points": []}) is None
    empty = {"throughput": [], "null": [], "growth": {"null": [], "model": []}}
    assert throughput_drawings(empty) == ()
    assert peers_drawings({"peers": [], "models": [{"model": "real", "rows": []}]}) == ()


def test_one_number_of_streams_is_no_series() -> None:
    assert list(throughput_curves(serving_document())) == [
        "throughput server q4",
        "throughput server fp32",
        "growth null",
    ]


def test_ratios_of_peers_are_medians_over_rounds_and_above_1_is_ours_ahead() -> None:
    document = peers_document()
    models = document["models"]
    assert isinstance(models, list)
    found = ratios_of(models[0], {"triton": "Triton"})
    assert list(found) == [
        "throughput, 1 client",
        "p99, 1 client",
        "throughput, 16 clients",
        "p99, 16 clients",
    ]
    assert found["throughput, 1 client"]["Triton"] == pytest.approx(201 / 101)
    assert found["p99, 1 client"] == pytest.approx({"grpc": 200 / 210, "Triton": 2.0})

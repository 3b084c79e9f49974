"""Drawings are well-formed and deterministic, and no two of their labels overlap."""

from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import pytest

from siftfunnel.bench.report.curves import curves_in, ratio_svg, throughput_drawing
from siftfunnel.bench.report.fronts import front_drawing, log_ticks
from siftfunnel.bench.report.peers import peers_drawings, ratios_of
from siftfunnel.bench.report.stages import stages_drawing
from siftfunnel.lab.tables.svg import LETTER_WIDTH
from tests.bench.report import made

SVG = "{http://www.w3.org/2000/svg}"
HEIGHT = 11.0
LINKS = ["gprs", "2g", "good-3g", "slow-4g", "lte", "wifi", "5g-like", "none"]
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
    return {"provenance": made.PROVENANCE, "null_model": points, "bundle": {"q4": slower, "fp32": slower}}


def drawn() -> Iterator[tuple[str, str]]:
    stages = stages_drawing(made.cells(LINKS), "drawnfaces", "SingleStream")
    assert stages is not None
    yield "stages", stages.svg
    front = front_drawing(made.front())
    assert front is not None
    yield "front", front.svg
    throughput = throughput_drawing(serving_document())
    assert throughput is not None
    yield "throughput", throughput.svg
    for drawing in peers_drawings(peers_document()):
        yield drawing.file, drawing.svg


DRAWN = dict(drawn())


def boxes(drawing: ElementTree.Element) -> Iterator[tuple[str, float, float, float, float]]:
    """Text and its left, top, right and bottom; a turned text is upright."""
    for text in drawing.iter(f"{SVG}text"):
        x, y, words = float(text.get("x", 0)), float(text.get("y", 0)), text.text or ""
        width = LETTER_WIDTH * len(words)
        before = {"start": 0.0, "middle": width / 2, "end": width}[text.get("text-anchor", "start")]
        if text.get("transform"):
            yield words, x - HEIGHT, y - width + before, x, y + before
        else:
            yield words, x - before, y - HEIGHT + 2, x - before + width, y + 2


@pytest.mark.parametrize("name", DRAWN)
def test_no_two_labels_overlap(name: str) -> None:
    found = list(boxes(ElementTree.fromstring(DRAWN[name])))
    assert len(found) > 5
    overlapping = [
        (a[0], b[0])
        for a, b in combinations(found, 2)
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]
    assert overlapping == []


@pytest.mark.parametrize("name", DRAWN)
def test_all_that_is_drawn_lies_within_the_picture(name: str) -> None:
    drawing = ElementTree.fromstring(DRAWN[name])
    width, height = float(drawing.get("width", 0)), float(drawing.get("height", 0))
    for words, left, top, right, bottom in boxes(drawing):
        assert 0 <= left <= right <= width + 4, words
        assert 0 <= top <= bottom <= height, words
    for rect in drawing.iter(f"{SVG}rect"):
        assert float(rect.get("x", 0)) + float(rect.get("width", 0)) <= width
        assert float(rect.get("width", 0)) >= 0


def test_the_same_results_give_the_same_drawings() -> None:
    assert dict(drawn()) == DRAWN


def tips(name: str) -> list[str]:
    drawing = ElementTree.fromstring(DRAWN[name])
    found = (
        element.findtext(f"{SVG}title")
        for kind in ("rect", "circle")
        for element in drawing.iter(f"{SVG}{kind}")
    )
    return [tip for tip in found if tip]


def test_every_stage_of_every_cell_is_drawn_in_its_length() -> None:
    found = tips("stages")
    assert len([tip for tip in found if tip.startswith("siftfunnel, edge only, ")]) == 2 * len(LINKS)
    assert len([tip for tip in found if tip.startswith("siftfunnel, split q4, ")]) == 8 * len(LINKS)


def test_the_front_shows_accuracy_and_leakage() -> None:
    found = tips("front")
    assert "siftfunnel, rate-trained, r1: 150.0 bytes, 96.50" in found
    assert "siftfunnel, rate-trained, r1: 150.0 bytes, 15.90" in found
    assert not any("r2: 220.0 bytes, 1" in tip for tip in found)


def test_a_point_far_below_the_best_is_left_to_the_table() -> None:
    front = made.front()
    front["points"].append(made.point("jpeg", None, "jpeg-q5", 300, 0.4, 20.0))
    made_drawing = front_drawing(front)
    assert made_drawing is not None
    assert "jpeg-q5" not in made_drawing.svg
    assert "15 or more percentage points below the best" in made_drawing.caption


def test_there_is_no_drawing_of_nothing() -> None:
    assert stages_drawing([], "drawnfaces", "SingleStream") is None
    assert front_drawing(made.front() | {"points": []}) is None
    assert throughput_drawing({"provenance": {}, "latency": {"p50": 3.0}}) is None
    assert peers_drawings({"peers": [], "models": [{"model": "real", "rows": []}]}) == ()


def test_series_are_found_wherever_they_lie() -> None:
    value = {
        "one": {"points": [{"streams": 4, "frames_per_s": 9}, {"streams": 1, "frames_per_s": 5}]},
        "two": [{"engine": "onnx", "streams": s, "frames_per_s": s} for s in (1, 2)]
        + [{"engine": "torch", "streams": s, "frames_per_s": s} for s in (1, 2)],
        "alone": {"streams": 1, "frames_per_s": 5},
        "no number": [{"streams": "many", "frames_per_s": 1}],
    }
    assert curves_in(value, "streams", "frames_per_s") == {
        "one points": [(1.0, 5.0), (4.0, 9.0)],
        "two onnx": [(1.0, 1.0), (2.0, 2.0)],
        "two torch": [(1.0, 1.0), (2.0, 2.0)],
    }


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


@pytest.mark.parametrize("values", [[60.0, 12_000.0], [1.0, 1.0], [150.0, 151.0], [3.0, 9e6]])
def test_logarithmic_ticks_span_their_values_and_rise(values: list[float]) -> None:
    found = log_ticks(values)
    assert found[0] <= min(values)
    assert found[-1] >= max(values)
    assert found == sorted(set(found))
    assert 2 <= len(found) <= 10


def test_bars_of_ratios_reach_to_their_values() -> None:
    svg = ratio_svg({"a group": {"one": 0.5, "two": 2.0}}, "title", "unit")
    widths = [
        float(rect.get("width", 0))
        for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect")
        if rect.findtext(f"{SVG}title")
    ]
    assert widths[1] == pytest.approx(4 * widths[0], abs=0.5)

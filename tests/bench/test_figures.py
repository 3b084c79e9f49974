"""The bench measures real processes; its figures are never asserted, their arithmetic and their shape are."""

import json

import pytest
from PIL import Image

from bench.edge_latency import interleaved_medians_ms, measure_edge_latency
from siftfunnel.cli import main
from tests.tinybundle import make_tiny_bundle


def test_calls_take_turns_and_warm_up_first():
    order = []
    interleaved_medians_ms({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=20)
    assert order == ["a", "b"] * 22


def test_edge_latency_names_both_networks_and_their_parameters():
    result = measure_edge_latency(width=32, input_size=32, rounds=2)
    assert result["edge_parameters"] == {"cnn-siftfunnel": 8314, "cnn-unprotected": 19584}
    ratio = result["edge_ms_p50"]["cnn-siftfunnel"] / result["edge_ms_p50"]["cnn-unprotected"]
    assert result["siftfunnel_to_unprotected"] == pytest.approx(ratio, rel=0.05)


def test_figures_against_a_real_server(tmp_path):
    bundle = make_tiny_bundle(tmp_path / "tiny")
    picture = tmp_path / "grey.png"
    Image.new("RGB", (40, 30), "grey").save(picture)
    out = tmp_path / "figures.json"
    arguments = [
        "bench",
        "figures",
        "--bundle",
        str(bundle.directory),
        "--picture",
        str(picture),
        "--out",
        str(out),
    ]
    parts = ["--only", "first-answer", "--only", "stream", "--codec", "q4", "--frames", "64"]
    assert main([*arguments, *parts]) == 0
    result = json.loads(out.read_text())
    assert result["digest"] == bundle.digest
    assert result["first_answer"]["rounds"] == 5
    assert [row["codec"] for row in result["stream"]] == ["q4"]
    assert result["stream"][0]["stream_frames_per_s"] > 0
    assert result["provenance"]["machine"]["cores"] >= 1

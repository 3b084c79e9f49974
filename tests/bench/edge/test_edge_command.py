"""`siftfunnel bench edge`: no figure is asserted; what figures stand for, their shape and page are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siftfunnel.bench.edge import cli, device
from siftfunnel.bench.edge.codecs import measure_against_jpeg, measure_codecs
from siftfunnel.bench.edge.device import vector_flags
from siftfunnel.bench.edge.graphs import (
    fresh_network,
    measure_accuracy,
    operator_times,
    plain_export,
    quantise,
)
from siftfunnel.bench.edge.table import render_edge
from siftfunnel.cli import main
from siftfunnel.lab.export.bundle import convert
from siftfunnel.lab.onnx_runner import Runner
from siftfunnel.lab.turns import interleaved_times_ms
from siftfunnel.shared.bundle import Bundle
from siftfunnel.shared.wire import calibrate_signed, make_codecs
from tests.shared.wire.test_codec import DIGEST, manifest_with
from tests.tinybundle import make_tiny_bundle

PICTURES = np.random.default_rng(0).standard_normal((4, 3, 32, 32), dtype=np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("edge") / "tiny")


@pytest.fixture(scope="module")
def result(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("edge")
    picture, out = folder / "grey.png", folder / "results" / "edge.json"
    Image.new("RGB", (40, 30), "grey").save(picture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "SIZES", ((32, 32),))
        patch.setattr(device, "FIRST_ANSWERS", 1)
        arguments = ["--bundle", str(bundle.directory), "--picture", str(picture), "--rounds", "2"]
        assert main(["bench", "edge", *arguments, "--out", str(out)]) == 0
    written: dict[str, Any] = json.loads(out.read_text())
    return written


def test_calls_take_turns_and_warm_up_first() -> None:
    order = []
    interleaved_times_ms({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=20)
    assert order == ["a", "b"] * 22


def test_every_network_is_timed_in_every_variant(result: dict[str, Any]) -> None:
    (network,) = result["networks"]
    assert (network["width"], network["input_size"], network["threads"]) == (32, 32, 1)
    assert network["edge_parameters"] == {"cnn-siftfunnel": 8314, "cnn-unprotected": 19584}
    names = {
        f"cnn-{name}/{kind}" for name in ("siftfunnel", "unprotected") for kind in ("plain", "ours", "int8")
    }
    assert network["edge_ms"].keys() == network["operators"].keys() == names
    for kind, ratio in network["siftfunnel_to_unprotected"].items():
        ours, theirs = (network["edge_ms"][f"cnn-{name}/{kind}"] for name in ("siftfunnel", "unprotected"))
        assert ratio == pytest.approx(ours["p50"] / theirs["p50"], abs=1e-3)
        assert ours["p25"] <= ours["p50"] <= ours["p75"]


def test_each_bundle_has_its_stages_and_its_first_answer(result: dict[str, Any]) -> None:
    (bundle,) = result["bundles"]
    assert bundle["name"] == "tiny"
    assert list(bundle["frame"]["stages_ms"]) == ["prepare", "model", "encode", "whole"]
    assert bundle["frame"]["payload_bytes_mean"] > 0
    assert bundle["first_answer"]["start_to_first_answer_s_p50"] > 0
    assert bundle["first_answer"]["resident_megabytes_max"] > 1
    assert "int8" not in bundle
    assert result["provenance"]["machine"]["cores"] >= 1


def test_the_page_shows_what_was_measured(result: dict[str, Any]) -> None:
    page = render_edge(result)
    ratio = result["networks"][0]["siftfunnel_to_unprotected"]["ours"]
    (line,) = [line for line in page.splitlines() if "as `siftfunnel lab export` writes it" in line]
    assert line.endswith(f"| {ratio:.2f} |")
    assert "## Eight bits" not in page
    assert "## Installed" not in page
    weighed = {**result, "install": {"packages": 2, "megabytes": 3.5, "names": ["numpy", "pillow"]}}
    assert "2 packages, 3.5 MB beside Python and this project: numpy, pillow." in render_edge(weighed)


def test_operators_of_the_page_add_up_to_all(result: dict[str, Any]) -> None:
    rows = result["networks"][0]["operators"]["cnn-siftfunnel/ours"]
    assert [row["us"] for row in rows] == sorted((row["us"] for row in rows), reverse=True)
    (line,) = [line for line in render_edge(result).splitlines() if line.startswith("| **all**")]
    total, nodes = sum(row["us"] for row in rows), sum(row["nodes"] for row in rows)
    assert line.endswith(f"| {total:.0f} ({nodes}) |")


@pytest.mark.parametrize("architecture", ["cnn-siftfunnel", "cnn-unprotected"])
def test_both_exports_compute_the_same(architecture: str) -> None:
    network = fresh_network(architecture, width=32, input_size=32)
    plain, ours = (
        Runner(graph).first(PICTURES) for graph in (plain_export(network), convert(network).edge_onnx)
    )
    # ours stores weights in half precision
    np.testing.assert_allclose(ours, plain, atol=5e-3 * np.abs(plain).max())


def test_our_export_runs_fewer_nodes_than_the_plain_one(result: dict[str, Any]) -> None:
    operators = result["networks"][0]["operators"]
    nodes = {name: sum(row["nodes"] for row in rows) for name, rows in operators.items()}
    assert nodes["cnn-siftfunnel/ours"] < nodes["cnn-siftfunnel/plain"]
    assert nodes["cnn-unprotected/ours"] < nodes["cnn-unprotected/plain"]


def test_eight_bits_stay_near_float32_and_are_really_eight_bits() -> None:
    exact = convert(fresh_network("cnn-siftfunnel", width=32, input_size=32)).edge_onnx
    coarse = quantise(exact, PICTURES)
    expected, found = Runner(exact).first(PICTURES), Runner(coarse).first(PICTURES)
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    assert 0 < error < 0.1
    operators = {row["operator"] for row in operator_times(coarse, PICTURES[:1], rounds=2)}
    assert "QLinearConv" in operators


def test_accuracy_in_eight_bits_is_that_of_the_bundles_own_cloud_half(bundle: Bundle) -> None:
    edge, cloud = (Runner(bundle.path(name)) for name in ("edge.onnx", "cloud.onnx"))
    labels = cloud.first(edge.first(PICTURES)).argmax(1)
    figures = measure_accuracy(bundle, PICTURES, PICTURES, labels)
    assert (figures["pictures"], figures["calibrated_on"]) == (4, 4)
    assert figures["accuracy_float32"] == 1
    assert 0 < figures["feature_error"] < 0.1


def test_each_codec_is_timed_right_after_the_edge_half_and_again_and_shown(
    bundle: Bundle, result: dict[str, Any]
) -> None:
    assert "## Codecs" not in render_edge(result)
    measured = measure_codecs(bundle, PICTURES, rounds=2)
    assert (measured["pictures"], measured["edge_width"]) == (4, 128)
    assert [codec["name"] for codec in measured["codecs"]] == [codec.name for codec in bundle.manifest.codecs]
    for codec in measured["codecs"]:
        for which in ("first", "again"):
            both = codec[which]["encode_ms"]["p50"] + codec[which]["decode_ms"]["p50"]
            assert codec[which]["to_edge"] == pytest.approx(both / measured["edge_ms"]["p50"], rel=0.01)
    page = render_edge({**result, "bundles": [{**result["bundles"][0], "codecs": measured}]})
    assert "## Codecs of tiny" in page
    last = measured["codecs"][-1]
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {last['name']} |")]
    assert line.endswith(f"| {100 * last['again']['to_edge']:.1f} % |")


def test_every_codec_stands_beside_the_jpegs_of_the_pictures_it_replaces() -> None:
    rng = np.random.default_rng(0)
    features = rng.laplace(0, 1, (20, 8, 5, 5)).astype(np.float32)
    codecs = make_codecs(manifest_with((calibrate_signed("s1", features, 1.0),), (8, 5, 5)), DIGEST)
    pictures = [Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in features]
    result = measure_against_jpeg(codecs, list(features), pictures, rounds=5)
    codec = result["codecs"]["s1"]
    payloads = [codecs[0].encode(feature) for feature in features]
    assert codec["payload_bytes_mean"] == round(np.mean([len(payload) for payload in payloads]), 1)
    assert result["jpeg"]["75"]["bytes_mean"] > result["jpeg"]["50"]["bytes_mean"]
    for step in ("encode", "decode"):
        assert all(value > 0 for value in codec[f"{step}_ms"].values())
        assert codec[f"{step}_to_jpeg_75"] > 0


def test_test_pictures_of_a_bundle_that_no_recipe_makes_are_not_known(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "SIZES", ())
    arguments = ["--bundle", str(bundle.directory), "--picture", "any.png", "--codecs"]
    assert main(["bench", "edge", *arguments]) != 0
    assert "no recipe makes a bundle named 'tiny'" in capsys.readouterr().err


def test_vector_flags_are_read_from_the_kernels_list(tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_vnni sse\n\nprocessor : 1\nflags\t\t: fma\n")
    assert vector_flags(listed) == ["avx2", "avx512_vnni"]
    assert vector_flags(tmp_path / "nowhere") == []


def test_bad_arguments_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "edge", "--rounds", "0"]) != 0
    assert "--rounds must be at least 1, got 0" in capsys.readouterr().err
    assert main(["bench", "edge", "--bundle", str(tmp_path)]) != 0
    assert "--bundle needs --picture FILE" in capsys.readouterr().err

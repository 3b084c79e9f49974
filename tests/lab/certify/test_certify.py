"""Whole certificates of tiny bundles, and every reason for which a part of one is not had."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import norm

from siftfunnel.cli import main
from siftfunnel.lab.certify import certify as module
from siftfunnel.lab.certify.certify import certify, report_to_bundle
from siftfunnel.lab.certify.identification import gallery_of, noisy_figures
from siftfunnel.lab.certify.opponent import CertificateBrokenError
from siftfunnel.lab.certify.request import Request, Sources
from siftfunnel.lab.certify.sender import Cells, Noise, Sender, noise_of
from siftfunnel.lab.data.datasets import load_splits
from siftfunnel.lab.data.images import DataError
from siftfunnel.lab.evaluation.steps import kept_pictures
from siftfunnel.lab.reports.certificates import certificate_files, certificate_page
from siftfunnel.lab.reports.pages import to_text
from siftfunnel.lab.reports.study.results import ResultsError
from siftfunnel.lab.training.checkpoints import RunFolderError
from siftfunnel.shared.bundle import Bundle, BundleError, load_bundle, write_bundle
from siftfunnel.shared.manifest import CodecSpec, EdgeStage, FeatureSpec
from siftfunnel.shared.wire import SealedCodec, calibrate, calibrate_lattice, calibrate_signed
from tests.lab.pictures import write_data_directory
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter

CPU = torch.device("cpu")
SMALL = Request(pictures=6, iterations=60, ruler_pictures=120, gallery=30)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_directory(tmp_path_factory.mktemp("data"), train=300, test=30, size=16)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Bundle]:
    def made(*stages: EdgeStage, codec: str = "q4") -> Bundle:
        place = tmp_path / "bundles" / "cifar10-tiny"
        bundle = make_tiny_bundle(
            place, "cifar10-tiny", ("blue", "green", "red"), (4, 4, 4), 16, default_codec=codec
        )
        if stages:
            files = {name: bundle.read(name) for name in bundle.manifest.files}
            bundle = write_bundle(place, replace(bundle.manifest, edge_stages=stages), files, {})
        make_tiny_inverter(tmp_path / "inverters" / "cifar10-tiny", bundle)
        return bundle

    return made


def run(bundle: Bundle, data: Path, show: Callable[[str], None] = lambda text: None, **change: Any) -> Any:
    sources = Sources(bundle.directory.parents[1] / "out", data=data)
    return certify(bundle.directory, None, replace(SMALL, **change), sources, CPU, show)


def test_pictures_of_equal_bytes_send_them_through_the_product_itself(
    make: Callable[..., Bundle], data: Path
) -> None:
    bundle = make()
    result = run(bundle, data)
    found = result["equal_bytes"]
    assert found["sets"]["found"] >= 4, found
    out = bundle.directory.parents[1] / "out"
    sender = Sender(bundle, "q4")
    checked = 0
    for name in found["by_start"]:
        kept = json.loads((out / "done" / f"equal-bytes-{name}.json").read_text())["found_per_picture"]
        twins = kept_pictures(out, f"equal-bytes-{name}").permute(0, 2, 3, 1).numpy()
        shown = np.asarray(Image.open(out / "sheet.png"))
        assert shown.ndim == 3
        real = load_splits("cifar10", data, size=16).test.spread(6).images_NHWC
        for own, other, is_found in zip(real, twins, kept, strict=True):
            if is_found:
                assert (own != other).any()
                # one by one and straight from ONNX Runtime, as on the device
                assert sender.payloads(own[None]) == sender.payloads(other[None])
                checked += 1
    assert checked >= 4
    for part in (*found["by_start"].values(), found["sets"]):
        if part["found"]:
            assert 0 < part["mse"] <= part["attack_mse"]


def test_a_certificate_is_made_once_and_stands_in_its_bundles_report(
    make: Callable[..., Bundle], data: Path
) -> None:
    bundle, lines = make(), []
    first = run(bundle, data)
    second = run(bundle, data, lines.append)
    assert lines == []
    for changing in ("made", "provenance"):
        first.pop(changing), second.pop(changing)
    assert first == second
    report_to_bundle(bundle.directory, first)
    report_to_bundle(bundle.directory, {**first, "codec": "q6"})
    again = load_bundle(bundle.directory)
    assert again.digest == bundle.digest
    report = again.report()
    assert set(report["certificates"]) == {"q4", "q6"}
    assert report["certificates"]["q4"]["rate"] == first["rate"]
    assert "psnr_db_per_set" not in json.dumps(report)
    assert report["made_by"] == "tests/tinybundle.py"
    with pytest.raises(RunFolderError, match="other settings"):
        run(bundle, data, pictures=5)


def test_what_noise_leaves_open_shrinks_with_frames_and_no_attack_beats_it(
    make: Callable[..., Bundle], data: Path
) -> None:
    bundle = make(EdgeStage("gaussian-noise", {"sigma": 0.6}))
    result = run(bundle, data)
    one, sixteen = (result["noise"]["by_frames"][frames] for frames in ("1", "16"))
    guess = result["ruler"]["mean_picture_mse"]
    assert 0 < sixteen["mse"] < one["mse"] < guess
    assert one["mse"] == max(one["van_trees"], one["rate_distortion"])
    for frames in ("1", "16"):
        attack = result["attack_on_ruler"]["by_frames"][frames]
        assert result["noise"]["by_frames"][frames]["mse"] < attack["mse"]
    assert "draws noise" in result["equal_bytes"]["reason"]
    shares = [result["identification"]["identified"][frames]["share"] for frames in ("1", "16")]
    assert shares[0] <= shares[1]
    scalar = next(each for each in result["published"]["guarantees"] if each["name"] == "scalar")
    assert 0 < scalar["mse"] < one["van_trees"]


def test_dropout_alone_is_bounded_by_bytes_and_by_nothing_else(
    make: Callable[..., Bundle], data: Path
) -> None:
    result = run(make(EdgeStage("feature-dropout", {"rate": 0.5})), data)
    assert "exactly or not at all" in result["noise"]["reason"]
    assert "exactly or not at all" in result["identification"]["reason"]
    frames = result["rate"]["by_frames"]
    assert 0 < frames["16"]["mse"] < frames["1"]["mse"]
    assert "exactly or not at all" in to_text(certificate_page(result))


def test_a_codec_of_the_values_themselves_has_no_cells(make: Callable[..., Bundle], data: Path) -> None:
    result = run(make(codec="fp32"), data)
    assert "bit for bit" in result["equal_bytes"]["reason"]
    assert result["identification"]["distinct_payloads"] == 30


def test_a_certificate_that_an_attack_breaks_is_not_written(
    make: Callable[..., Bundle], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make()
    from siftfunnel.lab.certify import bounds

    monkeypatch.setattr(bounds, "distortion_of", lambda nats, spectrum: 10.0)
    with pytest.raises(CertificateBrokenError, match="rate, frames: 1: no attacker should err by less"):
        run(bundle, data)
    assert not (bundle.directory.parents[1] / "out" / module.RESULT).exists()


def test_pictures_of_other_bytes_that_pass_for_twins_break_it_too(
    make: Callable[..., Bundle], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A perfect attacker answers each of them rightly: only equal bytes keep him from it."""
    from siftfunnel.lab.certify.equal_bytes import Answered, _figures_of, _pairs

    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    real, other = (Answered(each, each / 255, np.ones(3, dtype=bool)) for each in pixels)
    with pytest.raises(CertificateBrokenError, match="do not send equal bytes"):
        _figures_of(_pairs(real, other))


def test_the_command_prints_tables_and_writes_the_report(
    make: Callable[..., Bundle], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = make()
    out = bundle.directory.parents[1] / "out"
    sizes = ["--pictures", "2", "--iterations", "20", "--ruler-pictures", "60", "--gallery", "10"]
    place = [str(bundle.directory), "--data", str(data), "--out", str(out), "--device", "cpu"]
    assert main(["lab", "certify", *place, *sizes, "--codec", "q5", "--leave-report"]) == 0
    assert "Attack and certificate" in capsys.readouterr().out
    assert "certificates" not in load_bundle(bundle.directory).report()
    assert main(["lab", "certify", *place, *sizes, "--codec", "q5"]) == 0
    assert set(load_bundle(bundle.directory).report()["certificates"]) == {"q5"}
    kept = out / "results" / "certificates"
    kept.mkdir(parents=True)
    assert certificate_files(out / "results") == {}
    (kept / "tiny-q5.json").write_text((out / "certificate.json").read_text())
    assert "cifar10-tiny q5" in certificate_files(out / "results")["certificates.md"]
    (kept / "other.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"other\.json: no certificate"):
        certificate_files(out / "results")


def test_what_is_missing_is_said(make: Callable[..., Bundle], data: Path, tmp_path: Path) -> None:
    bundle = make()
    sources = Sources(tmp_path / "out", data=data, dataset="cifar10", images=data)
    with pytest.raises(DataError, match="either --images or --dataset"):
        certify(bundle.directory, None, SMALL, sources, CPU, print)
    (bundle.directory / "edge.onnx").unlink()
    with pytest.raises(BundleError, match=r"edge\.onnx"):
        run(bundle, data)
    with pytest.raises(DataError, match="256 of the attacker's, not 16x16 and 60"):
        run(make(), data, natural=True)
    with pytest.raises(ValueError, match="iterations must be at least 10"):
        Request(iterations=3)


def specs() -> list[CodecSpec]:
    z = np.abs(np.random.default_rng(1).normal(0, 1, (60, 4, 6, 6))).astype(np.float32)
    steps = np.float32([0.2, 0.3, 0.5, 0.8])
    return [
        *(spec for spec in calibrate(z) if spec.name in ("int8", "q5")),
        calibrate_lattice("r1", z, steps, 8),
        calibrate_signed("s1", z - 0.5, 0.4),
    ]


@pytest.mark.parametrize("spec", specs(), ids=lambda spec: spec.kind)
def test_a_cell_holds_what_is_sent_as_the_same_and_nothing_else(spec: CodecSpec) -> None:
    feature = FeatureSpec(4, 6, 6)
    codec = SealedCodec(spec, 0, feature, "0" * 64)
    rng = np.random.default_rng(2)
    z = rng.normal(0.4, 1, feature.shape).astype(np.float32)
    arrived = codec.decode(codec.encode(z))
    cells = Cells.of(spec, arrived[None])
    assert isinstance(cells, Cells)
    assert float(cells.misses(torch.from_numpy(z[None])).max()) < 1e-3
    inside = torch.maximum(torch.minimum(torch.from_numpy(z[None]), cells.high_NCHW), cells.low_NCHW)
    room = (cells.high_NCHW - inside).clamp_max(1) * 0.4 - (inside - cells.low_NCHW).clamp_max(1) * 0.4
    moved = (inside + room)[0].numpy()
    assert (codec.decode(codec.encode(moved)) == arrived).all()
    finite = torch.isfinite(cells.high_NCHW)[0].numpy()
    beyond = np.where(finite, cells.high_NCHW[0].numpy() + 0.1 * cells.steps_C.numpy()[:, None, None], z)
    assert (codec.decode(codec.encode(beyond.astype(np.float32))) != arrived)[finite].mean() > 0.9


@pytest.mark.parametrize(
    ("stages", "reason"),
    [
        ((EdgeStage("feature-dropout", {"rate": 0.3}),), "exactly or not at all"),
        ((EdgeStage("channel-gaussian-noise", {"sigmas": [0.1, 0.0]}),), "channels 1 leave without noise"),
    ],
)
def test_a_stage_that_cannot_be_certified_is_named(stages: tuple[EdgeStage, ...], reason: str) -> None:
    found = noise_of(stages, (2, 3, 3), noisy_edge=False)
    assert isinstance(found, str)
    assert reason in found


def test_the_noise_of_several_stages_adds_up_and_dropout_behind_it_is_left_out() -> None:
    stages = (
        EdgeStage("gaussian-noise", {"sigma": 3.0}),
        EdgeStage("channel-gaussian-noise", {"sigmas": [4.0, 0.0]}),
        EdgeStage("feature-dropout", {"rate": 0.3}),
    )
    found = noise_of(stages, (2, 1, 1), noisy_edge=False)
    assert isinstance(found, Noise)
    assert found.deviations_CHW.flatten().tolist() == [5.0, 3.0]
    assert "feature-dropout is not counted" in found.note
    assert "nobody states" in str(noise_of(stages, (2, 1, 1), noisy_edge=True))
    assert noise_of((), (2, 1, 1), noisy_edge=False) == ""


def test_pictures_are_told_apart_as_often_as_the_best_test_does() -> None:
    """Pairs at a distance of 1, far from all others."""
    places = np.float32([[100 * pair, 100 * pair + 1] for pair in range(1_000)]).reshape(2_000, 1, 1, 1)
    noise = Noise(torch.full((1, 1, 1), 0.5))
    (told,) = noisy_figures(places, noise, (1,), seed=3)["identified"].values()
    # half the distance over the deviation of the noise
    low, high = told["ci95"]
    assert low - 0.01 < norm.cdf(1.0) < high + 0.01


def test_a_gallery_has_no_picture_twice() -> None:
    pixels = np.arange(5, dtype=np.uint8)[[3, 1, 3, 0, 1]][:, None, None, None].repeat(3, axis=3)
    assert gallery_of(pixels, 3)[:, 0, 0, 0].tolist() == [3, 1, 0]

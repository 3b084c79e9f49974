"""Bundles of anybody's networks: every tensor of a frame is attacked, with pictures of one's own."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from siftfunnel.lab.attacks.registry import make_attack
from siftfunnel.lab.audit.audit import audit
from siftfunnel.lab.audit.budgets import BUDGETS, budget
from siftfunnel.lab.audit.equal_bytes import best_within
from siftfunnel.lab.audit.judging import make_judge
from siftfunnel.lab.audit.subject import Request, prepare_subject
from siftfunnel.lab.evaluation.places import PlaceError
from siftfunnel.lab.evaluation.subject import observed
from siftfunnel.lab.graphs.graph_input import graph_input
from siftfunnel.lab.targets.edges import OnnxHalf
from siftfunnel.lab.targets.target import target_of_bundle, target_of_foreign
from siftfunnel.lab.training.checkpoints import RunFolderError
from siftfunnel.shared.input_spec import InputSpec
from siftfunnel.shared.preprocess import normalise
from siftfunnel.shared.tensors import OutputSpec
from tests.lab.audit.own_pictures import drawn, write_pictures
from tests.lab.audit.test_audit import RESIDUAL, TINY, command, quiet
from tests.tinynetwork import make_model, own_bundle

CPU = torch.device("cpu")
PLAIN = InputSpec(16, 16, (0.5,) * 3, (0.5,) * 3)
BYTES = InputSpec(16, 24, (0,) * 3, (1,) * 3, scale=1, dtype="uint8", layout="NHWC", colour="BGR")
TWO = ((4, 4, 4), (3, 2, 2))
SCORES = [("scores", "float32", (3,))]
SMALL = replace(TINY, suite=RESIDUAL)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("own") / "holiday", 70, labels=("sea", "hills"))


def wanted(out: Path, pictures: Path, **change: Any) -> Request:
    return replace(Request(out=out, budget=SMALL, pictures=8, images=pictures), **change)


SPECS = [
    PLAIN,
    BYTES,
    InputSpec(16, 24, (1.0, 2.0, 3.0), (50.0, 60.0, 70.0), scale=1, colour="BGR"),
    InputSpec(24, 16, (0.4,), (0.2,), colour="grey", layout="NHWC"),
    InputSpec(24, 16, (0.0,), (1.0,), scale=1, colour="grey", dtype="uint8"),
]


@pytest.mark.parametrize("spec", SPECS)
def test_a_graph_gets_of_floats_what_a_device_gives_it_of_pixels(spec: InputSpec) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, spec.height, spec.width, 3), dtype=np.uint8)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    made = graph_input(x.requires_grad_(), spec)
    assert np.allclose(
        made.detach().numpy(), normalise(pixels, spec), atol=2e-4 * max(1, made.abs().max().item())
    )
    made.sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().min()) > 0


@pytest.mark.parametrize("spec", [PLAIN, BYTES])
def test_all_tensors_of_a_frame_reach_the_attacker_and_the_cloud_half(
    tmp_path: Path, spec: InputSpec
) -> None:
    shapes = [(c, h, h * spec.width // spec.height) for c, h, _ in TWO]
    bundle = own_bundle(tmp_path / "mine", spec, shapes)
    target = target_of_bundle(bundle.directory, CPU)
    pixels = np.stack([np.asarray(drawn(n, (spec.width, spec.height))) for n in range(3)])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    own = target.layout.to_own(target.sender.features(x))
    edge = ReferenceEvaluator(str(bundle.path("edge.onnx")))
    cloud = ReferenceEvaluator(str(bundle.path("cloud.onnx")))
    sent = edge.run(None, {"image": normalise(pixels, spec)})
    assert np.allclose(own.flatten(1), np.concatenate([t.reshape(3, -1) for t in sent], axis=1), atol=1e-4)
    (scores,) = cloud.run(None, dict(zip(("t0", "t1"), sent, strict=True)))
    assert target.logits is not None
    assert np.allclose(target.logits(own.numpy()), scores, atol=1e-3)
    assert target.heard == "fp16"


def test_pictures_without_labels_are_audited_by_agreement(tmp_path: Path, pictures: Path) -> None:
    bundle = own_bundle(tmp_path / "mine", PLAIN, TWO)
    target = target_of_bundle(bundle.directory, CPU)
    report = audit(target, wanted(tmp_path / "out", pictures), quiet)
    assert report["accuracy"]["kind"] == "agreement"
    assert report["accuracy"]["mean"] > 0.9
    assert report["wire"]["codecs"]["fp32"]["agreement"] == 1
    assert report["target"]["heard_after"] == "fp16"
    assert report["dataset"]["name"] == "holiday"
    assert report["dataset"]["pictures"] == 70
    assert report["picture_codecs"]["payload_bytes"] == report["wire"]["codecs"]["fp16"]["payload_bytes_mean"]
    stored = (tmp_path / "out" / "report.json").read_text() + (tmp_path / "out" / "report.html").read_text()
    assert str(pictures.parent) not in stored
    assert "Agreement" in stored


def test_labels_that_the_network_knows_give_accuracy(tmp_path: Path) -> None:
    mine = write_pictures(tmp_path / "mine", 70, labels=("n2", "n1"))
    bundle = own_bundle(tmp_path / "bundle", PLAIN, TWO, class_ids=("n1", "n2", "n3"))
    report = audit(target_of_bundle(bundle.directory, CPU), wanted(tmp_path / "out", mine), quiet)
    assert report["accuracy"]["kind"] == "accuracy"


def test_outputs_that_are_no_class_list_are_compared_as_they_are(tmp_path: Path, pictures: Path) -> None:
    outputs = (OutputSpec("embedding", "embedding", (5,)), OutputSpec("boxes", "tensor", (None, 4)))
    bundle = own_bundle(tmp_path / "mine", PLAIN, TWO, outputs)
    report = audit(target_of_bundle(bundle.directory, CPU), wanted(tmp_path / "out", pictures), quiet)
    assert not report["accuracy"]["measured"]
    assert 0 < report["accuracy"]["outputs"]["relative_error"] < 0.01
    assert report["wire"]["codecs"]["fp32"]["relative_error"] == 0
    assert report["wire"]["codecs"]["fp16"]["cosine"] == pytest.approx(1, abs=1e-4)


def test_outputs_that_are_all_too_large_are_far_from_the_undisturbed_ones(
    tmp_path: Path, pictures: Path
) -> None:
    outputs = (OutputSpec("embedding", "embedding", (5,)),)
    target = target_of_bundle(own_bundle(tmp_path / "mine", PLAIN, TWO, outputs).directory, CPU)
    subject = prepare_subject(target, wanted(tmp_path / "out", pictures))
    judge = make_judge(subject)
    assert not isinstance(judge, str)
    clean = observed(target.sender, subject.measured)
    entry = judge.entry(3 * clean, subject.measured)
    assert entry["relative_error"] == pytest.approx(2, rel=1e-3)
    assert entry["cosine"] == pytest.approx(1, abs=1e-6)


def funnelled(folder: Path, step: int = 2) -> Path:
    """A bundle whose cloud half begins with a transposed convolution."""
    rng = np.random.default_rng(2)
    nodes = [
        helper.make_node("ConvTranspose", ["t0", "w"], ["wide"], strides=[step, step]),
        helper.make_node("Flatten", ["wide"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "v"], ["scores"]),
    ]
    held = {"w": rng.normal(size=(8, 5, step, step)), "v": rng.normal(size=(5 * 16 * step**2, 3))}
    weights = {name: value.astype(np.float32) for name, value in held.items()}
    cloud = make_model(nodes, weights, [("t0", "float32", (8, 4, 4))], SCORES)
    return own_bundle(folder, PLAIN, ((8, 4, 4),), cloud=cloud).directory


def test_a_funnel_that_fills_the_picture_is_folded_without_loss(tmp_path: Path) -> None:
    place = funnelled(tmp_path / "mine", step=4)
    victim = target_of_bundle(place, CPU).victim
    assert victim.lifted_shape == (20, 8, 8)
    z = victim.observe(torch.rand(2, 3, 16, 16))
    kernel = torch.from_numpy(
        numpy_helper.to_array(onnx.load(str(place / "cloud.onnx")).graph.initializer[0]).copy()
    )
    wide = torch.nn.functional.conv_transpose2d(z, kernel, stride=4)
    assert torch.allclose(torch.nn.functional.pixel_shuffle(victim.lifted(z), 2), wide, atol=1e-4)


def test_an_inverter_starts_from_what_the_cloud_halfs_funnel_makes(tmp_path: Path) -> None:
    place = funnelled(tmp_path / "mine")
    victim = target_of_bundle(place, CPU).victim
    assert victim.lifted_shape == (5, 8, 8)
    z = victim.observe(torch.rand(2, 3, 16, 16))
    weights = onnx.load(str(place / "cloud.onnx")).graph.initializer[0]
    kernel = torch.from_numpy(numpy_helper.to_array(weights).copy())
    expected = torch.nn.functional.conv_transpose2d(z, kernel, stride=2)
    assert torch.allclose(victim.lifted(z), expected, atol=1e-4)
    images = torch.stack([torch.from_numpy(np.array(drawn(n, (16, 16)))) for n in range(30)])
    attack = make_attack("residual", epochs=1, widths=(8, 8, 8), blocks=(1, 0, 0), batch=8)
    attack.fit(victim, images, tmp_path / "attacks", quiet)
    assert attack.reconstruct(victim, z, tmp_path / "attacks", quiet).x_NCHW.shape == (2, 3, 16, 16)
    paper = make_attack("generative-black-box", epochs=1, width=8)
    paper.fit(victim, images, tmp_path / "attacks", quiet)
    assert paper.reconstruct(victim, z, tmp_path / "attacks", quiet).x_NCHW.shape == (2, 3, 16, 16)


def test_each_tensor_of_a_frame_starts_from_its_own_funnel(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    nodes = [
        helper.make_node("ConvTranspose", ["t0", "w"], ["wide"], strides=[2, 2]),
        helper.make_node("Flatten", ["wide"], ["flat0"], axis=1),
        helper.make_node("Flatten", ["t1"], ["flat1"], axis=1),
        helper.make_node("Concat", ["flat0", "flat1"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "v"], ["scores"]),
    ]
    taken = [(f"t{index}", "float32", shape) for index, shape in enumerate(TWO)]
    held = {"w": rng.normal(size=(4, 5, 2, 2)), "v": rng.normal(size=(5 * 64 + 12, 3))}
    weights = {name: value.astype(np.float32) for name, value in held.items()}
    cloud = make_model(nodes, weights, taken, SCORES)
    bundle = own_bundle(tmp_path / "mine", PLAIN, TWO, cloud=cloud)
    target = target_of_bundle(bundle.directory, CPU)
    z = target.victim.observe(torch.rand(2, 3, 16, 16))
    first, second = torch.split(target.layout.to_own(z).flatten(1), [64, 12], dim=1)
    kernel = torch.from_numpy(held["w"]).float()
    wide = torch.nn.functional.conv_transpose2d(first.reshape(2, *TWO[0]), kernel, stride=2)
    lifted = target.victim.lifted(z)
    assert tuple(lifted.shape[1:]) == target.victim.lifted_shape
    for values, whole in ((wide, lifted[:, :5]), (second, lifted[:, 5:])):
        assert torch.allclose(
            values.flatten(1).sort().values[:, [0, -1]], whole.flatten(1).sort().values[:, [0, -1]]
        )


def test_several_outputs_of_a_foreign_edge_are_attacked_together(tmp_path: Path, pictures: Path) -> None:
    bundle = own_bundle(tmp_path / "mine", BYTES, ((4, 4, 6), (3, 2, 3)))
    tensors = [{"name": name, "shape": shape} for name, shape in (("t0", [4, 4, 6]), ("t1", [3, 2, 3]))]
    picture = {"height": 16, "width": 24, "mean": [0] * 3, "std": [1] * 3, "colour": "BGR"}
    spec = {"input": picture, "tensors": tensors, "classes": ["a", "b", "c"], "cloud": "cloud.onnx"}
    for name in ("edge.onnx", "cloud.onnx"):
        (tmp_path / name).write_bytes(bundle.read(name))
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    target = target_of_foreign(tmp_path / "edge.onnx", tmp_path / "spec.json", CPU)
    ours = target_of_bundle(bundle.directory, CPU)
    x = torch.rand(2, 3, 16, 24)
    assert torch.allclose(target.sender.features(x), ours.sender.features(x), atol=1e-3)
    report = audit(target, wanted(tmp_path / "out", pictures), quiet)
    assert report["accuracy"]["kind"] == "agreement"
    assert report["target"]["attacked_as"][1:] == [4, 6]


def test_a_folder_called_like_drawn_faces_may_still_show_people(tmp_path: Path) -> None:
    mine = write_pictures(tmp_path / "drawnfaces", 70)
    target = target_of_bundle(own_bundle(tmp_path / "mine", PLAIN, TWO).directory, CPU)
    with pytest.raises(PlaceError, match="does not ignore it"):
        audit(target, wanted(Path(__file__).parent / "report", mine), quiet)


def test_pictures_above_256_pixels_are_refused_by_name(tmp_path: Path, pictures: Path) -> None:
    bundle = own_bundle(tmp_path / "mine", InputSpec(320, 320), ((1, 5, 5),))
    with pytest.raises(ValueError, match=r"mine takes pictures of 320x320; attacks go up to 256x256"):
        audit(target_of_bundle(bundle.directory, CPU), wanted(tmp_path / "out", pictures), quiet)


@pytest.mark.parametrize("name", list(BUDGETS))
def test_budgets_of_small_pictures_are_as_they_were_and_those_of_large_ones_can_be_made(name: str) -> None:
    chosen = budget(name)
    assert chosen.at(64, 64) is chosen
    fitted = chosen.at(224, 224)
    assert fitted.pictures < chosen.pictures


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_picture_codec_at_equal_bytes_uses_them_and_no_more(name: str) -> None:
    picture = np.array(drawn(3, (96, 64)))
    errors = []
    for limit in (900, 2500):
        found = best_within(picture, name, limit)
        assert found is not None
        assert found[0] <= limit
        assert found[1].shape == picture.shape
        errors.append(float(np.square(found[1].astype(float) - picture).mean()))
    assert errors[1] <= errors[0]
    assert best_within(picture, name, 10) is None


def test_outputs_of_another_number_of_rows_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["places"])]
    given = [("places", "int64", (None,))]
    (tmp_path / "cloud.onnx").write_bytes(make_model(nodes, {}, [("x", "float32", (2,))], given))
    with pytest.raises(ValueError, match=r"first axis of places .* is no batch"):
        OnnxHalf(tmp_path / "cloud.onnx", several=True).outputs(np.ones((3, 2), np.float32))


def test_the_command_takes_a_folder_and_a_codec(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(BUDGETS, "standard", SMALL)
    bundle = own_bundle(tmp_path / "mine", PLAIN, TWO)
    words = command(
        bundle.directory,
        "--images",
        pictures,
        "--codec",
        "fp32",
        "--out",
        tmp_path / "out",
        "--device",
        "cpu",
    )
    assert words.run(words) == 0
    assert "report.html: " in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["target"]["heard_after"] == "fp32"
    assert report["accuracy"]["mean"] == 1
    again = command(bundle.directory, "--images", pictures, "--out", tmp_path / "out")
    with pytest.raises(RunFolderError, match="heard"):
        again.run(again)

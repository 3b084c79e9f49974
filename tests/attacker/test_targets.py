import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.exchanges import Answer
from siftfunnel.attacker.inversion import InversionError, OnnxDecoder, load_decoder
from siftfunnel.attacker.targets import Target, gather, mean_picture
from siftfunnel.shared.bundle import Bundle, Inverter, load_inverter, write_inverter
from siftfunnel.shared.rpc import split_inference_pb2 as pb
from siftfunnel.shared.wire import CodecError, make_codecs
from tests.attacker.scene import Scene
from tests.shared.test_manifest_2 import own


def test_every_bundle_gets_its_own_inverter(scene: Scene) -> None:
    targets = scene.targets()
    assert targets.problems == ()
    assert {target.name: target.inverter and target.inverter.bundle_digest for target in targets} == {
        scene.open.name: scene.open.digest,
        scene.shut.name: scene.shut.digest,
    }


def test_a_bundle_without_an_inverter_is_known_and_the_lack_is_told(scene: Scene) -> None:
    targets = gather([scene.bundles], [scene.inverters / scene.open.name])
    shut = targets.get(scene.shut.digest)
    assert shut is not None
    assert shut.reconstructor is None
    assert not shut.as_json()["inverter"]
    (problem,) = targets.problems
    assert problem.startswith(f"no inverter for bundle {scene.shut.name}")
    assert "siftfunnel lab inverter" in problem


def test_an_inverter_of_a_bundle_that_is_not_attacked_is_no_problem(scene: Scene) -> None:
    targets = gather([scene.bundles / scene.open.name], [scene.inverters])
    assert [target.name for target in targets] == [scene.open.name]
    assert targets.problems == ()


def test_an_inverter_of_another_export_of_the_bundle_is_told(scene: Scene, tmp_path: Path) -> None:
    model = (scene.inverters / scene.open.name / "inverter.onnx").read_bytes()
    write_inverter(tmp_path / "old", scene.open.name, "ab" * 32, model, {})
    targets = gather([scene.bundles / scene.open.name], [tmp_path])
    assert [target.reconstructor for target in targets] == [None]
    assert any("another export of people-unprotected (abababababab…)" in told for told in targets.problems)


def test_an_inverter_never_serves_another_bundle(scene: Scene) -> None:
    inverter = load_inverter(scene.inverters / scene.open.name)
    with pytest.raises(InversionError, match=scene.open.digest[:12]):
        load_decoder(inverter, scene.shut)


def test_an_inverter_whose_graph_does_not_fit_is_refused(scene: Scene, tmp_path: Path) -> None:
    model = (scene.inverters / scene.open.name / "inverter.onnx").read_bytes()
    claimed = write_inverter(tmp_path / "inverter", scene.shut.name, scene.shut.digest, model, {})
    with pytest.raises(InversionError, match=r"does not take features of shape \(4, 8, 8\)"):
        load_decoder(claimed, scene.shut)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inverter.onnx").write_bytes(b"no graph")
    with pytest.raises(InversionError, match="does not load"):
        OnnxDecoder(tmp_path / "inverter.onnx", (4, 8, 8), (32, 32))


def test_a_changed_inverter_becomes_a_problem_and_the_bundle_stays(scene: Scene, tmp_path: Path) -> None:
    shutil.copytree(scene.inverters / scene.open.name, tmp_path / "inverter")
    with (tmp_path / "inverter" / "inverter.onnx").open("ab") as model:
        model.write(b"!")
    targets = gather([scene.bundles / scene.open.name], [tmp_path / "inverter"])
    assert [target.reconstructor for target in targets] == [None]
    assert "has changed" in targets.problems[0]


def test_a_bad_inverter_among_good_ones_costs_itself_only(scene: Scene, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(scene.inverters / scene.open.name, tmp_path / name)
    write_inverter(tmp_path / "c", scene.open.name, scene.open.digest, b"no graph", {})
    with (tmp_path / "b" / "inverter.onnx").open("ab") as model:
        model.write(b"!")
    targets = gather([scene.bundles / scene.open.name], [tmp_path])
    assert [target.inverter and target.inverter.directory.name for target in targets] == ["a"]
    told = " ".join(targets.problems)
    assert "has changed" in told
    assert "does not load" in told


def test_a_bundle_whose_codecs_cannot_be_made_costs_itself_only(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(manifest, digest):
        if digest == scene.open.digest:
            raise CodecError("tables that do not add up")
        return make_codecs(manifest, digest)

    monkeypatch.setattr("siftfunnel.attacker.targets.make_codecs", make)
    targets = scene.targets()
    assert [target.name for target in targets] == [scene.shut.name]
    assert any("tables that do not add up" in problem for problem in targets.problems)


def test_a_reconstructor_from_outside_wins_over_the_inverter(scene: Scene) -> None:
    class White:
        def reconstruct(self, features_NCHW):
            return np.ones((len(features_NCHW), 32, 32, 3), np.float32)

    given_one = White()
    targets = gather([scene.bundles], [scene.inverters], {scene.open.digest: given_one})
    target = targets.get(scene.open.digest)
    assert target is not None
    assert target.reconstructor is given_one


@pytest.mark.parametrize("codec", ["fp32", "fp16", "int8", "q6", "q4"])
def test_the_checksum_settles_which_bundle_a_payload_belongs_to(scene: Scene, codec: str) -> None:
    targets = scene.targets()
    for bundle in (scene.open, scene.shut):
        assert targets.settle(pb.Frame.FromString(scene.frame(bundle, 7, codec=codec))) == bundle.digest


@given(st.binary(max_size=300))
def test_no_rubbish_settles_a_bundle_or_raises(scene: Scene, rubbish: bytes) -> None:
    assert scene.targets().settle(pb.Frame(sequence=1, codec=2, payload=rubbish)) is None


def test_what_has_no_name_is_called_by_its_number(scene: Scene) -> None:
    target = next(iter(scene.targets()))
    assert target.codec_name(99) == "unknown"
    assert target.class_name(99) == "class 99 (unknown)"
    assert target.class_name(1) == "boris"


@pytest.mark.parametrize(
    ("report", "level"),
    [
        (
            {"mean_picture_instead": {"psnr_mean": 12.5, "ssim_mean": 0.25, "note": "x"}},
            {"psnr": 12.5, "ssim": 0.25},
        ),
        ({"mean_picture_instead": "none"}, None),
        ({}, None),
    ],
)
def test_the_level_of_knowing_nothing_comes_from_the_report(
    report: dict[str, object], level: dict[str, float] | None
) -> None:
    assert mean_picture(Inverter(Path("x"), "ab" * 32, "faces", report)) == level
    assert mean_picture(None) is None


def test_an_answer_is_right_by_the_class_s_name_or_its_id() -> None:
    manifest = own()  # two cranes, told apart by their ids
    target = Target(Bundle(Path(), manifest, "ab" * 32), ())
    right = [target.is_right(Answer(0, 0.9), label) for label in ("crane", "n02012849", "n03126707", "tench")]
    assert right == [True, True, False, False]
    assert target.is_right(Answer(0, 0.9), "holiday") is None
    assert target.is_right(Answer(0, 0.9), None) is None
    assert target.is_right(Answer(), "crane") is None
    assert target.is_right(None, "crane") is None
    assert target.is_right(Answer(99, 0.9), "crane") is False

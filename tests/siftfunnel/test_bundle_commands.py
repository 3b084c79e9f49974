"""`siftfunnel bundle list | show | verify` on tiny bundles."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from siftfunnel import bundle_facts, cli
from siftfunnel.shared.bundle import Bundle, write_bundle, write_inverter
from siftfunnel.shared.tensors import OutputSpec
from siftfunnel.shipped import Library
from tests.editable_halves import MANIFEST, cloud_graph, own_files
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter
from tests.tinynetwork import self_test


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """One bundle called `tiny` with its inverter, in the folders that the environment names."""
    bundle = make_tiny_bundle(tmp_path / "bundles" / "tiny")
    make_tiny_inverter(tmp_path / "inverters" / "tiny", bundle)
    monkeypatch.setenv("SIFTFUNNEL_MODELS", str(tmp_path / "bundles"))
    monkeypatch.setenv("SIFTFUNNEL_INVERTERS", str(tmp_path / "inverters"))
    return bundle


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_list_as_json_names_digest_codecs_and_inverter(
    library: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bundle", "list", "--json"]) == 0
    (fact,) = json.loads(capsys.readouterr().out)["bundles"]
    assert fact["name"] == "tiny"
    assert fact["digest"] == library.digest
    assert fact["input"] == [3, 32, 32]
    assert fact["feature"] == [12, 8, 8]
    assert fact["codecs"] == ["fp32", "fp16", "int8", "q8", "q7", "q6", "q5", "q4"]
    assert fact["inverter"].endswith("inverters/tiny")
    assert fact["figures"]["q6"]["accuracy"] is None


def test_list_is_a_table_for_people(library: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bundle", "list"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["bundle", "defence", "input", "feature"]
    assert row.split()[:4] == ["tiny", "none", "3x32x32", "12x8x8"]


@pytest.fixture
def reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bundles and their inverters, whose reports differ from codec to codec."""
    monkeypatch.setenv("SIFTFUNNEL_MODELS", str(tmp_path / "bundles"))
    monkeypatch.setenv("SIFTFUNNEL_INVERTERS", str(tmp_path / "inverters"))
    for name, defence in (("a-protected", "siftfunnel"), ("b-unprotected", "none")):
        bundle = make_tiny_bundle(tmp_path / "bundles" / name, name=name, defence=defence)
        report = bundle.report() | {
            "accuracy": 0.99,
            "codecs": {
                "fp32": {"accuracy": 0.99, "payload_bytes_mean": 9999.0},
                "q6": {"accuracy": 0.8125, "payload_bytes_mean": 1234.4},
            },
            "jpeg_quality_75": {"payload_bytes_mean": 920.6},
        }
        (bundle.directory / "report.json").write_text(json.dumps(report))
        figures = {
            "codecs": {
                "fp32": {"psnr_mean": 33.3, "ssim_mean": 0.99},
                "q6": {"psnr_mean": 28.04, "ssim_mean": 0.9312},
            },
            "mean_picture_instead": {"psnr_mean": 12.1, "ssim_mean": 0.11},
        }
        write_inverter(tmp_path / "inverters" / name, name, bundle.digest, b"graph", figures)


def test_accuracy_bytes_and_what_is_rebuilt_in_a_row_are_those_of_the_same_codec(
    reported: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bundle", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert all(re.search(r" q6 +81\.25% +1,234 +28\.0 dB +0\.931 ", row) for row in rows)
    assert cli.main(["bundle", "show", "a-protected"]) == 0
    told = capsys.readouterr().out
    assert "1,234 bytes, accuracy 81.25%, rebuilt 28.0 dB, SSIM 0.931" in told
    assert "9,999 bytes, accuracy 99.00%, rebuilt 33.3 dB, SSIM 0.990" in told


def test_list_as_markdown_is_a_table_of_costs_and_leaks(
    reported: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bundle", "list", "--markdown"]) == 0
    head, rule, first, second = capsys.readouterr().out.splitlines()
    assert head == (
        "| bundle | input | codec | accuracy | bytes per frame | as JPEG | rebuilt from the frame "
        "| guessed without it |"
    )
    assert rule == "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    figures_of_both = "32x32 | q6 | 81.25% | 1,234 | 921 | 28.0 dB, SSIM 0.931 | 12.1 dB, SSIM 0.110 |"
    assert first == f"| `b-unprotected` | {figures_of_both}"
    assert second == f"| `a-protected` | {figures_of_both}"


def test_list_as_markdown_shows_a_dash_where_nothing_was_reported(
    library: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bundle", "list", "--markdown"]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert row == "| `tiny` | 32x32 | q6 | - | - | - | - | - |"


def test_list_of_a_folder_without_bundles_is_wrong_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bundle", "list", str(tmp_path)]) == 2
    assert "no bundles in" in capsys.readouterr().err


def test_show_takes_a_name_or_a_folder(library: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bundle", "show", "tiny"]) == 0
    by_name = capsys.readouterr().out
    assert library.digest in by_name
    assert "circle, square, triangle" in by_name
    assert cli.main(["bundle", "show", str(library.directory)]) == 0
    assert capsys.readouterr().out == by_name


def test_show_of_an_unknown_bundle_lists_the_names(
    library: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bundle", "show", "nonsense"]) == 2
    assert "tiny" in capsys.readouterr().err


def test_verify_passes_an_unchanged_bundle(library: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bundle", "verify"]) == 0
    assert capsys.readouterr().out.startswith(f"ok       tiny  {library.digest}")


def test_verify_notices_an_edited_report(library: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    path = library.directory / "report.json"
    path.write_text(path.read_text().replace('"seed": ', '"seed": 1'))
    assert cli.main(["bundle", "verify", "tiny"]) == 1
    assert "report.json" in capsys.readouterr().out


def test_verify_says_what_a_report_is_worth(library: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    states = []
    for text in (None, json.dumps({"digest": library.digest, "accuracy": 0.9}), ""):
        if text is not None:
            (library.directory / "report.json").write_text(text)
        if text == "":
            (library.directory / "report.json").unlink()
        assert cli.main(["bundle", "verify", "--json"]) == 0
        states.append(json.loads(capsys.readouterr().out)[0]["report"])
    assert states == ["unchanged", "without a checksum", "none"]


@pytest.mark.parametrize("name", ["edge.onnx", "cloud.onnx"])
def test_verify_names_a_changed_file(library: Bundle, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    damage(library.directory / name)
    assert cli.main(["bundle", "verify", "tiny"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("CHANGED  tiny")
    assert name in text


def test_verify_as_json_tells_what_is_missing(library: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("edge.onnx", "cloud.onnx"):
        (library.directory / name).unlink()
    assert cli.main(["bundle", "verify", "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert "neither edge.onnx nor cloud.onnx is there" in result["problem"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A bundle of schema 2 with its self-test."""
    files = own_files()
    files |= self_test(MANIFEST, files)
    return write_bundle(tmp_path / "own", MANIFEST, files, {}).directory


def verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = cli.main(["bundle", "verify", str(folder)])
    return code, capsys.readouterr().out


def test_verify_runs_both_halves_and_their_self_tests(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = verdict(own, capsys)
    assert code == 0
    assert "both halves run, joined; self-tests passed: edge and cloud" in told


@pytest.mark.parametrize(
    ("lacking", "there"),
    [(("cloud.onnx", "selftest-cloud.npz"), "edge"), (("edge.onnx",), "cloud"), (("cloud.onnx",), "edge")],
)
def test_verify_of_one_party_s_folder_looks_at_what_is_there_and_says_so(
    own: Path, lacking: tuple[str, ...], there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in lacking:
        (own / name).unlink()
    code, told = verdict(own, capsys)
    assert code == 0
    assert f"the {there} half runs ({' and '.join(lacking)} not here: not checked)" in told
    assert f"self-tests passed: {there}" in told


def test_verify_of_a_device_without_its_self_test_fails(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "selftest-edge.npz").unlink()
    code, told = verdict(own, capsys)
    assert code == 1
    assert told.startswith("CHANGED  own")
    assert "selftest-edge.npz" in told


def test_verify_names_a_graph_that_does_not_fit_its_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_bundle(
        tmp_path / "own", MANIFEST, own_files(cloud=cloud_graph(softmax=True)), {}
    ).directory
    code, told = verdict(folder, capsys)
    assert code == 1
    assert told.startswith("UNUSABLE own")
    assert "called logits and holds probabilities already" in told


def test_show_tells_what_schema_2_says(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bundle", "show", str(own)]) == 0
    told = capsys.readouterr().out
    for line in (
        "input          3x24x32; shorter side to 36, centre cut, bicubic; .* BGR, NHWC float32",
        r"feature        4x6x8 \(/deep/cut\)",
        r"feature        5 \(skip\)",
        "output         vector: embedding, float32 7",
        r"classes        3 \(category\): crane \(n02012849\), crane \(n03126707\), tench",
        "self-test      selftest-edge.npz, selftest-cloud.npz",
    ):
        wanted = re.sub(" {2,}", " +", line)
        assert re.search(f"^{wanted}", told, re.MULTILINE), line
    assert cli.main(["bundle", "show", str(own), "--json"]) == 0
    fact = json.loads(capsys.readouterr().out)
    assert fact["class_ids"] == ["n02012849", "n03126707", "n01440764"]
    assert [output["kind"] for output in fact["outputs"]] == ["logits", "embedding", "tensor"]
    assert [tensor["shape"] for tensor in fact["tensors"]] == [[4, 6, 8], [5]]


def test_a_bundle_without_classes_is_listed_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vector = OutputSpec("scores", "embedding", (3,))
    manifest = replace(MANIFEST, outputs=(vector, *MANIFEST.outputs[1:]), classes=(), class_ids=())
    folder = write_bundle(tmp_path / "own", manifest, own_files(), {}).directory
    assert verdict(folder, capsys)[0] == 0
    assert cli.main(["bundle", "list", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3:5] == ["4x6x8+5", "-"]
    assert cli.main(["bundle", "show", str(folder)]) == 0
    assert "\nclasses " not in capsys.readouterr().out


def test_a_network_without_labels_tells_its_agreement_and_what_a_picture_would_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = {
        "codecs": {"fp32": {"payload_bytes_mean": 1610.4, "agreement": 0.915}},
        "pictures_at_equal_agreement": {
            "fp32": {"jpeg": {"bytes_mean": 10692.0, "times": 6.6}, "webp": None}
        },
    }
    folder = write_bundle(tmp_path / "own", MANIFEST, own_files(), report).directory
    assert cli.main(["bundle", "show", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "1,610 bytes, accuracy -, agreement with the uncut network 0.915, JPEG needs 10,692 bytes" in told
    assert "WebP" not in told
    assert cli.main(["bundle", "list", str(folder)]) == 0
    assert "agrees 0.915" in capsys.readouterr().out


def test_of_a_thousand_classes_people_see_the_first(tmp_path: Path) -> None:
    names = tuple(f"thing {number}" for number in range(1000))
    bundle = make_tiny_bundle(tmp_path / "many", classes=names)
    told = dict(bundle_facts.lines(bundle_facts.facts(bundle, Library((), ()))))["classes"]
    assert told.endswith("thing 19 and 980 more (--json has them)")

"""`siftfunnel bundle list | show | verify` on tiny bundles."""

import json
import re
from pathlib import Path

import pytest

from siftfunnel import cli
from siftfunnel.shared.bundle import Bundle, write_inverter
from tests.tinybundle import make_tiny_bundle, make_tiny_inverter


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
    (library.directory / "cloud.onnx").unlink()
    assert cli.main(["bundle", "verify", "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert "cloud.onnx" in result["problem"]

import json
from pathlib import Path

import pytest

from siftfunnel.bench.cells.result import CellFile
from siftfunnel.cli import main
from tests.bench.cells.samples_of_pictures import make_pictures
from tests.bench.links.test_link import needs_packets
from tests.tinybundle import make_tiny_bundle

pytest.importorskip("mlperf_loadgen", reason="needs the extra bench")


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    make_tiny_bundle(tmp_path / "plain", "plain")
    make_pictures(tmp_path / "pictures")
    return ["bench", "run", "--bundle", str(tmp_path / "plain"), "--images", str(tmp_path / "pictures")]


def exit_code(arguments: list[str]) -> object:
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def read(path: Path) -> CellFile:
    return CellFile.from_json(json.loads(path.read_text()))


def test_every_mode_is_measured_between_real_processes_and_resumed(
    places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    command = [*places, "--links", "none", "--seconds", "0.3", "--no-calibration", "--out", str(out)]
    assert main([*command, "--codecs", "q6,jpeg-75"]) == 0
    cells = {(cell.mode, cell.codec): cell for cell in read(out).cells}
    assert set(cells) == {
        ("edge-only", ""),
        ("cloud-only", "jpeg-75"),
        ("raw-features", "fp32"),
        ("split", "q6"),
    }
    for (mode, _), cell in cells.items():
        assert cell.frames > 0
        assert cell.judged == cell.frames
        assert cell.errors == {}
        assert (cell.bytes.up.payload == 0) == (mode == "edge-only")
        assert cell.stages_ms.capture is not None
        assert (cell.stages_ms.edge is None) == (mode == "cloud-only")
        assert (cell.stages_ms.return_ is None) == (mode == "edge-only")
    raw, split = cells["raw-features", "fp32"].bytes.up, cells["split", "q6"].bytes.up
    assert raw.payload == 12 * 8 * 8 * 4 + 4
    assert raw.message is not None
    assert raw.tcp is not None
    assert split.payload is not None
    assert split.payload < raw.payload < raw.message < raw.tcp
    assert raw.link is None
    # one and the same network wherever it runs; JPEG may change a picture's class
    answers = {mode: cell.accuracy for (mode, _), cell in cells.items() if cell.codec in ("", "fp32")}
    assert set(answers) == {"edge-only", "raw-features"}
    before = out.read_bytes()
    assert main([*command, "--codecs", "q6,jpeg-75"]) == 0
    assert "4 of 4 cells" in capsys.readouterr().err
    assert read(out).cells == CellFile.from_json(json.loads(before)).cells


def test_a_link_that_cannot_be_laid_is_named_and_the_others_are_measured(
    places: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftfunnel.bench.links.namespaces.os.geteuid", lambda: 1000)
    out = tmp_path / "out.json"
    common = ["--modes", "split", "--seconds", "0.2", "--no-calibration", "--out", str(out)]
    assert main([*places, *common, "--links", "wifi", "--emulation", "tun"]) == 0
    (skipped,) = read(out).skipped
    assert (skipped.cell["link"], skipped.cell["mode"]) == ("wifi", "split")
    assert "root" in skipped.why
    assert read(out).cells == []


def test_a_relay_says_what_it_cannot_measure(places: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    common = ["--modes", "split", "--seconds", "0.3", "--no-calibration", "--out", str(out)]
    assert main([*places, *common, "--links", "wifi", "--emulation", "relay"]) == 0
    (cell,) = read(out).cells
    assert cell.emulation == "relay"
    assert cell.bytes.up.message is not None
    assert (cell.bytes.up.tcp, cell.bytes.up.link) == (None, None)
    # half the round trip each way is in the answer's way
    assert cell.latency_ms.p50 >= 2.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--modes", "everything"], "unknown mode 'everything'; known: edge-only"),
        (["--links", "carrier-pigeon"], "unknown link 'carrier-pigeon'"),
        (["--scenarios", "Interactive"], "unknown scenario 'Interactive'"),
        (["--codecs", "q99"], "q99"),
        (["--seconds", "0"], "above 0"),
        (["--images", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_clear_error(
    places: list[str], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code([*places, *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@needs_packets
def test_a_link_that_drops_for_two_seconds_costs_time_and_no_frame(places: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    common = ["--modes", "split", "--seconds", "6", "--no-calibration", "--out", str(out)]
    arguments = ["--links", "wifi", "--drop", "2", "--scenarios", "SingleStream,Server", "--target", "40"]
    assert main([*places, *common, *arguments]) == 0
    cells = read(out).cells
    assert len(cells) == 2
    for cell in cells:
        assert cell.errors == {}
        assert cell.judged == cell.frames > 0
    server = cells[1]
    assert server.scenario == "Server"
    assert server.late is not None
    assert server.late > 0
    # a third of the arrivals fell into the two seconds and waited for their end
    assert server.latency_ms.p90 >= 500


@pytest.mark.slow
@needs_packets
def test_layers_agree_on_a_link_that_loses_nothing_and_an_overload_is_said(
    places: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    common = ["--modes", "split", "--codecs", "fp32", "--seconds", "3", "--out", str(out)]
    assert main([*places, *common, "--links", "slow-4g", "--scenarios", "Server", "--overload"]) == 0
    half, over = read(out).cells
    assert half.calibration is not None
    for layers in (half.bytes.up, half.bytes.down, over.bytes.up, over.bytes.down):
        assert layers.tcp is not None
        assert layers.link == pytest.approx(layers.tcp, rel=0.05)
    assert over.overloaded
    assert over.target_frames_per_s is not None
    assert over.frames_per_s < over.target_frames_per_s
    assert over.late is not None
    assert over.late > 0
    assert over.errors == {}

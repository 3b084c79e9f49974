import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from siftfunnel.bench.recommend import cli as recommend_cli
from siftfunnel.cli import main
from tests.bench.report import made


def asked(cells_file: Path, fronts: Path, *arguments: str) -> int:
    return main(["bench", "recommend", str(cells_file), "--fronts", str(fronts), *arguments])


def test_a_measured_link_gets_its_measured_answer(
    cells_file: Path, fronts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ("--most-psnr", "25", "--least-accuracy", "0.9", "--without", "edge-only")
    assert asked(cells_file, fronts, "--link", "wifi", *limits) == 0
    text = capsys.readouterr().out
    assert "Best: siftfunnel, split q4." in text
    assert "leaks more: 35.0 dB, above 25.0 dB" in text
    assert "not wanted: edge only" in text
    assert "predicted" not in text


def test_a_link_by_figures_is_predicted_with_the_models_error(
    cells_file: Path, fronts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = ("--up-kbit", "400", "--down-kbit", "2000", "--rtt-ms", "120")
    assert asked(cells_file, fronts, *figures, "--without", "edge-only") == 0
    text = capsys.readouterr().out
    assert "not measured: predicted from 120 ms round trip, 400 kbit/s up, 2,000 kbit/s down" in text
    assert "over 16 measured cells, each predicted from the other links" in text


def test_without_a_link_every_measured_one_is_answered_in_json(
    cells_file: Path, fronts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(cells_file, fronts, "--json", "--percentile", "p99") == 0
    answers = json.loads(capsys.readouterr().out)["tasks"]["drawnfaces"]
    assert list(answers["answers"]) == ["gprs", "good-3g", "lte", "wifi"]
    assert {each["best"]["mode"] for each in answers["answers"].values()} == {"edge-only"}
    assert len(answers["trials"]) == answers["prediction_error"]["trials"] == 16


def test_a_few_pictures_answered_badly_do_not_refuse_a_way_that_the_test_set_shows_to_qualify(
    tmp_path: Path, fronts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked_for = {"asked": {"number_of_pictures": 240}}
    unlucky = [replace(one, correct=784, settings=asked_for) for one in made.cells(["wifi"])]
    file = tmp_path / "unlucky.json"
    file.write_text(json.dumps(made.file_of(unlucky)))
    assert asked(file, fronts, "--least-accuracy", "0.9", "--json") == 0
    verdicts = json.loads(capsys.readouterr().out)["tasks"]["drawnfaces"]["answers"]["wifi"]["verdicts"]
    by_way = {(each["mode"], each["codec"]): each for each in verdicts}
    assert by_way["split", "q4"]["outcome"] != "refused"
    assert by_way["split", "q4"]["accuracy"]["source"] == "test set"
    assert by_way["raw-features", "fp32"]["outcome"] == "refused"
    assert "accuracy 78.4% [72.7, 83.1], below 90.0%" in by_way["raw-features", "fp32"]["why"]


def test_a_profile_that_was_not_measured_is_predicted_from_its_figures(
    cells_file: Path, fronts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(cells_file, fronts, "--link", "dsl", "--json") == 0
    answer = json.loads(capsys.readouterr().out)["tasks"]["drawnfaces"]["answers"]["dsl"]
    assert answer["link_measured"] is False
    assert answer["network"] == {"round_trip_ms": 5.0, "up_kbit_s": 1000, "down_kbit_s": 2000}


def test_cells_whose_link_was_taken_down_are_not_judged(
    tmp_path: Path, fronts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    down = [replace(one, settings={"asked": {"drop_s": 0.5}}) for one in made.cells(["wifi"])]
    file = tmp_path / "down.json"
    file.write_text(json.dumps(made.file_of(down)))
    assert asked(file, fronts) == 2
    assert "the link was taken down; recommend from others" in capsys.readouterr().err


def test_where_no_way_is_within_the_limits_it_says_so_and_fails(
    cells_file: Path, fronts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(cells_file, fronts, "--link", "wifi", "--latency-budget-ms", "0.001") == 1
    assert "No way is within all limits." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--link", "carrier-pigeon"), "unknown link 'carrier-pigeon'; known: none, gprs"),
        (("--up-kbit", "5"), "needs all of --up-kbit, --down-kbit and --rtt-ms"),
        (("--up-kbit", "0", "--down-kbit", "1", "--rtt-ms", "1"), "must be above 0 kbit/s, got 0.0"),
        (("--least-accuracy", "80"), "least_accuracy must be at least 0 and at most 1, not 80.0"),
        (("--task", "cats"), "no cells of 'cats'; there are drawnfaces"),
        (("--scenario", "Server"), "no cells of scenario 'Server'; there are SingleStream"),
        (("--probe", "somewhere"), "'somewhere' is not HOST:PORT"),
    ],
)
def test_wrong_input_is_named(
    cells_file: Path,
    fronts: Path,
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asked(cells_file, fronts, *arguments) == 2
    assert message in capsys.readouterr().err


def test_without_any_cells_it_says_how_to_measure_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recommend_cli, "CELLS", tmp_path / "cells.json")
    assert main(["bench", "recommend"]) == 2
    assert "measure some with `siftfunnel bench run`" in capsys.readouterr().err


@pytest.mark.slow
def test_a_link_is_measured_towards_a_running_probe(
    cells_file: Path, fronts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "siftfunnel.bench.links.probe", "serve", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdout is not None
        try:
            port = probe.stdout.readline().strip()
            assert asked(cells_file, fronts, "--probe", f"127.0.0.1:{port}", "--without", "edge-only") == 0
        finally:
            probe.kill()
    assert f"drawnfaces over the link to 127.0.0.1:{port}" in capsys.readouterr().out

import argparse
import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from siftfunnel.lab.arguments import prepare_torch
from siftfunnel.lab.cli import add_data_parser, add_lab_parser
from siftfunnel.lab.data.images import DataError
from tests.lab.pictures import coloured_set, write_class_folders, write_data_directory


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="siftfunnel")
    subparsers = parser.add_subparsers(required=True)
    add_lab_parser(subparsers)
    add_data_parser(subparsers)
    args = parser.parse_args(arguments)
    code: int = args.run(args)
    return code


def without_torch(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which PyTorch cannot be imported."""
    block = "import sys; sys.modules['torch'] = None\n"
    return subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True, timeout=60)


def test_recipes_are_listed_with_their_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    # not at the top: tests below import this file where there is no PyTorch
    from siftfunnel.lab.training.recipes import RECIPES

    assert run("lab", "recipes") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(RECIPES)]] == list(RECIPES)
    assert any(line.split() == ["cifar10-cnn-none", "Unprotected"] for line in lines)


def test_train_export_and_inverter_run_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(write_data_directory(tmp_path / "data", train=200, test=24))
    monkeypatch.chdir(tmp_path)
    common = ("--data", data, "--cache", "cache")
    assert run("lab", "train", "cifar10_unprotected", *common, "--epochs", "1", "--device", "cpu") == 0
    assert run("lab", "export", "runs/cifar10_unprotected", "--out", "bundle", *common) == 0
    assert run("lab", "inverter", "bundle", "--out", "inverter", "--epochs", "1", *common) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("runs/cifar10_unprotected: best validation score")
    assert out[1].startswith("bundle: bundle ")
    assert out[2].startswith("inverter: fp32 PSNR ")
    assert {path.name for path in Path("bundle").iterdir()} == {
        "manifest.json",
        "edge.onnx",
        "cloud.onnx",
        "report.json",
    }
    assert {path.name for path in Path("inverter").iterdir()} == {"inverter.json", "inverter.onnx"}


def interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C until it ends, as a person would: Python loses an interrupt that meets a finaliser."""
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=30)[1]
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("three interrupts did not end it")


def test_ctrl_c_keeps_the_finished_epochs_and_says_how_to_go_on(tmp_path: Path) -> None:
    data = write_data_directory(tmp_path / "data", train=120, test=12)
    command = [
        sys.executable,
        "-m",
        "siftfunnel",
        "lab",
        "train",
        "cifar10_unprotected",
        "--epochs",
        "100000",
    ]
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [*command, "--data", str(data), "--run", str(folder), "--device", "cpu", "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert any(line.startswith("epoch 1/100000") for line in process.stderr)
        errors = interrupted(process)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    assert json.loads((folder / "run.json").read_text())["epochs_done"] >= 1
    assert not list(folder.glob("*.partial"))


def test_data_unpacks_a_tar_of_class_folders_without_torch(tmp_path: Path) -> None:
    write_class_folders(coloured_set(6), tmp_path / "in")
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(tmp_path / "in", arcname=".")
    done = without_torch(
        "from tests.lab.test_cli import run\n"
        f"folder = {str(tmp_path)!r}\n"
        "sys.exit(run('data', 'cifar10', '--archive', folder + '/in.tar', '--out', folder + '/out'))"
    )
    assert done.returncode == 0, done.stderr
    assert "6 pictures" in done.stdout
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 6


def test_without_torch_there_is_help_and_the_missing_extra_is_named() -> None:
    done = without_torch(
        "from tests.lab.test_cli import run\n"
        "for command in ('train', 'export', 'inverter'):\n"
        "    try:\n"
        "        run('lab', command, '--help')\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0\n"
        "run('lab', 'recipes')"
    )
    assert done.stdout.count("--data DIR") >= 3
    assert done.returncode == 1
    assert "pip install '.[lab]'" in done.stderr


def test_bad_archives_and_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        run("data", "cifar10", "--archive", str(tmp_path / "none.tar"), "--out", str(tmp_path))
    with pytest.raises(ValueError, match="1 or more"):
        prepare_torch("cpu", 0)
    with pytest.raises(ValueError, match="known: cifar10_guarded"):
        run("lab", "train", "resnet")

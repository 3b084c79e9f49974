import json
from pathlib import Path

import pytest

from siftfunnel.lab.study import sizes
from tests.lab.pictures import write_data_directory
from tests.lab.study.test_study import TINY
from tests.lab.test_cli import run


@pytest.fixture
def tiny_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sizes.PROFILES, "tiny", TINY)


def test_the_rows_are_listed_with_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("lab", "recipes") == 0
    assert "  cifar10-cnn-siftfunnel" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_profile")
def test_a_row_that_fails_is_named_and_the_others_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data_directory(tmp_path / "data", train=300, test=60)
    # the funnel's gate wants a width of 32 or more, the tiny profile has 8
    code = run(
        *(
            "lab",
            "run",
            "cifar10-cnn-siftfunnel",
            "cifar10-cnn-none",
            "--profile",
            "tiny",
            "--steps",
            "train",
        ),
        *("--data", str(data), "--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results")),
    )
    printed = capsys.readouterr()
    assert code == 1
    assert "failed: cifar10-cnn-siftfunnel: the funnel's first gate" in printed.err
    result = tmp_path / "results/tiny/cifar10-cnn-none.json"
    assert printed.out.strip() == str(result)
    assert json.loads(result.read_text())["training"]["epochs_done"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cifar10-cnn-none", "--steps", "train,rest"), "unknown step rest; known: train, measure, attack"),
        (("cifar10-cnn-none", "--attacks", "magic"), "unknown attack magic; known: rmle-authors, rmle"),
        (("cifar10-cnn-none", "--attacks", "rmle,doubled"), "AutoInvert v1, standard has no attack doubled"),
        (("cifar10-cnn-siftfunnel-rate",), "unknown row 'cifar10-cnn-siftfunnel-rate'"),
        (("cifar10-cnn-none", "--profile", "huge"), "unknown profile 'huge'"),
        (("cifar10-cnn-none",), "needs --data DIR"),
    ],
)
def test_bad_arguments_say_what_is_known(
    tmp_path: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        run("lab", "run", *arguments)

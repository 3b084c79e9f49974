"""The console: help, exit codes, and one clear message instead of a traceback."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from siftfunnel import __version__, cli
from siftfunnel.commands import COMMANDS, Command
from siftfunnel.edge_client.errors import SourceLost
from siftfunnel.shared.bundle import BundleError


def only_row(monkeypatch: pytest.MonkeyPatch, run: object, needs: tuple[str, ...] = ()) -> None:
    """Replace the console's table by one command, `try`, that runs `run`."""
    row = Command("try", "try it", __name__, "edge", needs)
    monkeypatch.setattr(cli, "COMMANDS", (row,))
    monkeypatch.setitem(globals(), "run_try", run)


def add_try_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    subparsers.add_parser("try").set_defaults(run=lambda args: globals()["run_try"](args))


def raises(error: BaseException) -> object:
    def run(_args: argparse.Namespace) -> int:
        raise error

    return run


def test_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"siftfunnel {__version__}\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert {row.name for row in COMMANDS} <= set(text.split())


@pytest.mark.parametrize("name", [row.name for row in COMMANDS])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: siftfunnel {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["bundle"], ["certs"]])
def test_wrong_arguments_end_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: siftfunnel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "listed"), [([], [row.name for row in COMMANDS]), (["bundle"], ["list", "show", "verify"])]
)
def test_whoever_names_no_command_gets_those_there_are(
    arguments: list[str], listed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(arguments)
    told = capsys.readouterr().err
    assert set(listed) <= set(told.split())


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("--frames must be at least 1"), 2, "--frames must be at least 1"),
        (BundleError("a file has changed"), 2, "a file has changed"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), 2, "No such file or directory: a.png"),
        (OSError(98, "Address already in use"), 1, "Address already in use"),
        (SourceLost("rtsp://u:geheim@c/: stopped"), 1, "rtsp://***@c/: stopped"),
        (RuntimeError("the cloud ended"), 1, "the cloud ended"),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), 1, "needs the module 'cv2'"),
    ],
)
def test_an_expected_error_is_one_message_and_an_exit_code(
    error: Exception,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    only_row(monkeypatch, raises(error))
    assert cli.main(["try"]) == code
    told = capsys.readouterr().err
    assert told.startswith(f"siftfunnel try: {message}")
    assert "Traceback" not in told


def test_ctrl_c_ends_with_130_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only_row(monkeypatch, raises(KeyboardInterrupt()))
    assert cli.main(["try"]) == 130
    assert capsys.readouterr().err == ""


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    only_row(monkeypatch, raises(KeyError("surprise")))
    with pytest.raises(KeyError):
        cli.main(["try"])


def test_traceback_shows_where_an_expected_error_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    only_row(monkeypatch, raises(ValueError("wrong")))
    with pytest.raises(ValueError, match="wrong"):
        cli.main(["--traceback", "try"])


def test_a_missing_extra_is_named_in_help_and_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only_row(monkeypatch, raises(AssertionError("must not run")), needs=("not_there_at_all", "json"))
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "pip install '.[edge]'" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["try"]) == 1
    told = capsys.readouterr().err
    assert "'not_there_at_all'" in told
    assert "pip install '.[edge]'" in told


def test_the_extra_that_brings_the_missing_module_is_named_not_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only_row(monkeypatch, raises(ModuleNotFoundError("none", name="mlperf_loadgen.lib")))
    assert cli.main(["try"]) == 1
    assert "pip install '.[bench]'" in capsys.readouterr().err


def test_a_command_that_lacks_several_modules_names_its_own_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = ("fastapi_is_not_there", "not_there_either")
    only_row(monkeypatch, raises(AssertionError("must not run")), needs=lacking)
    assert cli.main(["try"]) == 1
    assert "pip install '.[edge]'" in capsys.readouterr().err


def test_every_module_that_a_command_needs_is_found_from_any_folder(tmp_path: Path) -> None:
    program = "from siftfunnel.commands import COMMANDS; print({row.name: row.missing() for row in COMMANDS})"
    made = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert made.stdout.strip() == str({row.name: () for row in COMMANDS})


def test_help_is_there_before_the_extra_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only_row(monkeypatch, raises(AssertionError("must not run")), needs=("not_there_at_all",))
    with pytest.raises(SystemExit) as ended:
        cli.main(["try", "--help"])
    assert ended.value.code == 0
    assert "usage: siftfunnel try" in capsys.readouterr().out

"""Settings from a file and the environment: what counts before what, and that they mean what flags mean."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from siftfunnel import cli
from siftfunnel.commands import COMMANDS
from siftfunnel.configuration import (
    VARIABLE,
    Configuration,
    ConfigurationError,
    leaves,
    shown,
    with_configuration,
)

ROWS = {row.name: row for row in COMMANDS}


def parsed(*arguments: str, file: str = "", **environment: str) -> dict[str, Any]:
    parser = cli.build_parser(ROWS[arguments[0]])
    configuration = Configuration(Path("siftfunnel.toml"), tomllib.loads(file), environment)
    return vars(parser.parse_args(with_configuration(parser, arguments, configuration)[0]))


def test_typed_counts_before_environment_before_file() -> None:
    file = "[cloud]\nmax-batch = 8\nwindow = 3\nqueue-limit = 9"
    told = parsed(
        "cloud", "--max-batch", "2", file=file, SIFTFUNNEL_CLOUD_MAX_BATCH="4", SIFTFUNNEL_CLOUD_WINDOW="5"
    )
    assert (told["max_batch"], told["window"], told["queue_limit"]) == (2, 5, 9)


def test_what_is_typed_replaces_a_list_and_excludes_its_rivals() -> None:
    file = 'bundle = ["a", "b"]'
    assert parsed("cloud", file=f"[cloud]\n{file}")["bundle"] == ["a", "b"]
    assert parsed("cloud", "--bundle=c", file=f"[cloud]\n{file}")["bundle"] == ["c"]
    assert parsed("cloud", SIFTFUNNEL_CLOUD_BUNDLE="a,b")["bundle"] == ["a", "b"]
    rivals = parsed("bundle", "list", "--markdown", file="[bundle.list]\njson = true")
    assert (rivals["markdown"], rivals["json"]) == (True, False)


def test_what_is_typed_in_short_counts_too() -> None:
    assert parsed("cloud", "--max-b=2", file="[cloud]\nmax-batch = 8")["max_batch"] == 2


def test_switches_are_truths_and_the_environment_takes_them_back() -> None:
    file = "[cloud]\nskip-bad = true"
    assert parsed("cloud", file=file)["skip_bad"] is True
    assert parsed("cloud", file=file, SIFTFUNNEL_CLOUD_SKIP_BAD="false")["skip_bad"] is False


def test_a_required_flag_may_stand_in_the_file_and_operands_stay_operands() -> None:
    told = parsed("classify", "a.png", "--", "-b.png", file='[classify]\nbundle = "c"')
    assert (told["bundle"], told["images"]) == ("c", ["a.png", "-b.png"])


def test_of_other_commands_and_variables_nothing_is_read() -> None:
    file = "[edge]\nnonsense = 1"
    assert parsed("cloud", file=file, SIFTFUNNEL_CLOUD_PORT="tcp://10.0.0.1:1") == parsed("cloud")


@pytest.mark.parametrize(
    "file",
    [
        "[cloud]\nmax-btch = 8",
        "cloud = 3",
        '[cloud]\nskip-bad = "perhaps"',
        "[cloud]\nmax-batch = [1, 2]",
        "[cloud]\nmax-batch = true",
        "[cloud]\nlisten = 1979-05-27",
        "[cloud]\nhelp = true",
    ],
)
def test_a_file_that_says_what_no_flag_does_is_refused(file: str) -> None:
    with pytest.raises(ConfigurationError):
        parsed("cloud", file=file)


@pytest.mark.parametrize("command", ["cloud", "demo"])
def test_what_is_shown_is_a_file_that_changes_nothing(command: str) -> None:
    parser = cli.build_parser(ROWS[command])
    words, leaf = next(found for found in leaves(parser) if found[0] == (command,))
    text = shown(words, leaf, Configuration(), everything=True)
    without = Configuration(Path("f"), tomllib.loads(text))
    assert with_configuration(parser, [command], without) == ([command], [])
    defaults = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if " = " in line and '"' not in line
    )
    values = tomllib.loads(f"[{command}]\n{defaults}")[command]
    assert len(values) >= 5
    assert parsed(command, file=f"[{command}]\n{defaults}") == parsed(command)


def test_the_console_reads_the_named_file_and_says_so_when_it_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[cloud]\nmax-batch = 0\n")
    monkeypatch.setenv(VARIABLE, str(path))
    assert cli.main(["cloud"]) == 2
    assert str(path) in capsys.readouterr().err
    # what was started from here on would read nothing
    assert cli.main(["config", "show"]) == 0
    assert "max-batch" not in capsys.readouterr().out
    monkeypatch.setenv(VARIABLE, str(path))
    assert cli.main(["config", "show"]) == 0
    assert tomllib.loads(capsys.readouterr().out) == {"cloud": {"max-batch": 0}}


@pytest.mark.parametrize("content", [b"[cloud", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_wrong_input(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    monkeypatch.setenv(VARIABLE, str(path))
    assert cli.main(["bundle", "list"]) == 2
    path.write_bytes(content)
    monkeypatch.setenv(VARIABLE, str(path))
    assert cli.main(["bundle", "list"]) == 2
    assert cli.main(["config", "show", "nonsense"]) == 2

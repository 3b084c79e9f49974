"""Which result files tables are made of, and what is said of those that are not."""

import json
import shutil
from pathlib import Path

import pytest

from siftfunnel.lab.reports.study.results import ResultsError
from tests.lab.reports.made_up import GOLDEN, MINIATURE, markdown, section_rows, tables


@pytest.mark.parametrize("table", ["2", "3", "references", "information"])
def test_profiles_are_never_mixed(table: str) -> None:
    ours, other = markdown(table), markdown(table, "other")
    assert "Another made-up processor" not in ours
    assert "cccccccccc" not in ours
    assert "Made-up processor" not in other
    assert "Miniature" not in other


def test_a_result_in_another_profiles_folder_is_named_and_left_out(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(copied / "other" / "cifar10-cnn-none.json", copied / "mini" / "cifar10-cnn-none.json")
    assert tables("--results", str(copied), "--table", "2", "--profile", "mini") == 1
    out, err = capsys.readouterr()
    assert "is of profile 'other' but lies in 'mini'" in err
    assert section_rows(out, "Summary")["Unprotected"][1] == "not run"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ('{"schema": 2, "row": "cifar10-cnn-vib"}', "has schema 2, this program reads 1"),
        ('{"schema": 1, "profile": "mini"}', "has no usable seed"),
        ('{"schema": NaN}', "NaN is not a JSON number"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_rest_is_printed(
    copied: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    (copied / "mini" / "cifar10-cnn-vib.json").write_text(text)
    assert tables("--results", str(copied), "--table", "2", "--profile", "mini") == 1
    out, err = capsys.readouterr()
    assert "cifar10-cnn-vib.json" in err
    assert complaint in err
    assert len(err.splitlines()) == 1
    assert out == GOLDEN.read_text()


def test_a_file_under_another_rows_name_is_refused(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(copied / "mini" / "cifar10-cnn-bido.json", copied / "mini" / "cifar10-cnn-vib.json")
    assert tables("--results", str(copied), "--table", "2", "--profile", "mini") == 1
    assert "which its name does not say" in capsys.readouterr().err


def test_another_tools_results_are_passed_over(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "mini" / "speed.json").write_text('{"kind": "speed", "schema": 7}')
    assert tables("--results", str(copied), "--table", "2", "--profile", "mini") == 0
    assert capsys.readouterr().err == ""


def test_without_results_the_error_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="siftfunnel lab run cifar10-cnn-none --profile cpu"):
        tables("--results", str(tmp_path))


def test_an_unknown_profile_lists_those_that_are_there() -> None:
    with pytest.raises(ResultsError, match="there are mini, other"):
        tables("--results", str(MINIATURE), "--profile", "full")


def test_a_half_done_result_is_printed_with_what_it_has(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "mini" / "cifar10-cnn-bido.json"
    result = json.loads(path.read_text())
    for key in ("accuracy", "references"):
        del result[key]
    result["attacks"] = {}
    path.write_text(json.dumps(result))
    assert tables("--results", str(copied), "--profile", "mini") == 0
    row = section_rows(capsys.readouterr().out, "Summary")["BiDO"]
    assert row[2:] == ["-"] * 7

"""``siftfunnel lab tables`` on the made-up result set: every number traced to its file."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from siftfunnel.lab.reports.pages import to_csv, to_json, to_markdown
from siftfunnel.lab.reports.study.results import RESULTS, ResultsError, read_results
from siftfunnel.lab.reports.study.speed import fit_seconds, pictures_per_s
from siftfunnel.lab.reports.study.tables import make_pages
from tests.lab.reports.made_up import GOLDEN, MINIATURE, markdown, section_rows, stored, studies, tables


def test_table_2_is_the_golden_file() -> None:
    assert markdown("2") == GOLDEN.read_text()


def test_what_cannot_be_trusted_stands_beside_the_figures(copied: Path) -> None:
    path = copied / "mini/cifar10-cnn-none.json"
    result = json.loads(path.read_text())
    result["accuracy"] |= {"learned_nothing": True, "largest_class": 0.1}
    rates = [{"learning_rate": rate, "whitened": True, "psnr_db": rate} for rate in (1.0, 2.0)]
    result["attacks"]["rmle"]["fit"] = {"scores": rates}
    curve = [{"held_back_psnr": db} for db in (10.0, 12.0, 13.0, 14.0)]
    result["attacks"]["residual"]["fit"] = {"history": curve}
    path.write_text(json.dumps(result))
    (page,) = make_pages(read_results(copied, print)["mini"], "2")
    row = section_rows(to_markdown(page), "What these figures cannot be trusted with")["Unprotected"]
    assert row[:4] == ["training", "rMLE as the authors run it", "rMLE done right", "Residual inverter"]


def test_our_columns_are_those_of_the_result_file() -> None:
    scores = stored("cifar10-cnn-none")["attacks"]["residual"]["scores"]
    psnr = scores["standard"]["psnr_db"]
    row = section_rows(markdown("2"), "Summary")["Unprotected"]
    assert (psnr["mean"], psnr["ci95"]) == (21.25, [21.0, 21.5])
    assert row[1] == "62.0 [59.0, 65.0]"
    leak = ["21.25 [21.00, 21.50]", "22.90", "100.0", "21.25 [21.00, 21.50]", "100.0"]
    assert row[2:] == ["Residual inverter", *leak, "20,000"]


def test_the_papers_mse_stands_in_its_own_column_and_is_three_times_the_standard_one() -> None:
    attack = stored("cifar10-cnn-none")["attacks"]["generative-black-box"]["scores"]
    assert attack["paper"]["mse"] == pytest.approx(3 * attack["standard"]["mse"]["mean"])
    rows = section_rows(markdown("2"), "Generative inverter, black-box")
    assert rows["Unprotected"][1] == "0.0300"


def test_the_drop_is_against_the_unprotected_row_of_the_same_profile() -> None:
    rows = section_rows(markdown("2"), "Accuracy")
    assert rows["BiDO"][3] == "-4.0"
    assert rows["SiftFunnel, 2 seeds"][3] == "-7.0"
    assert rows["Unprotected"][2:4] == ["-", "-"]
    other = section_rows(markdown("2", "other"), "Accuracy")
    assert other["SiftFunnel"][3] == "-3.0"


def test_cost_stands_beside_the_papers_edge_parameters() -> None:
    row = section_rows(markdown("2"), "Cost of the edge")["SiftFunnel, 2 seeds"]
    assert row == ["14911", "7,594", "7,546", "15.1", "30.2", "100.0", "0.50", "-"]


def test_seeds_are_averaged_with_their_spread() -> None:
    # 0.54 and 0.56: mean 0.55, standard deviation 0.01414; 15.5 and 15.9 dB: 15.7 and 0.2828
    row = section_rows(markdown("2"), "Summary")["SiftFunnel, 2 seeds"]
    assert row[1] == "55.0 ± 1.4"
    assert row[3] == "15.70 ± 0.28"


def test_rows_not_run_missing_attacks_and_lost_figures_are_told_apart() -> None:
    text = markdown("2")
    assert set(section_rows(text, "Summary")["VIB"][1:]) == {"not run"}
    assert section_rows(text, "Summary")["NLS"][0] == "lost in the paper"
    assert section_rows(text, "rMLE done right, beside the paper's rMLE")["BiDO"][1] == "-"
    assert section_rows(text, "Every attack: PSNR dB (worst 5 %)")["BiDO"] == [
        "6.60 (8.25)",
        "-",
        "17.00 (18.65)",
        "-",
        "-",
    ]


def test_rows_of_ours_are_marked_as_not_in_the_paper() -> None:
    row = section_rows(markdown("2"), "Summary")["Funnel, cross-entropy only (not in the paper)"]
    assert row[:2] == ["-", "60.0 [57.0, 63.0]"]


def test_an_averaging_attack_can_be_the_strongest_and_is_shown_beside_the_single_look() -> None:
    text = markdown("2")
    summary = section_rows(text, "Summary")["Add noise"]
    assert (summary[3], summary[6]) == ("18.00 [17.75, 18.25]", "19.00 [18.75, 19.25]")
    averaged = section_rows(text, "Averaging over observations of the same picture")
    assert averaged["Add noise"] == [
        "rMLE done right",
        "16",
        "17.00 [16.75, 17.25]",
        "19.00 [18.75, 19.25]",
        "87.5",
        "100.0",
    ]


def test_every_table_with_attacks_ends_in_the_reference_rows() -> None:
    for title in ("Summary", "rMLE as the authors run it", "Strongest attack"):
        labels = list(section_rows(markdown("2"), title))
        assert labels[-6] == "Reference: mean image"
        assert labels[-1] == "Reference: noise cut to [0, 1]"


@pytest.mark.parametrize(
    "table", ["2", "3", "equal", "references", "information", "predictors", "figure2", "speed"]
)
def test_a_document_heads_with_its_profile_in_words_and_its_machine(table: str) -> None:
    text = markdown(table)
    words = "Miniature profile: 32x32, width 32, 1,000 training pictures, 3 epochs, 8 attacked pictures"
    assert words in text
    assert "not comparable in level with the paper's 64x64, width 128, 200 to 300 epochs" in text
    assert "Machine: Made-up processor, 2 cores. Commit: aaaaaaaaaa" in text


def of_suite(root: Path, row: str, budget: str, psnr_db: float) -> None:
    """A row attacked by AutoInvert, in the folder of its budget."""
    result = stored(row)
    attack = result["attacks"]["rmle-authors"]
    attack["scores"]["standard"]["psnr_db"]["mean"] = psnr_db
    attack["scores"]["identity"] = {"reidentified_rank1": 0.75, "perceptual_distance": 0.5}
    judge = {"mean_image": {"reidentified_rank1": 0.125, "perceptual_distance": 0.9}}
    result |= {"attacks": {"rmle": attack}, "identity": {"references": judge}}
    result["suite"] = {"name": "AutoInvert", "version": 1, "budget": budget}
    (root / "mini" / budget).mkdir(exist_ok=True)
    (root / "mini" / budget / f"{row}.json").write_text(json.dumps(result))


def test_attacks_of_two_budgets_or_suites_never_stand_in_one_table(copied: Path) -> None:
    for row, budget, psnr_db in (
        ("cifar10-cnn-none", "fast", 30.0),
        ("cifar10-cnn-bido", "fast", 20.0),
        ("cifar10-cnn-none", "standard", 33.0),
    ):
        of_suite(copied, row, budget, psnr_db)
    study = read_results(copied, print)["mini"]
    pages = {page.table: to_markdown(page) for page in make_pages(study, "all")}
    rows = section_rows(pages["2"], "Summary")
    assert [rows[name][3].split()[0] for name in ("Unprotected", "BiDO")] == ["30.00", "20.00"]
    assert rows["Add noise"][1:4] == ["50.0 [47.0, 53.0]", "-", "-"]  # measured, attacked before AutoInvert
    assert section_rows(pages["before"], "Summary")["Unprotected"][3].split()[0] == "21.25"
    assert [line[:2] for line in section_rows(pages["budgets"], "One row under several budgets").values()][2:]
    told = section_rows(pages["2"], "Identity, from one frame")
    assert told["Unprotected"][1:] == ["12.5", "75.0", "-", "0.500"]
    assert told["Reference: mean image"][2:] == ["12.5", "-", "0.900"]


def test_a_front_is_read_between_its_weights_and_nowhere_beyond(copied: Path) -> None:
    for weight, accuracy, psnr_db in ((4, 0.5, 15.0), (16, 0.6, 17.0)):
        result = stored("cifar10-cnn-bido") | {"row": f"cifar10-cnn-bido-weight-{weight}"}
        result["accuracy"]["test"] = accuracy
        for attack in result["attacks"].values():
            attack["scores"]["standard"]["psnr_db"]["mean"] = psnr_db
        (copied / "mini" / f"{result['row']}.json").write_text(json.dumps(result))
    (page,) = make_pages(read_results(copied, print)["mini"], "front")
    rows = section_rows(to_markdown(page), "Read at SiftFunnel's accuracy, 55.0 %")
    assert rows["bido"] == ["3", "50.0", "60.0", "16.25"]


def test_a_table_without_a_row_says_so() -> None:
    with pytest.raises(ResultsError, match="belongs to table 5"):
        tables("--results", str(MINIATURE), "--table", "5")


def test_rows_on_other_settings_are_named_at_the_head(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "mini" / "cifar10-cnn-bido.json"
    result = json.loads(path.read_text())
    result["profile_settings"]["epochs"] = 30
    path.write_text(json.dumps(result))
    tables("--results", str(copied), "--table", "2", "--profile", "mini")
    assert "Not on equal terms:** these rows ran with other settings: cifar10-cnn-bido (epochs)" in (
        capsys.readouterr().out
    )


def test_references_of_other_pictures_are_reported(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / "mini" / "cifar10-cnn-bido.json"
    result = json.loads(path.read_text())
    result["references"]["mean_image"]["standard"]["mse"]["mean"] = 0.05
    path.write_text(json.dumps(result))
    tables("--results", str(copied), "--table", "2", "--profile", "mini")
    assert "Not the same pictures" in capsys.readouterr().out


def test_csv_has_one_line_per_cell_with_the_number_behind_it() -> None:
    pages = make_pages(studies()["mini"], "2")
    lines = list(csv.DictReader(io.StringIO(to_csv(pages))))
    wanted = {"section": "summary", "row": "Unprotected", "column": "PSNR dB, one frame"}
    (line,) = [line for line in lines if all(line[key] == value for key, value in wanted.items())]
    assert (line["profile"], line["table"], line["text"]) == ("mini", "2", "21.25 [21.00, 21.50]")
    assert (float(line["value"]), float(line["low"]), float(line["high"])) == (21.25, 21.0, 21.5)
    assert (line["spread"], line["seeds"]) == ("", "1")


def test_json_has_the_same_cells() -> None:
    (stored_page,) = json.loads(to_json(make_pages(studies()["mini"], "2")))
    summary = stored_page["sections"][0]
    row = dict(zip(summary["columns"], summary["rows"][0], strict=True))
    assert row["PSNR dB, one frame"] == {
        "text": "21.25 [21.00, 21.50]",
        "value": 21.25,
        "low": 21.0,
        "high": 21.5,
        "seeds": 1,
    }
    assert row["Accuracy %, paper"] == {"text": "88.28", "value": 88.28}


@pytest.mark.parametrize("wanted", ["markdown", "csv", "json"])
def test_files_are_written_apart_by_profile_and_every_link_leads_to_one(tmp_path: Path, wanted: str) -> None:
    assert tables("--results", str(MINIATURE), "--format", wanted, "--out", str(tmp_path)) == 0
    ending = {"markdown": "md"}.get(wanted, wanted)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob(f"*.{ending}")}
    assert {f"mini/table2.{ending}", f"other/table2.{ending}", f"mini/figure2.{ending}"} <= names
    assert f"mini/table5.{ending}" not in names
    assert ("README.md" in names) == (wanted == "markdown")
    links = [
        page.parent / link
        for page in tmp_path.rglob("*.md")
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text())
    ]
    assert (len(links) > 12) == (wanted == "markdown")
    assert [str(link) for link in links if not link.is_file()] == []


def test_equal_accuracy_puts_the_stopped_rows_before_the_full_ones() -> None:
    rows = section_rows(markdown("equal"), "cifar10, CNN")
    labels = ["Unprotected equal", "SiftFunnel equal", "Unprotected", "SiftFunnel, 2 seeds"]
    assert list(rows)[2:6] == labels
    assert rows["SiftFunnel equal"][:2] == ["52.5 [49.5, 55.5]", "53.5"]


def test_a_row_that_ends_at_the_others_accuracy_stands_among_the_equal_ones() -> None:
    (page,) = make_pages(read_results(RESULTS, lambda text: None)["cpu"], "equal")
    rows = section_rows(to_markdown(page), "cifar10, CNN")
    assert list(rows)[2:6] == [
        "Unprotected equal",
        "BiDO (its authors' weights) equal",
        "SiftFunnel",
        "Unprotected",
    ]


def test_figure_2_goes_block_by_block() -> None:
    text = markdown("figure2")
    rows = section_rows(text, "CNN: information after each block")
    assert list(rows)[2:] == ["block 1", "block 2", "block 3", "block 4"]
    assert rows["block 2"][:3] == ["64x8x8", "4,096", "0.4500"]
    assert section_rows(text, "CNN: rMLE done right")["block 1"][3] == "23.00 [22.75, 23.25]"


def test_speed_is_told_per_row_and_per_attack() -> None:
    (page,) = make_pages(read_results(RESULTS, lambda text: None)["cpu"], "speed")
    text = to_markdown(page)
    training, attacks = (section_rows(text, f"cifar10, CNN: {what}") for what in ("training", "attacks"))
    assert float(training["Unprotected"][0]) > 0
    headings = 2
    assert attacks["rMLE done right"][0] == str(len(training) - headings)


def test_what_was_resumed_counts_in_full() -> None:
    resumed = {"fit_seconds": 0.1, "fit": {"seconds": 40.0}, "reconstruct_seconds": 0.2, "details": {}}
    assert fit_seconds(resumed) == 40.0
    assert pictures_per_s({**resumed, "scores": {"pictures": 100}}) == 500.0
    assert pictures_per_s({**resumed, "scores": {}}) is None


def test_the_committed_miniature_says_that_it_is_made_up() -> None:
    for path in MINIATURE.glob("*/*.json"):
        assert "made up" in json.loads(path.read_text())["made_up"]

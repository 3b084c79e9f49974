"""The paper's figures as data, and which of our rows stands for which of the paper's."""

import csv
from pathlib import Path

import pytest

from siftfunnel.lab.defences.registry import DEFENCES
from siftfunnel.lab.networks.registry import FAMILIES as NETWORK_FAMILIES
from siftfunnel.lab.reports.study import paper
from siftfunnel.lab.reports.study.lines import table_lines
from siftfunnel.lab.reports.study.results import RowResult, Study

METRICS = ("mse", "psnr", "ssim")


def lines_of(table: str) -> list[dict[str, str]]:
    with Path(paper.SOURCE).open(newline="") as file:
        return [line for line in csv.DictReader(file) if line["table"] == f"T{table}"]


def test_every_row_of_ours_names_a_defence_and_a_family_that_exist() -> None:
    lines = [line for table in paper.PAPER_TABLES for line in table_lines(Study("cpu", {}, {}), table)]
    assert {paper.defence_of(line.row) for line in lines} <= set(DEFENCES)
    assert {paper.group_of(line.row)[1] for line in lines} <= set(NETWORK_FAMILIES)


@pytest.mark.parametrize(
    ("table", "model", "method", "row"),
    [
        ("2", "CNN", "NLS", "cifar10-cnn-negative-label-smoothing"),
        ("3", "VGG16", "SiftFunnel", "cifar10-vgg16-siftfunnel"),
        ("4", "ResNet-18", "AE-based", "cifar10-resnet18-autoencoder"),
        ("5", "CNN", "Unprotected", "facescrub-cnn-none"),
    ],
)
def test_a_row_of_the_paper_has_one_of_ours(table: str, model: str, method: str, row: str) -> None:
    assert (model, method, row) in {(each.model, each.method, each.row) for each in paper.paper_rows(table)}


def test_a_defence_that_the_paper_lacks_stands_in_the_tables_of_its_data_and_family() -> None:
    told = {
        "cifar10-cnn-new": {"name": "new", "label": "New"},
        "cifar10-cnn-new-equal": {"name": "new", "label": "New"},
        "cifar10-cnn-bido": {"name": "bido", "label": "BiDO"},
    }
    rows = {name: RowResult(name, ({"seed": 1, "defence": each},)) for name, each in told.items()}
    own = {
        table: [line.label for line in table_lines(Study("cpu", rows, {}), table) if not line.paper]
        for table in "2345"
    }
    assert own == {"2": ["New (not in the paper)"], "3": [], "4": [], "5": []}


@pytest.mark.parametrize("table", ["2", "3", "4", "5"])
def test_joined_rows_hold_every_figure_of_the_file(table: str) -> None:
    rows = {(row.model, row.method): row for row in paper.paper_rows(table)}
    for line in lines_of(table):
        row = rows[line["model"], line["method"]]
        scenario = row.gray_box if line["gen_scenario"] == "gray-box" else row.black_box
        assert scenario is not None
        assert [getattr(scenario, name) for name in METRICS] == [line[f"gen_{name}"] for name in METRICS]
        assert row.accuracy == line["test_acc"]
        assert row.drop == line["acc_drop"]
        # of the two lines of a method attacked twice, only the second has what is not an inverter's
        if line["gen_scenario"] == "gray-box" or row.gray_box is None:
            white = [getattr(row.white_box, name) for name in METRICS]
            assert white == [line[f"mle_{name}"] for name in METRICS]
            assert row.mutual_information == line["MI"]
            assert row.effective_information == line["delta_z"]
            assert row.edge_parameters == line["edge_params"]


def test_table_2_in_literal_figures() -> None:
    rows = {row.method: row for row in paper.paper_rows("2")}
    assert list(rows) == list(paper.METHODS)
    sift = rows["SiftFunnel"]
    assert (sift.accuracy, sift.drop) == ("85.49", "-2.79")
    assert sift.white_box == paper.Printed("0.6792", "6.4510", "0.0051")
    assert sift.black_box == paper.Printed("0.1166", "14.1112", "0.5419")
    assert sift.gray_box == paper.Printed("0.0639", "16.7314", "0.7647")
    assert (sift.mutual_information, sift.effective_information) == ("0.0167", "1006")
    assert sift.edge_parameters == "14911"
    assert rows["NLS"].accuracy == ""
    assert rows["BiDO"].gray_box is None


def test_table_3_goes_from_the_cnn_to_vgg() -> None:
    assert [row.model for row in paper.paper_rows("3")] == ["CNN", "ResNet-18", "VGG16"]


def test_misprints_name_rows_that_exist() -> None:
    for table, method in paper.MISPRINTS:
        assert method in {row.method for row in paper.paper_rows(table)}


@pytest.mark.parametrize("name", ["cifar10", "cnn-none", "cifar10-lenet-none", "cifar10-cnn"])
def test_a_name_that_is_no_row_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="<dataset>-<family>-<defence>"):
        paper.group_of(name)

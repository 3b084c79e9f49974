"""The paper's Tables 2 to 5 as data (arXiv 2501.00824v1), and the row of ours that stands for each.

``paper_tables.csv`` holds every figure as printed. Which table is which, and the names of the perturbation
rows, were inferred: the captions and some labels are not readable. A method attacked twice has two lines
there, of which the first has the black-box and the second the gray-box inverter.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("paper_tables.csv")

PAPER_TABLES: Mapping[str, str] = {
    "2": "CIFAR-10, CNN: every defence",
    "3": "CIFAR-10: SiftFunnel in three families of networks",
    "4": "CIFAR-10, ResNet-18: every defence",
    "5": "FaceScrub, CNN: every defence",
}
"""The paper's tables of results by number."""

METHODS: Mapping[str, str] = {
    "Unprotected": "none",
    "Add noise": "gaussian-noise",
    "Drop features": "feature-dropout",
    "DPSGD": "dpsgd",
    "NLS": "negative-label-smoothing",
    "MID": "mid",
    "BiDO": "bido",
    "VIB": "vib",
    "InfoSCISSORS": "infoscissors",
    "AE-based": "autoencoder",
    "SiftFunnel": "siftfunnel",
}
"""The paper's methods and our defences."""

DATASETS: Mapping[str, str] = {"CIFAR-10": "cifar10", "FaceScrub": "facescrub"}
FAMILIES: Mapping[str, str] = {"CNN": "cnn", "ResNet-18": "resnet18", "VGG16": "vgg16"}

MISPRINTS: Mapping[tuple[str, str], str] = {
    ("2", "MID"): "rMLE PSNR lies 1.9 dB below what the printed MSE implies, which averaging cannot cause",
    ("2", "NLS"): "rMLE MSE is rounded to one digit; its PSNR implies 0.00018",
    ("4", "Unprotected"): "an rMLE MSE of 0.0001 would be 44.8 dB, not 71.1",
    ("4", "BiDO"): "inverter MSE and PSNR are those of VIB",
    ("4", "VIB"): "inverter MSE and PSNR are those of BiDO",
    ("5", "Unprotected"): "an inverter MSE of 0.0006 fits the standard definition; the PSNR needs 0.0017",
    ("5", "MID"): "accuracy drop printed as 10.98; 88.31 - 79.45 is 8.86",
}
"""What does not fit together in the paper, by table and method; found by ``10 log10(3 / MSE) = PSNR``."""


@dataclass(frozen=True)
class Printed:
    """MSE, PSNR and SSIM of one attack as printed; an empty text is a figure that the paper lacks."""

    mse: str = ""
    psnr: str = ""
    ssim: str = ""


@dataclass(frozen=True)
class PaperRow:
    """One row of a table of the paper; figures are texts as printed, empty where lost.

    Attributes:
        row: Name of our row.
        model: As printed.
        method: As printed, or inferred.
        inferred: Whether the method's name is inferred.
        setting: The method's parameters as far as known.
        accuracy: Test accuracy in per cent.
        drop: Against the unprotected network, in points.
        white_box: rMLE.
        black_box: Generative inverter.
        gray_box: The same with the inverter shaped after the edge; None where the paper does not run it.
        mutual_information: The authors' critic.
        effective_information: Effective information mean, delta_z.
        edge_parameters: Of the edge half.
    """

    row: str
    model: str
    method: str
    inferred: bool
    setting: str
    accuracy: str
    drop: str
    white_box: Printed
    black_box: Printed
    gray_box: Printed | None
    mutual_information: str
    effective_information: str
    edge_parameters: str


def unprotected_row(row: str) -> str:
    """The row that a row's accuracy drop is taken against: same data set and family.

    Example:
        >>> unprotected_row("cifar10-resnet18-bido")
        'cifar10-resnet18-none'
    """
    return "-".join((*group_of(row), "none"))


def group_of(row: str) -> tuple[str, str]:
    """Data set and family of a row; the family is the first part that names one.

    Raises:
        ValueError: there is none.

    Example:
        >>> group_of("faces-other-domain-cnn-feature-dropout")
        ('faces-other-domain', 'cnn')
    """
    parts = row.split("-")
    for place, part in enumerate(parts):
        if part in FAMILIES.values() and place and place + 1 < len(parts):
            return "-".join(parts[:place]), part
    raise ValueError(
        f"{row!r} is no row: <dataset>-<family>-<defence>, with a family of {', '.join(FAMILIES.values())}"
    )


def defence_of(row: str) -> str:
    """What follows data set and family.

    Example:
        >>> defence_of("cifar10-cnn-bido-equal")
        'bido-equal'
    """
    return row.removeprefix("-".join(group_of(row)) + "-")


def order_of(row: str) -> tuple[int, str]:
    """Sorts rows as the paper orders defences; ours come after, variants of a defence right behind it.

    Example:
        >>> sorted(["cifar10-cnn-vib", "cifar10-cnn-none-equal", "cifar10-cnn-none"], key=order_of)
        ['cifar10-cnn-none', 'cifar10-cnn-none-equal', 'cifar10-cnn-vib']
    """
    own = defence_of(row)
    known = [*METHODS.values()]
    places = [place for place, name in enumerate(known) if own == name or own.startswith(f"{name}-")]
    return (places[0] if places else len(known)), own


@cache
def paper_rows(table: str) -> tuple[PaperRow, ...]:
    """The rows of a table, in the order printed.

    Raises:
        KeyError: no table of results has that number.

    Example:
        >>> paper_rows("4")[2].row
        'cifar10-resnet18-feature-dropout'
    """
    if table not in PAPER_TABLES:
        raise KeyError(table)
    joined: dict[tuple[str, str], list[dict[str, str]]] = {}
    with SOURCE.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if line["table"] == f"T{table}":
                joined.setdefault((line["model"], line["method"]), []).append(line)
    # the file has Table 3's CNN rows at its end
    order = [*FAMILIES]
    return tuple(sorted(map(_joined, joined.values()), key=lambda row: order.index(row.model)))


def _joined(lines: list[dict[str, str]]) -> PaperRow:
    def first(column: str) -> str:
        return next((line[column] for line in lines if line[column]), "")

    def inverter(scenario: str) -> Printed | None:
        found = (line for line in lines if line["gen_scenario"] == scenario)
        return next((Printed(line["gen_mse"], line["gen_psnr"], line["gen_ssim"]) for line in found), None)

    model, method = first("model"), first("method")
    return PaperRow(
        row=f"{DATASETS[first('dataset')]}-{FAMILIES[model]}-{METHODS[method]}",
        model=model,
        method=method,
        inferred=first("label_source") == "inferred",
        setting=first("row_label"),
        accuracy=first("test_acc"),
        drop=first("acc_drop"),
        white_box=Printed(first("mle_mse"), first("mle_psnr"), first("mle_ssim")),
        black_box=inverter("black-box") or Printed(),
        gray_box=inverter("gray-box"),
        mutual_information=first("MI"),
        effective_information=first("delta_z"),
        edge_parameters=first("edge_params"),
    )

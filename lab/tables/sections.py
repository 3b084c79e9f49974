"""The parts of Tables 2 to 5, the summary first."""

from collections.abc import Sequence

from siftfunnel.lab.tables.attack_sections import (
    BLACK_BOX,
    PAPER_ATTACKS,
    attack_label,
    attack_section,
    averaged,
    every_attack,
    strongest_attack,
)
from siftfunnel.lab.tables.cells import NONE, NOT_RUN, Cell, Document, Section, measured, printed, words
from siftfunnel.lab.tables.lines import (
    PER_CENT,
    Line,
    paper_scores,
    reference_rows,
    references_differ,
    run_rows,
    standard_scores,
    table_lines,
)
from siftfunnel.lab.tables.paper import MISPRINTS, PAPER_TABLES, unprotected_row
from siftfunnel.lab.tables.profiles import chance, preamble
from siftfunnel.lab.tables.results import Figure, RowResult, Study, dig
from siftfunnel.lab.tables.settings import settings_section
from siftfunnel.lab.tables.trust import flags_section

DEFINITIONS = (
    "Figures marked † are by the paper's definitions: squared error summed over the colours (three times "
    "the standard MSE), PSNR of a whole batch, SSIM across the batch. All others are standard: per "
    "picture, mean [95 % interval over pictures], or mean ± standard deviation over seeds. *Worst 5 %* "
    "is the mean over the pictures restored best. Rank-1 is how often the restored picture finds its "
    "original among the attacked ones."
)


def paper_table(study: Study, table: str) -> Document | None:
    """Table 2, 3, 4 or 5 of one profile; None where no row of it was run."""
    lines = table_lines(study, table)
    rows = run_rows(lines)
    if not rows:
        return None
    family = str(dig(rows[0].first, "network", "family") or "")
    head = preamble(study, rows, family if table != "3" else None)
    if references_differ(rows):
        head += ("**Not the same pictures:** reference rows differ between results of this table.",)
    sections = [
        summary(lines, table),
        accuracy(study, lines),
        cost(lines),
        information(lines),
        *(attack_section(lines, key) for key in PAPER_ATTACKS),
        strongest_attack(lines),
        flags_section(lines),
        every_attack(lines, "psnr"),
        every_attack(lines, "paper-mse"),
        averaged(lines),
        settings_section(lines),
    ]
    return Document(
        study.profile,
        table,
        f"Table {table}. {PAPER_TABLES[table]}",
        (*head, DEFINITIONS),
        tuple(section for section in sections if section.rows),
    )


def summary(lines: Sequence[Line], table: str) -> Section:
    """Accuracy, the paper's attack beside ours, and the strongest attack."""
    columns = (
        "Defence",
        "Accuracy %, paper",
        "Accuracy %, ours",
        "Inverter MSE†, paper",
        "Inverter MSE†, ours",
        "Strongest attack",
        "PSNR dB",
        "Worst 5 % dB",
        "SSIM",
        "Rank-1 %",
        "Feature, bits",
    )
    rows = [_summary_row(line) for line in lines]
    for label, row, path in reference_rows(run_rows(lines)):
        mse = paper_scores(row, *path)[0]
        rows.append((label, NONE, NONE, NONE, mse, NONE, *standard_scores(row, *path), NONE))
    notes = [f"{method}: {note}." for (where, method), note in MISPRINTS.items() if where == table]
    guess = chance(run_rows(lines))
    return Section(
        "summary",
        "Summary",
        columns,
        tuple(rows),
        intro="The inverter is the paper's black-box one. The strongest attack is the one with the "
        "highest mean PSNR of those that were run on the row: a lower bound of what leaks, and a row "
        f"with fewer attacks had fewer chances to leak. Rank-1 of a guess is {PER_CENT * guess:.1f} %. "
        "*Bits* is the mean size of the entropy-coded 8-bit feature, an upper bound of what it carries.",
        notes=tuple(notes),
    )


def _summary_row(line: Line) -> tuple[Cell, ...]:
    return (
        words(line.label),
        printed(line.paper.accuracy) if line.paper else NONE,
        line.figure("accuracy", "test", digits=1, scale=PER_CENT, ci95=("accuracy", "ci95")),
        line.figures_of_paper("black_box")[0],
        paper_scores(line.ours, "attacks", BLACK_BOX, "scores")[0],
        *_strongest_cells(line.ours),
        line.figure("information", "entropy_coded_bits", "mean", digits=0),
    )


def _strongest_cells(row: RowResult | None) -> tuple[Cell, ...]:
    if row is None:
        return (NOT_RUN,) * 5
    key = row.strongest()
    if key is None:
        return (NONE,) * 5
    return (words(attack_label([row], key)), *standard_scores(row, "attacks", key, "scores"))


def accuracy(study: Study, lines: Sequence[Line]) -> Section:
    """What is left of the task."""
    columns = (
        "Defence",
        "Accuracy %, paper",
        "Accuracy %, ours",
        "Drop, paper",
        "Drop, ours",
        "Validation %",
        "Epochs",
        "Best epoch",
    )
    rows = []
    for line in lines:
        paper = line.paper
        unprotected = paper is not None and paper.method == "Unprotected"
        rows.append(
            (
                words(line.label),
                printed(paper.accuracy) if paper else NONE,
                line.figure("accuracy", "test", digits=1, scale=PER_CENT, ci95=("accuracy", "ci95")),
                printed(paper.drop, lost=not unprotected) if paper else NONE,
                accuracy_drop(study, line),
                line.figure("training", "validation_accuracy", digits=1, scale=PER_CENT),
                line.figure("training", "epochs_done", digits=0),
                line.figure("training", "best_epoch", digits=0),
            )
        )
    intro = "The drop is in points against the unprotected network of the same data and family."
    return Section("accuracy", "Accuracy", columns, tuple(rows), intro=intro)


def cost(lines: Sequence[Line]) -> Section:
    """What the edge half costs a device."""
    columns = (
        "Defence",
        "Edge parameters, paper",
        "Edge parameters, ours, as torchsummary",
        "Edge parameters, ours",
        "Edge file, kB",
        "Weights in memory, kB",
        "Activations, kB",
        "Latency CPU, ms",
        "Latency GPU, ms",
    )
    memory = ("cost", "edge_memory_bytes")
    rows = tuple(
        (
            words(line.label),
            printed(line.paper.edge_parameters) if line.paper else NONE,
            line.figure("network", "edge_parameters_torchsummary", digits=0),
            line.figure("network", "edge_parameters", digits=0),
            line.figure("cost", "edge_file_bytes", digits=1, scale=1e-3),
            line.figure(*memory, "parameter_bytes", digits=1, scale=1e-3),
            line.figure(*memory, "activation_bytes", digits=1, scale=1e-3),
            line.figure("cost", "edge_latency_ms_cpu", "median_ms", digits=2),
            line.figure("cost", "edge_latency_ms_gpu", "median_ms", digits=2),
        )
        for line in lines
    )
    return Section(
        "cost",
        "Cost of the edge",
        columns,
        rows,
        intro="torchsummary, which the authors counted with, counts shared layers twice. Widths differ "
        "from the paper's where the profile says so. Latency is the median of single pictures on one CPU "
        "thread, and on a GPU where there was one.",
    )


def accuracy_drop(study: Study, line: Line) -> Cell:
    """Points of accuracy against the unprotected row; nothing for that row itself or where it was not run."""
    if line.ours is None:
        return NOT_RUN
    base = study.rows.get(unprotected_row(line.row))
    own = line.ours.figure("accuracy", "test")
    other = base.figure("accuracy", "test") if base and base.name != line.row else None
    if own is None or other is None:
        return NONE
    return measured(Figure(PER_CENT * (own.value - other.value)), 1, sign=True)


def information(lines: Sequence[Line]) -> Section:
    """What the feature says of the picture, with neither attack nor task."""
    columns = (
        "Defence",
        "MI†, paper",
        "MI†, ours",
        "delta_z, paper",
        "delta_z, ours",
        "Values in the feature",
        "MINE, nats",
        "InfoNCE, nats",
        "Rank-1 from the feature %",
        "dCor², unbiased",
        "Feature, bits",
    )
    rows = []
    for line in lines:
        paper = line.paper
        rows.append(
            (
                words(line.label),
                printed(paper.mutual_information) if paper else NONE,
                line.figure("information", "mine_authors", "nats", digits=4),
                printed(paper.effective_information) if paper else NONE,
                *_own_information(line),
            )
        )
    return Section(
        "information",
        "Information at the cut",
        columns,
        tuple(rows),
        intro="MI† is the authors' critic, which cannot pass 1 nat. delta_z counts the entries that are "
        f"not 0. {ceilings(run_rows(lines))}",
    )


def _own_information(line: Line) -> tuple[Cell, ...]:
    return (
        line.figure("information", "effective_information_mean", digits=0),
        line.figure("information", "feature_values", digits=0),
        line.figure("information", "mine", "nats", digits=2),
        line.figure("information", "info_nce", "nats", digits=2),
        line.figure("information", "retrieval_rank1_from_feature", digits=1, scale=PER_CENT),
        line.figure("information", "distance_correlation_unbiased", digits=3),
        line.figure("information", "entropy_coded_bits", "mean", digits=0),
    )


def ceilings(rows: Sequence[RowResult]) -> str:
    """What the two estimators cannot pass, as far as results say it."""
    parts = []
    for name, key in (("MINE", "mine"), ("InfoNCE", "info_nce")):
        found = next((f for row in rows if (f := row.figure("information", key, "ceiling_nats"))), None)
        if found is not None:
            parts.append(f"{name} {found.value:.2f}")
    return f"Ceilings in nats: {', '.join(parts)}." if parts else ""

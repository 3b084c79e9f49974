"""The parts of Tables 2 to 5, the summary first."""

import json
from collections.abc import Sequence

from siftfunnel.lab.reports.study.attack_sections import (
    DEFENCE,
    PAPER_ATTACKS,
    averaged,
    every_attack,
    flags_table,
    identity_tables,
    papers_attack,
    strongest,
    with_references,
)
from siftfunnel.lab.reports.study.lines import (
    ACCURACY,
    BITS,
    PER_CENT,
    Line,
    information,
    named,
    own,
    printed,
    references_differ,
    run_rows,
    strongest_columns,
    table_lines,
)
from siftfunnel.lab.reports.study.paper import MISPRINTS, PAPER_TABLES, unprotected_row
from siftfunnel.lab.reports.study.profiles import chance, preamble
from siftfunnel.lab.reports.study.results import RowResult, Study, dig
from siftfunnel.lab.reports.table import NONE, NOT_RUN, Cell, Column, Figure, Page, Table, measured

DEFINITIONS = (
    "Figures marked † are by the paper's definitions: squared error summed over the colours (three times "
    "the standard MSE), PSNR of a whole batch, SSIM across the batch. All others are standard: per "
    "picture, mean [95 % interval over pictures], or mean ± standard deviation over seeds. *Worst 5 %* "
    "is the mean over the pictures restored best. Rank-1 is how often the restored picture finds its "
    "original among the attacked ones."
)


PAPER_ACCURACY: Column[Line] = ("Accuracy %, paper", lambda line: line.of_paper(lambda paper: paper.accuracy))


def paper_table(study: Study, table: str) -> Page | None:
    """Table 2, 3, 4 or 5 of one profile; None where no row of it was run."""
    lines = table_lines(study, table)
    rows = run_rows(lines)
    if not rows:
        return None
    family = str(dig(rows[0].first, "network", "family") or "")
    head = preamble(study, rows, family if table != "3" else None)
    if references_differ(rows):
        head += ("**Not the same pictures:** reference rows differ between results of this table.",)
    sections = (
        _summary(lines, table),
        *identity_tables(lines),
        flags_table(lines),
        _accuracy(study, lines),
        _cost(lines),
        _information(lines),
        *(papers_attack(lines, key) for key in PAPER_ATTACKS),
        strongest(lines),
        every_attack(lines, standard=True),
        every_attack(lines, standard=False),
        averaged(lines),
        _settings(lines),
    )
    return Page(
        study.profile,
        table,
        f"Table {table}. {PAPER_TABLES[table]}",
        (*head, DEFINITIONS),
        tuple(section for section in sections if section.rows),
    )


def before_table(study: Study) -> Page | None:
    """What was attacked before AutoInvert, the paper's attacks as its authors run them among it."""
    if not study.earlier:
        return None
    past = Study(study.profile, study.earlier, {})
    lines = [line for table in ("2", "4", "5") for line in table_lines(past, table) if line.ours]
    rows = run_rows(lines)
    sections = (
        _summary(lines, ""),
        *(papers_attack(lines, key) for key in PAPER_ATTACKS),
        flags_table(lines),
        every_attack(lines, standard=True),
        every_attack(lines, standard=False),
        averaged(lines),
    )
    title = "Attacks before AutoInvert"
    shown = tuple(section for section in sections if section.rows)
    return Page(study.profile, "before", title, (*preamble(past, rows), DEFINITIONS), shown)


def _summary(lines: Sequence[Line], table: str) -> Table:
    """Accuracy, and the strongest attack from one frame and from sixteen."""
    columns = (DEFENCE, PAPER_ACCURACY, named("Accuracy %, ours", ACCURACY), *strongest_columns(), BITS)
    guess = chance(run_rows(lines))
    return Table.of(
        "summary",
        "Summary",
        with_references(lines),
        columns,
        intro="The strongest attack is the one with the highest mean PSNR of those that were run on the row: "
        "a lower bound of what leaks. *Identified* is the share of pictures that any of them betrays, by "
        "pixels (retrieval) or by a judge's embedding, whichever is more; of a guess "
        f"{PER_CENT * guess:.1f} %. Where no noise is drawn, 16 frames say what one says. "
        "*Bits* is the mean size of the entropy-coded 8-bit feature, an upper bound of what it carries.",
        notes=[f"{method}: {note}." for (where, method), note in MISPRINTS.items() if where == table],
    )


def _accuracy(study: Study, lines: Sequence[Line]) -> Table:
    """What is left of the task."""
    columns = (
        DEFENCE,
        PAPER_ACCURACY,
        named("Accuracy %, ours", ACCURACY),
        ("Drop, paper", _papers_drop),
        ("Drop, ours", lambda line: accuracy_drop(study, line)),
        own("Validation %", "training", "validation_accuracy", digits=1, scale=PER_CENT),
        own("Epochs", "training", "epochs_done", digits=0),
        own("Best epoch", "training", "best_epoch", digits=0),
    )
    intro = "The drop is in points against the unprotected network of the same data and family."
    return Table.of("accuracy", "Accuracy", lines, columns, intro=intro)


def _papers_drop(line: Line) -> Cell:
    return printed(line.paper.drop, lost=line.paper.method != "Unprotected") if line.paper else NONE


def accuracy_drop(study: Study, line: Line) -> Cell:
    """Points of accuracy against the unprotected row; nothing for that row itself or where it was not run."""
    if line.ours is None:
        return NOT_RUN
    base = study.rows.get(unprotected_row(line.row))
    reached = line.ours.figure("accuracy", "test")
    other = base.figure("accuracy", "test") if base and base.name != line.row else None
    if reached is None or other is None:
        return NONE
    return measured(Figure(PER_CENT * (reached.value - other.value)), 1, sign=True)


def _cost(lines: Sequence[Line]) -> Table:
    """What the edge half costs a device."""
    memory = ("cost", "edge_memory_bytes")
    columns = (
        DEFENCE,
        ("Edge parameters, paper", lambda line: line.of_paper(lambda paper: paper.edge_parameters)),
        own("Edge parameters, ours, as torchsummary", "network", "edge_parameters_torchsummary", digits=0),
        own("Edge parameters, ours", "network", "edge_parameters", digits=0),
        own("Edge file, kB", "cost", "edge_file_bytes", digits=1, scale=1e-3),
        own("Weights in memory, kB", *memory, "parameter_bytes", digits=1, scale=1e-3),
        own("Activations, kB", *memory, "activation_bytes", digits=1, scale=1e-3),
        own("Latency CPU, ms", "cost", "edge_latency_ms_cpu", "median_ms", digits=2),
        own("Latency GPU, ms", "cost", "edge_latency_ms_gpu", "median_ms", digits=2),
    )
    return Table.of(
        "cost",
        "Cost of the edge",
        lines,
        columns,
        intro="torchsummary, which the authors counted with, counts shared layers twice. Widths differ "
        "from the paper's where the profile says so. Latency is the median of single pictures on one CPU "
        "thread, and on a GPU where there was one.",
    )


def _information(lines: Sequence[Line]) -> Table:
    """What the feature says of the picture, with neither attack nor task."""
    columns = (
        DEFENCE,
        ("MI†, paper", lambda line: line.of_paper(lambda paper: paper.mutual_information)),
        information("MI†, ours", "mine_authors", "nats", digits=4),
        ("delta_z, paper", lambda line: line.of_paper(lambda paper: paper.effective_information)),
        information("delta_z, ours", "effective_information_mean", digits=0),
        information("Values in the feature", "feature_values", digits=0),
        information("MINE, nats", "mine", "nats", digits=2),
        information("InfoNCE, nats", "info_nce", "nats", digits=2),
        information("Rank-1 from the feature %", "retrieval_rank1_from_feature", digits=1, scale=PER_CENT),
        information("dCor², unbiased", "distance_correlation_unbiased", digits=3),
        BITS,
    )
    intro = (
        "MI† is the authors' critic, which cannot pass 1 nat. delta_z counts the entries that are "
        f"not 0. {ceilings(run_rows(lines))}"
    )
    return Table.of("information", "Information at the cut", lines, columns, intro=intro)


def ceilings(rows: Sequence[RowResult]) -> str:
    """What the two estimators cannot pass, as far as results say it."""
    parts = []
    for name, key in (("MINE", "mine"), ("InfoNCE", "info_nce")):
        found = next((f for row in rows if (f := row.figure("information", key, "ceiling_nats"))), None)
        if found is not None:
            parts.append(f"{name} {found.value:.2f}")
    return f"Ceilings in nats: {', '.join(parts)}." if parts else ""


def _settings(lines: Sequence[Line]) -> Table:
    """What each defence was run with, and whose value it is; epsilon where there is one."""
    columns = (
        DEFENCE,
        ("Paper", _papers_setting),
        ("Ours (origin of each value)", _parameters),
        ("Epsilon", _epsilon),
    )
    return Table.of("settings", "Settings", lines, columns)


def _papers_setting(line: Line) -> Cell | str:
    if line.paper is None:
        return NONE
    known = line.paper.setting or "-"
    return f"{known}; name of the row inferred" if line.paper.inferred else known


def _parameters(line: Line) -> Cell | str:
    """Each parameter with its value and where the value comes from."""
    if line.ours is None:
        return NOT_RUN
    values = dig(line.ours.first, "defence", "parameters") or {}
    origins = dig(line.ours.first, "defence", "origins") or {}
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    return (
        ", ".join(f"{name} {value} ({origins.get(name, 'origin unknown')})" for name, value in told.items())
        or "-"
    )


def _epsilon(line: Line) -> Cell:
    """The privacy budget of DPSGD; nothing elsewhere."""
    figure = line.ours and line.ours.figure("training", "epsilon")
    if figure:
        return Cell(f"{figure.value:.2f}", figure.value)
    return NOT_RUN if line.ours is None else NONE

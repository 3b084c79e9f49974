"""Tables beside the paper's: information, references, equal accuracy, Figure 2."""

from collections.abc import Sequence

from siftfunnel.lab.reports.study.attack_sections import flags_table
from siftfunnel.lab.reports.study.lines import (
    ACCURACY,
    BITS,
    FAMILY_LABELS,
    PER_CENT,
    Line,
    as_row,
    attack_label,
    attacks_of,
    group_label,
    groups,
    information,
    label_column,
    named,
    own,
    own_line,
    paper_scores,
    reference_lines,
    standard_scores,
    strongest_columns,
)
from siftfunnel.lab.reports.study.profiles import preamble
from siftfunnel.lab.reports.study.results import EQUAL, RowResult, Study, dig, dig_number
from siftfunnel.lab.reports.study.sections import DEFINITIONS, ceilings
from siftfunnel.lab.reports.table import Page, Table

NEAR = 0.01
"""Validation accuracies this near to one another count as equal."""

ROW = label_column("Row")
MI, MINE, INFO_NCE, VALUES, EFFECTIVE, CORRELATION = (
    information("MI† nats", "mine_authors", "nats", digits=4),
    information("MINE, nats", "mine", "nats", digits=2),
    information("InfoNCE, nats", "info_nce", "nats", digits=2),
    information("Values in the feature", "feature_values", digits=0),
    information("delta_z", "effective_information_mean", digits=0),
    information("dCor² unbiased", "distance_correlation_unbiased", digits=3),
)


def page_of(
    study: Study,
    name: str,
    title: str,
    rows: Sequence[RowResult],
    reading: Sequence[str],
    tables: Sequence[Table],
) -> Page | None:
    """A page on what rows were made with; None without a table."""
    if not tables:
        return None
    return Page(study.profile, name, title, (*preamble(study, rows), *reading), tuple(tables))


def information_table(study: Study) -> Page | None:
    """Every measure of information of every row, those of no paper table too."""
    columns = (
        ROW,
        MI,
        MINE,
        INFO_NCE,
        information("Rank-1 from the feature %", "retrieval_rank1_from_feature", digits=1, scale=PER_CENT),
        information("dCor² biased", "distance_correlation_biased", digits=3),
        CORRELATION,
        EFFECTIVE,
        VALUES,
        BITS,
        information("Bits, p95", "entropy_coded_bits", "p95", digits=0),
        information("Bits, most", "entropy_coded_bits", "max", digits=0),
    )
    intro = (
        "MI† is the authors' critic, which cannot pass 1 nat whatever the data. The biased "
        "distance correlation is what the authors train on; independent data of these sizes scores near "
        "1. Bits bound from above what the 8-bit feature carries, all else from below. "
    )
    tables = [
        Table.of(
            f"information-{'-'.join(group)}",
            group_label(group),
            map(own_line, rows),
            columns,
            intro=(intro + ceilings(rows)).rstrip(),
        )
        for group, rows in groups(study).items()
        if any(dig(row.first, "information") for row in rows)
    ]
    title = "What the feature says of the picture"
    return page_of(study, "information", title, list(study.rows.values()), (), tables)


def references_table(study: Study) -> Page | None:
    """What one scores without any attack, by both definitions."""
    columns = (
        ("Reference", lambda line: line.label.removeprefix("Reference: ")),
        *paper_scores(""),
        ("MSE", lambda line: line.score("", "standard", "mse", "mean", digits=4, interval=True)),
        *standard_scores(""),
    )
    by_data: dict[str, list[RowResult]] = {}
    for (dataset, _), rows in groups(study).items():
        by_data.setdefault(dataset, []).extend(rows)
    tables = [
        Table.of(f"references-{dataset}", dataset, shown, columns)
        for dataset, rows in by_data.items()
        if (shown := reference_lines(rows))
    ]
    title = "References: what one scores without any attack"
    return page_of(study, "references", title, list(study.rows.values()), (DEFINITIONS,), tables)


def equal_table(study: Study) -> Page | None:
    """Rows stopped at the same accuracy, those that end there by themselves, and the fully trained ones."""
    columns = (
        ROW,
        ACCURACY,
        own("Validation %", "training", "validation_accuracy", digits=1, scale=PER_CENT),
        own("Epochs", "training", "epochs_done", digits=0),
        *strongest_columns(),
        BITS,
    )
    intro = (
        "Rows marked *equal* were stopped at the same validation accuracy; below them those "
        f"that end within {NEAR * PER_CENT:g} points of it when trained in full, then the same "
        "defences trained in full. Compare PSNR only among rows of one accuracy."
    )
    tables = []
    for group, rows in groups(study).items():
        equal = [row for row in rows if row.name.endswith(EQUAL)]
        if not equal:
            continue
        name = "-".join(group)
        lines = [own_line(row) for row in _beside_equal(study, rows, equal)]
        shown = [*lines, *reference_lines(equal)]
        tables.append(Table.of(f"equal-{name}", group_label(group), shown, columns, intro=intro))
        if (flagged := flags_table(lines, f"flags-{name}")).rows:
            tables.append(flagged)
    stopped = [row for row in study.rows.values() if row.name.endswith(EQUAL)]
    return page_of(study, "equal", "Defences at equal accuracy", stopped, (DEFINITIONS,), tables)


def _beside_equal(study: Study, rows: Sequence[RowResult], equal: Sequence[RowResult]) -> list[RowResult]:
    """Rows stopped at one accuracy, those that end there by themselves, the stopped ones trained in full."""
    by_themselves = [row for row in rows if row not in equal and _ends_near(row, equal)]
    full = [study.rows[name] for row in equal if (name := row.name.removesuffix(EQUAL)) in study.rows]
    return [*equal, *by_themselves, *(row for row in full if row not in by_themselves)]


def _ends_near(row: RowResult, equal: Sequence[RowResult]) -> bool:
    """Whether a row's validation accuracy is that at which the others were stopped."""
    reached = dig_number(row.first, "training", "validation_accuracy")
    targets = {dig_number(one.first, "training", "recipe", "stop_at_accuracy") for one in equal}
    return reached is not None and any(
        target is not None and abs(reached - target) <= NEAR for target in targets
    )


def figure2_table(study: Study) -> Page | None:
    """Information and attack quality after each block of an unprotected network."""
    block = label_column("Block")
    columns = (
        block,
        ("Feature", _shape),
        named("Values", VALUES),
        MI,
        MINE,
        INFO_NCE,
        EFFECTIVE,
        CORRELATION,
        BITS,
    )
    tables = []
    for family, result in study.figure2.items():
        points = [as_row(result, point) for point in result["points"]]
        lines = [Line(point.name, point.name, None, point) for point in points]
        label, name = FAMILY_LABELS.get(family, family), f"figure2-{family}"
        title = f"{label}: information after each block"
        tables.append(Table.of(f"{name}-information", title, lines, columns, intro=ceilings(points)))
        shown = [*lines, *reference_lines(points)]
        for key in attacks_of(points):
            scores = (block, *paper_scores(key), *standard_scores(key))
            title = f"{label}: {attack_label(points, key)}"
            tables.append(Table.of(f"{name}-{key}", title, shown, scores))
    title = "Figure 2. Information and attack quality block by block, unprotected networks"
    return page_of(Study(study.profile, {}, study.figure2), "figure2", title, [], (DEFINITIONS,), tables)


def _shape(line: Line) -> str:
    sides = line.ours.first.get("feature_shape", ()) if line.ours else ()
    return "x".join(str(side) for side in sides) or "-"

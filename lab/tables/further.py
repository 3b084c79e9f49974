"""Tables beside the paper's: information, references, equal accuracy, and Figure 2."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from siftfunnel.lab.tables.attack_sections import attack_label
from siftfunnel.lab.tables.cells import NONE, Cell, Document, Section, measured, words
from siftfunnel.lab.tables.lines import (
    PER_CENT,
    Line,
    paper_scores,
    reference_rows,
    row_label,
    standard_scores,
)
from siftfunnel.lab.tables.paper import FAMILIES, group_of, order_of
from siftfunnel.lab.tables.profiles import preamble
from siftfunnel.lab.tables.results import EQUAL, Result, RowResult, Study, dig, dig_number
from siftfunnel.lab.tables.sections import DEFINITIONS, ceilings
from siftfunnel.lab.tables.trust import flags_section

NEAR = 0.01
"""Validation accuracies this near to one another count as equal."""

FAMILY_LABELS = {name: label for label, name in FAMILIES.items()}


def groups(study: Study) -> dict[tuple[str, str], list[RowResult]]:
    """Rows by data set and family, in the paper's order of defences."""
    found: dict[tuple[str, str], list[RowResult]] = {}
    for name in sorted(study.rows, key=order_of):
        found.setdefault(group_of(name), []).append(study.rows[name])
    return found


def group_label(group: tuple[str, str]) -> str:
    """As headings print it.

    Example:
        >>> group_label(("cifar10", "resnet18"))
        'cifar10, ResNet-18'
    """
    return f"{group[0]}, {FAMILY_LABELS[group[1]]}"


def information_table(study: Study) -> Document | None:
    """Every measure of information of every row, those of no paper table too."""
    sections = [
        _information_section(group, rows)
        for group, rows in groups(study).items()
        if any(dig(row.first, "information") for row in rows)
    ]
    if not sections:
        return None
    rows = list(study.rows.values())
    head = preamble(study, rows)
    title = "What the feature says of the picture"
    return Document(study.profile, "information", title, head, tuple(sections))


def _information_section(group: tuple[str, str], rows: Sequence[RowResult]) -> Section:
    columns = (
        "Row",
        "MI† nats",
        "MINE, nats",
        "InfoNCE, nats",
        "Rank-1 from the feature %",
        "dCor² biased",
        "dCor² unbiased",
        "delta_z",
        "Values in the feature",
        "Feature, bits",
        "Bits, p95",
        "Bits, most",
    )
    body = []
    for row in rows:
        line = Line(row_label(row), row.name, None, row)
        bits = ("information", "entropy_coded_bits")
        body.append(
            (
                words(line.label),
                line.figure("information", "mine_authors", "nats", digits=4),
                line.figure("information", "mine", "nats", digits=2),
                line.figure("information", "info_nce", "nats", digits=2),
                line.figure("information", "retrieval_rank1_from_feature", digits=1, scale=PER_CENT),
                line.figure("information", "distance_correlation_biased", digits=3),
                line.figure("information", "distance_correlation_unbiased", digits=3),
                line.figure("information", "effective_information_mean", digits=0),
                line.figure("information", "feature_values", digits=0),
                *(line.figure(*bits, which, digits=0) for which in ("mean", "p95", "max")),
            )
        )
    return Section(
        f"information-{'-'.join(group)}",
        group_label(group),
        columns,
        tuple(body),
        intro="MI† is the authors' critic, which cannot pass 1 nat whatever the data. The biased "
        "distance correlation is what the authors train on; independent data of these sizes scores near "
        "1. Bits bound from "
        f"above what the 8-bit feature carries, all else from below. {ceilings(rows)}".rstrip(),
    )


def references_table(study: Study) -> Document | None:
    """What one scores without any attack, by both definitions."""
    columns = ("Reference", "MSE†", "PSNR†", "SSIM†", "MSE", "PSNR dB", "Worst 5 % dB", "SSIM", "Rank-1 %")
    sections = []
    by_data: dict[str, list[RowResult]] = {}
    for (dataset, _), rows in groups(study).items():
        by_data.setdefault(dataset, []).extend(rows)
    for dataset, rows in by_data.items():
        body = []
        for label, row, path in reference_rows(rows):
            mse = ("standard", "mse")
            standard = measured(row.figure(*path, *mse, "mean", ci95=(*path, *mse, "ci95")), 4)
            plain = words(label.text.removeprefix("Reference: "))
            body.append((plain, *paper_scores(row, *path), standard, *standard_scores(row, *path)))
        if body:
            sections.append(Section(f"references-{dataset}", dataset, columns, tuple(body)))
    if not sections:
        return None
    head = (*preamble(study, list(study.rows.values())), DEFINITIONS)
    title = "References: what one scores without any attack"
    return Document(study.profile, "references", title, head, tuple(sections))


def equal_table(study: Study) -> Document | None:
    """Rows stopped at the same accuracy, those that end there by themselves, and the fully trained ones."""
    columns = (
        "Row",
        "Accuracy %",
        "Validation %",
        "Epochs",
        "Strongest attack",
        "PSNR dB",
        "Worst 5 % dB",
        "SSIM",
        "Rank-1 %",
        "Feature, bits",
    )
    sections = []
    for group, rows in groups(study).items():
        equal = [row for row in rows if row.name.endswith(EQUAL)]
        if not equal:
            continue
        by_themselves = [row for row in rows if row not in equal and _ends_near(row, equal)]
        full = [
            study.rows[name]
            for row in equal
            if (name := row.name.removesuffix(EQUAL)) in study.rows and study.rows[name] not in by_themselves
        ]
        body = [_equal_row(row) for row in (*equal, *by_themselves, *full)]
        shown_lines = [Line(row_label(row), row.name, None, row) for row in (*equal, *by_themselves, *full)]
        for label, row, path in reference_rows(equal):
            body.append((label, NONE, NONE, NONE, NONE, *standard_scores(row, *path), NONE))
        sections.append(
            Section(
                f"equal-{'-'.join(group)}",
                group_label(group),
                columns,
                tuple(body),
                intro="Rows marked *equal* were stopped at the same validation accuracy; below them those "
                f"that end within {NEAR * PER_CENT:g} points of it when trained in full, then the same "
                "defences trained in full. Compare PSNR only among rows of one accuracy.",
            )
        )
        if (flagged := flags_section(shown_lines)).rows:
            sections.append(replace(flagged, name=f"{flagged.name}-{'-'.join(group)}"))
    if not sections:
        return None
    shown = [row for row in study.rows.values() if row.name.endswith(EQUAL)]
    head = (*preamble(study, shown), DEFINITIONS)
    return Document(study.profile, "equal", "Defences at equal accuracy", head, tuple(sections))


def _ends_near(row: RowResult, equal: Sequence[RowResult]) -> bool:
    """Whether a row's validation accuracy is that at which the others were stopped."""
    reached = dig_number(row.first, "training", "validation_accuracy")
    targets = {dig_number(one.first, "training", "recipe", "stop_at_accuracy") for one in equal}
    return reached is not None and any(
        target is not None and abs(reached - target) <= NEAR for target in targets
    )


def _equal_row(row: RowResult) -> tuple[Cell, ...]:
    line = Line(row_label(row), row.name, None, row)
    key = row.strongest()
    attack: tuple[Cell, ...] = (NONE,) * 5
    if key is not None:
        attack = (words(attack_label([row], key)), *standard_scores(row, "attacks", key, "scores"))
    return (
        words(line.label),
        line.figure("accuracy", "test", digits=1, scale=PER_CENT, ci95=("accuracy", "ci95")),
        line.figure("training", "validation_accuracy", digits=1, scale=PER_CENT),
        line.figure("training", "epochs_done", digits=0),
        *attack,
        line.figure("information", "entropy_coded_bits", "mean", digits=0),
    )


def figure2_table(study: Study) -> Document | None:
    """Information and attack quality after each block of an unprotected network."""
    sections: list[Section] = []
    for family, result in study.figure2.items():
        points = [as_row(result, point) for point in result["points"]]
        keys = list(dict.fromkeys(key for row in points for key in row.attack_keys()))
        sections.append(_blocks_information(family, points))
        sections += [_blocks_attack(family, points, key) for key in keys]
    if not sections:
        return None
    words_of = Study(study.profile, {}, study.figure2)
    head = (*preamble(words_of, []), DEFINITIONS)
    title = "Figure 2. Information and attack quality block by block, unprotected networks"
    return Document(study.profile, "figure2", title, head, tuple(sections))


def as_row(result: Result, point: Mapping[str, object]) -> RowResult:
    """A point of Figure 2 in the shape of a row, so that the same cells print it."""
    return RowResult(str(point["block"]), ({**point, "seed": result["seed"]},))


def _blocks_information(family: str, points: Sequence[RowResult]) -> Section:
    columns = (
        "Block",
        "Feature",
        "Values",
        "MI† nats",
        "MINE, nats",
        "InfoNCE, nats",
        "delta_z",
        "dCor² unbiased",
        "Feature, bits",
    )
    body = []
    for point in points:
        line = Line(point.name, point.name, None, point)
        shape = "x".join(str(side) for side in point.first.get("feature_shape", ()))
        body.append(
            (
                words(point.name),
                words(shape or "-"),
                line.figure("information", "feature_values", digits=0),
                line.figure("information", "mine_authors", "nats", digits=4),
                line.figure("information", "mine", "nats", digits=2),
                line.figure("information", "info_nce", "nats", digits=2),
                line.figure("information", "effective_information_mean", digits=0),
                line.figure("information", "distance_correlation_unbiased", digits=3),
                line.figure("information", "entropy_coded_bits", "mean", digits=0),
            )
        )
    title = f"{FAMILY_LABELS.get(family, family)}: information after each block"
    return Section(f"figure2-{family}-information", title, columns, tuple(body), intro=ceilings(points))


def _blocks_attack(family: str, points: Sequence[RowResult], key: str) -> Section:
    columns = ("Block", "MSE†", "PSNR†", "SSIM†", "PSNR dB", "Worst 5 % dB", "SSIM", "Rank-1 %")
    path = ("attacks", key, "scores")
    body = [(words(p.name), *paper_scores(p, *path), *standard_scores(p, *path)) for p in points]
    for label, row, where in reference_rows(points):
        body.append((label, *paper_scores(row, *where), *standard_scores(row, *where)))
    title = f"{FAMILY_LABELS.get(family, family)}: {attack_label(points, key)}"
    return Section(f"figure2-{family}-{key}", title, columns, tuple(body))

"""The parts of a table that compare attacks: the paper's four, the strongest, all, and averaging ones."""

from collections.abc import Sequence

from siftfunnel.lab.tables.cells import NONE, NOT_RUN, Cell, Section, measured, words
from siftfunnel.lab.tables.lines import (
    PER_CENT,
    Line,
    paper_scores,
    reference_rows,
    run_rows,
    standard_scores,
)
from siftfunnel.lab.tables.results import RowResult

BLACK_BOX, GRAY_BOX = "generative-black-box", "generative-gray-box"
PAPER_ATTACKS = {
    "rmle-authors": ("rMLE as the authors run it", "white_box"),
    "rmle": ("rMLE done right, beside the paper's rMLE", "white_box"),
    BLACK_BOX: ("Generative inverter, black-box", "black_box"),
    GRAY_BOX: ("Generative inverter, gray-box", "gray_box"),
}
"""Attacks with a counterpart in the paper: title and which of the paper's figures."""


def attack_label(rows: Sequence[RowResult], key: str) -> str:
    """An attack's label, with how many observations it averages."""
    for row in rows:
        for result in row.results:
            if entry := result["attacks"].get(key):
                frames = entry.get("frames", 1)
                label = str(entry.get("label") or key)
                return label if frames == 1 else f"{label}, {frames} averaged"
    return key


def attack_section(lines: Sequence[Line], key: str) -> Section:
    """One of the paper's attacks: the paper, ours by its definition, ours by the standard one."""
    title, scenario = PAPER_ATTACKS[key]
    columns = (
        "Defence",
        "MSE†, paper",
        "MSE†, ours",
        "PSNR†, paper",
        "PSNR†, ours",
        "SSIM†, paper",
        "SSIM†, ours",
        "PSNR dB",
        "Worst 5 % dB",
        "SSIM",
        "Rank-1 %",
    )
    path = ("attacks", key, "scores")
    rows = []
    for line in lines:
        theirs, ours = line.figures_of_paper(scenario), paper_scores(line.ours, *path)
        beside = [cell for pair in zip(theirs, ours, strict=True) for cell in pair]
        rows.append((words(line.label), *beside, *standard_scores(line.ours, *path)))
    if not any(key in row.attack_keys() for row in run_rows(lines)):
        return Section(key, title, columns, ())
    for label, row, where in reference_rows(run_rows(lines)):
        ours = paper_scores(row, *where)
        beside = [cell for own in ours for cell in (NONE, own)]
        rows.append((label, *beside, *standard_scores(row, *where)))
    return Section(key, title, columns, tuple(rows))


def strongest_attack(lines: Sequence[Line]) -> Section:
    """The strongest attack of each row in full."""
    columns = (
        "Defence",
        "Attack",
        "Access",
        "PSNR dB",
        "Median dB",
        "Worst 5 % dB",
        "Worst 1 % dB",
        "SSIM",
        "SSIM, worst 5 %",
        "Rank-1 %",
    )
    rows: list[tuple[Cell, ...]] = []
    for line in lines:
        key = line.ours.strongest() if line.ours else None
        if line.ours is None or key is None:
            rows.append((words(line.label), *((NOT_RUN if line.ours is None else NONE),) * 9))
            continue
        access = words(str(line.ours.first["attacks"].get(key, {}).get("access", "-")))
        rows.append(
            (
                words(line.label),
                words(attack_label([line.ours], key)),
                access,
                *_detail(line.ours, "attacks", key, "scores"),
            )
        )
    for label, row, path in reference_rows(run_rows(lines)):
        rows.append((label, NONE, NONE, *_detail(row, *path)))
    return Section("strongest", "Strongest attack", columns, tuple(rows))


def _detail(row: RowResult, *path: str) -> tuple[Cell, ...]:
    psnr, ssim = (*path, "standard", "psnr_db"), (*path, "standard", "ssim")
    return (
        measured(row.figure(*psnr, "mean", ci95=(*psnr, "ci95")), 2),
        measured(row.figure(*psnr, "median"), 2),
        measured(row.figure(*psnr, "worst_5pct_mean"), 2),
        measured(row.figure(*psnr, "worst_1pct_mean"), 2),
        measured(row.figure(*ssim, "mean", ci95=(*ssim, "ci95")), 3),
        measured(row.figure(*ssim, "worst_5pct_mean"), 3),
        measured(row.figure(*path, "retrieval_rank1"), 1, scale=PER_CENT),
    )


def single_look_attacks(rows: Sequence[RowResult]) -> list[str]:
    """Attacks that average nothing, in the order in which rows have them."""
    keys = dict.fromkeys(key for row in rows for key in row.attack_keys())
    return [key for key in keys if _frames(rows, key) == 1]


def _frames(rows: Sequence[RowResult], key: str) -> int:
    found = (result["attacks"].get(key) for row in rows for result in row.results)
    return int(next((entry.get("frames", 1) for entry in found if entry), 1))


def every_attack(lines: Sequence[Line], which: str) -> Section:
    """Defences against attacks: mean standard PSNR with the worst 5 %, or the paper's MSE."""
    rows = run_rows(lines)
    keys = single_look_attacks(rows)
    standard = which == "psnr"
    body: list[tuple[Cell, ...]] = []
    for line in lines:
        cells = [_attack_cell(line.ours, ("attacks", key, "scores"), standard=standard) for key in keys]
        body.append((words(line.label), *cells))
    for label, row, path in reference_rows(rows):
        body.append((label, *(_attack_cell(row, path, standard=standard),) * len(keys)))
    return Section(
        f"every-attack-{which}",
        "Every attack: PSNR dB (worst 5 %)" if standard else "Every attack: MSE†, the paper's definition",
        ("Defence", *(attack_label(rows, key) for key in keys)),
        tuple(body) if keys else (),
    )


def _attack_cell(row: RowResult | None, path: tuple[str, ...], *, standard: bool) -> Cell:
    if not standard or row is None:
        return paper_scores(row, *path)[0]
    mean, worst, _, _ = standard_scores(row, *path)
    if mean.value is None or worst.value is None:
        return mean
    text = f"{mean.value:.2f} ({worst.value:.2f})"
    return Cell(text, mean.value, mean.low, mean.high, mean.spread, mean.seeds)


def averaged(lines: Sequence[Line]) -> Section:
    """What an attacker gains who overhears the same picture many times."""
    rows = []
    for line in lines:
        keys = line.ours.attack_keys() if line.ours else ()
        for key in keys:
            if line.ours is None or (frames := _frames([line.ours], key)) == 1:
                continue
            single = key.removesuffix(f"-averaged-{frames}")
            once = standard_scores(line.ours, "attacks", single, "scores")
            many = standard_scores(line.ours, "attacks", key, "scores")
            label = attack_label([line.ours], single) if single in keys else single
            rows.append(
                (
                    words(line.label),
                    words(label),
                    Cell(str(frames), float(frames)),
                    once[0],
                    many[0],
                    once[3],
                    many[3],
                )
            )
    columns = (
        "Defence",
        "Attack",
        "Observations",
        "PSNR dB, one",
        "PSNR dB, averaged",
        "Rank-1 %, one",
        "Rank-1 %, averaged",
    )
    return Section("averaged", "Averaging over observations of the same picture", columns, tuple(rows))

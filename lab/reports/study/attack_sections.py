"""The parts of a table that show attacks: identity, each attack, the strongest, averaging, flags."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from siftfunnel.lab.evaluation.flags import flags_of
from siftfunnel.lab.reports.study.lines import (
    PER_CENT,
    Line,
    attack_label,
    attacks_of,
    chosen_name,
    label_column,
    paper_scores,
    reference_lines,
    run_rows,
    standard_scores,
    strongest_name,
)
from siftfunnel.lab.reports.study.results import MANY, ONE, RowResult, dig
from siftfunnel.lab.reports.table import NONE, NOT_RUN, Cell, Column, Table, number

PAPER_ATTACKS = {
    "rmle-authors": ("rMLE as the authors run it", "white_box"),
    "rmle": ("rMLE done right, beside the paper's rMLE", "white_box"),
    "generative-black-box": ("Generative inverter, black-box", "black_box"),
    "generative-gray-box": ("Generative inverter, gray-box", "gray_box"),
}
"""Attacks with a counterpart in the paper: title and which of the paper's figures."""

FLAGS = {
    "learned-nothing": "The network learned nothing",
    "lost-to-guessing": "Attacks no better than the mean picture",
    "edge-of-grid": "The best setting is the last tried",
    "not-converged": "More budget still helps",
    "white-box-weaker": "White box weaker than black",
}
"""Kinds of flags, as columns name them."""

DEFENCE = label_column("Defence")


def with_references(lines: Sequence[Line]) -> list[Line]:
    """The lines, then what one scores on their pictures without any attack."""
    return [*lines, *reference_lines(run_rows(lines))]


def identity_tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Who is betrayed by the attack that betrays most, beside the decibels; with the value on references."""
    rows = run_rows(lines)
    if not any(dig(row.first, "identity") for row in rows):
        return
    judged = [line for line in with_references(lines) if not line.reference or line.reference in JUDGED]
    judged += [Line("Reference: the picture itself", rows[0].name, None, rows[0], "original")]
    several = [
        line for line in lines if line.ours and line.ours.chosen(MANY) not in (None, line.ours.chosen(ONE))
    ]
    for frames, words, shown in ((ONE, "one frame", judged), (MANY, "16 frames", several)):
        yield Table.of(
            f"identity-{frames}",
            f"Identity, from {words}",
            shown,
            _identity_columns(frames),
            intro="The attack whose pictures betray most. *Retrieved* by pixels, *re-identified* by the "
            "embedding of a network that was trained on the attacker's pictures; *same class* is how often "
            "that network says of the restored picture what it says of the original; the perceptual distance "
            "is between its features, 0 for equal pictures.",
        )


JUDGED = ("mean_image", "nearest_auxiliary")
"""References that the judge of identity has seen."""


def _identity_columns(frames: str) -> tuple[Column[Line], ...]:
    def retrieved(line: Line) -> Cell:
        key = line.ours.chosen(frames, "identity_attack") if line.ours else None
        return line.score(key, "retrieval_rank1", digits=1, scale=PER_CENT)

    return (
        DEFENCE,
        ("Attack", chosen_name(frames, "identity_attack")),
        ("Retrieved %", retrieved),
        ("Re-identified %", lambda line: line.judged(frames, "reidentified_rank1", digits=1, scale=PER_CENT)),
        ("Same class %", lambda line: line.judged(frames, "class_agreement", digits=1, scale=PER_CENT)),
        ("Perceptual distance", lambda line: line.judged(frames, "perceptual_distance", digits=3)),
    )


def papers_attack(lines: Sequence[Line], key: str) -> Table:
    """One of the paper's attacks: the paper, ours by its definition, ours by the standard one."""
    title, scenario = PAPER_ATTACKS[key]
    beside: list[Column[Line]] = []
    for score, (heading, ours) in zip(("mse", "psnr", "ssim"), paper_scores(key), strict=True):
        beside += [(f"{heading}, paper", _papers_score(scenario, score)), (f"{heading}, ours", ours)]
    was_run = key in attacks_of(run_rows(lines))
    columns = (DEFENCE, *beside, *standard_scores(key))
    return Table.of(key, title, with_references(lines) if was_run else (), columns)


def _papers_score(scenario: str, score: str) -> Callable[[Line], Cell]:
    return lambda line: line.of_papers_attack(scenario, score)


def strongest(lines: Sequence[Line]) -> Table:
    """The strongest attack of each row in full."""
    psnr, worst, ssim, rank1 = standard_scores(None)
    columns = (
        DEFENCE,
        ("Attack", strongest_name),
        ("Access", _access),
        psnr,
        ("Median dB", lambda line: line.score(None, "standard", "psnr_db", "median", digits=2)),
        worst,
        ("Worst 1 % dB", lambda line: line.score(None, "standard", "psnr_db", "worst_1pct_mean", digits=2)),
        (ssim[0], lambda line: line.score(None, "standard", "ssim", "mean", digits=3, interval=True)),
        ("SSIM, worst 5 %", lambda line: line.score(None, "standard", "ssim", "worst_5pct_mean", digits=3)),
        rank1,
    )
    return Table.of("strongest", "Strongest attack", with_references(lines), columns)


def _access(line: Line) -> Cell | str:
    if line.reference or line.ours is None:
        return NONE if line.reference else NOT_RUN
    key = line.ours.strongest()
    return NONE if key is None else str(line.ours.first["attacks"].get(key, {}).get("access", "-"))


def flags_table(lines: Sequence[Line], name: str = "flags") -> Table:
    """Which figures cannot be taken at their word; without rows where there is nothing to say."""
    columns = (DEFENCE, *((heading, _flagged(kind)) for kind, heading in FLAGS.items()))
    made = Table.of(
        name,
        "What these figures cannot be trusted with",
        lines,
        columns,
        intro="An attack that loses to the mean picture says nothing of a defence; one whose best setting is "
        "the last tried, or that more budget helps, gets less than there is to get.",
    )
    said = any(cell not in (NONE, NOT_RUN) for row in made.rows for cell in row[1:])
    return made if said else replace(made, rows=())


def _flagged(kind: str) -> Callable[[Line], Cell | str]:
    """What of a line has a flag of this kind."""

    def read(line: Line) -> Cell | str:
        if line.ours is None:
            return NOT_RUN
        about = [
            flag["about"] for result in line.ours.results for flag in flags_of(result) if flag["kind"] == kind
        ]
        told = (one if one in ("training", "suite") else attack_label([line.ours], one) for one in about)
        return ", ".join(dict.fromkeys(told)) or NONE

    return read


def _frames(rows: Sequence[RowResult], key: str) -> int:
    found = (result["attacks"].get(key) for row in rows for result in row.results)
    return int(next((entry.get("frames", 1) for entry in found if entry), 1))


def every_attack(lines: Sequence[Line], *, standard: bool) -> Table:
    """Defences against attacks that average nothing: mean PSNR with the worst 5 %, or the paper's MSE."""
    rows = run_rows(lines)
    keys = [key for key in attacks_of(rows) if _frames(rows, key) == 1]
    read = _psnr_and_worst if standard else (lambda key: paper_scores(key)[0][1])
    return Table.of(
        "every-attack-psnr" if standard else "every-attack-paper-mse",
        "Every attack: PSNR dB (worst 5 %)" if standard else "Every attack: MSE†, the paper's definition",
        with_references(lines) if keys else (),
        (DEFENCE, *((attack_label(rows, key), read(key)) for key in keys)),
    )


def _psnr_and_worst(key: str) -> Callable[[Line], Cell | str]:
    (_, read_mean), (_, read_worst), *_ = standard_scores(key)

    def read(line: Line) -> Cell | str:
        mean, worst = read_mean(line), read_worst(line)
        assert isinstance(mean, Cell)
        assert isinstance(worst, Cell)
        if mean.value is None or worst.value is None:
            return mean
        return replace(mean, text=f"{mean.value:.2f} ({worst.value:.2f})")

    return read


@dataclass(frozen=True)
class _Repeated:
    """An attack on a line that averages so many observations, and the attack that makes one do."""

    line: Line
    key: str
    frames: int

    @property
    def single(self) -> str:
        return self.key.removesuffix(f"-averaged-{self.frames}")


def averaged(lines: Sequence[Line]) -> Table:
    """What an attacker gains who overhears the same picture many times."""
    repeated = [
        _Repeated(line, key, frames)
        for line in lines
        for key in (line.ours.attack_keys() if line.ours else ())
        if (frames := _frames(run_rows([line]), key)) != 1
    ]

    def of_both(score: int) -> Iterator[Column[_Repeated]]:
        heading = standard_scores("")[score][0]
        yield f"{heading}, one", lambda each: standard_scores(each.single)[score][1](each.line)
        yield f"{heading}, averaged", lambda each: standard_scores(each.key)[score][1](each.line)

    columns: tuple[Column[_Repeated], ...] = (
        ("Defence", lambda each: each.line.label),
        ("Attack", lambda each: attack_label(run_rows([each.line]), each.single)),
        ("Observations", lambda each: number(each.frames)),
        *of_both(0),
        *of_both(3),
    )
    return Table.of("averaged", "Averaging over observations of the same picture", repeated, columns)

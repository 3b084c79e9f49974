"""The parts of Tables 2 to 5, the summary first."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from siftfunnel.lab.evaluation.flags import flags_of
from siftfunnel.lab.reports.study.lines import (
    ACCURACY,
    BITS,
    PER_CENT,
    Line,
    attack_label,
    attacks_of,
    chosen_name,
    information,
    label_column,
    named,
    own,
    paper_scores,
    printed,
    reference_lines,
    references_differ,
    run_rows,
    standard_scores,
    strongest_columns,
    strongest_name,
    table_lines,
)
from siftfunnel.lab.reports.study.paper import MISPRINTS, PAPER_TABLES, unprotected_row
from siftfunnel.lab.reports.study.profiles import chance, preamble
from siftfunnel.lab.reports.study.results import MANY, ONE, RowResult, Study, dig
from siftfunnel.lab.reports.table import NONE, NOT_RUN, Cell, Column, Figure, Page, Table, measured, number

DEFINITIONS = (
    "Figures marked † are by the paper's definitions: squared error summed over the colours (three times "
    "the standard MSE), PSNR of a whole batch, SSIM across the batch. All others are standard: per "
    "picture, mean [95 % interval over pictures], or mean ± standard deviation over seeds. *Worst 5 %* "
    "is the mean over the pictures restored best. Rank-1 is how often the restored picture finds its "
    "original among the attacked ones."
)
BLACK_BOX = "generative-black-box"
PAPER_ATTACKS = {
    "rmle-authors": ("rMLE as the authors run it", "white_box"),
    "rmle": ("rMLE done right, beside the paper's rMLE", "white_box"),
    BLACK_BOX: ("Generative inverter, black-box", "black_box"),
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
        *(_papers_attack(lines, key) for key in PAPER_ATTACKS),
        _strongest(lines),
        _every_attack(lines, standard=True),
        _every_attack(lines, standard=False),
        _averaged(lines),
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
        *(_papers_attack(lines, key) for key in PAPER_ATTACKS),
        flags_table(lines),
        _every_attack(lines, standard=True),
        _every_attack(lines, standard=False),
        _averaged(lines),
    )
    title = "Attacks before AutoInvert"
    shown = tuple(section for section in sections if section.rows)
    return Page(study.profile, "before", title, (*preamble(past, rows), DEFINITIONS), shown)


def _with_references(lines: Sequence[Line]) -> list[Line]:
    return [*lines, *reference_lines(run_rows(lines))]


def _summary(lines: Sequence[Line], table: str) -> Table:
    """Accuracy, and the strongest attack from one frame and from sixteen."""
    columns = (DEFENCE, PAPER_ACCURACY, named("Accuracy %, ours", ACCURACY), *strongest_columns(), BITS)
    guess = chance(run_rows(lines))
    return Table.of(
        "summary",
        "Summary",
        _with_references(lines),
        columns,
        intro="The strongest attack is the one with the highest mean PSNR of those that were run on the row: "
        "a lower bound of what leaks. *Identified* is the share of pictures that any of them betrays, by "
        "pixels (retrieval) or by a judge's embedding, whichever is more; of a guess "
        f"{PER_CENT * guess:.1f} %. Where no noise is drawn, 16 frames say what one says. "
        "*Bits* is the mean size of the entropy-coded 8-bit feature, an upper bound of what it carries.",
        notes=[f"{method}: {note}." for (where, method), note in MISPRINTS.items() if where == table],
    )


def identity_tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Who is betrayed by the attack that betrays most, beside the decibels; with the value on references."""
    rows = run_rows(lines)
    if not any(dig(row.first, "identity") for row in rows):
        return
    judged = [line for line in _with_references(lines) if not line.reference or line.reference in JUDGED]
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


def _papers_attack(lines: Sequence[Line], key: str) -> Table:
    """One of the paper's attacks: the paper, ours by its definition, ours by the standard one."""
    title, scenario = PAPER_ATTACKS[key]
    beside: list[Column[Line]] = []
    for score, (heading, ours) in zip(("mse", "psnr", "ssim"), paper_scores(key), strict=True):
        beside += [(f"{heading}, paper", _papers_score(scenario, score)), (f"{heading}, ours", ours)]
    was_run = key in attacks_of(run_rows(lines))
    columns = (DEFENCE, *beside, *standard_scores(key))
    return Table.of(key, title, _with_references(lines) if was_run else (), columns)


def _papers_score(scenario: str, score: str) -> Callable[[Line], Cell]:
    return lambda line: line.of_papers_attack(scenario, score)


def _strongest(lines: Sequence[Line]) -> Table:
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
    return Table.of("strongest", "Strongest attack", _with_references(lines), columns)


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


def _every_attack(lines: Sequence[Line], *, standard: bool) -> Table:
    """Defences against attacks that average nothing: mean PSNR with the worst 5 %, or the paper's MSE."""
    rows = run_rows(lines)
    keys = [key for key in attacks_of(rows) if _frames(rows, key) == 1]
    read = _psnr_and_worst if standard else (lambda key: paper_scores(key)[0][1])
    return Table.of(
        "every-attack-psnr" if standard else "every-attack-paper-mse",
        "Every attack: PSNR dB (worst 5 %)" if standard else "Every attack: MSE†, the paper's definition",
        _with_references(lines) if keys else (),
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


def _averaged(lines: Sequence[Line]) -> Table:
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

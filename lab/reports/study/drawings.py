"""The drawings: accuracy against leak, the spread of PSNR over pictures, and Figure 2."""

from collections.abc import Mapping, Sequence

from siftfunnel.lab.reports.bars import Spread, boxes
from siftfunnel.lab.reports.charts import Panel, Point, Series, lines
from siftfunnel.lab.reports.sheet import COLOURS
from siftfunnel.lab.reports.study.lines import FAMILY_LABELS, Line, as_row, attack_label, reference_lines
from siftfunnel.lab.reports.study.results import RowResult, Study, dig
from siftfunnel.lab.reports.table import Drawing, Figure

OWN_COLOUR, FUNNEL_COLOUR, OPEN_COLOUR = COLOURS[0], COLOURS[1], COLOURS[6]
LEAK_AXIS = "PSNR of the strongest attack, dB (higher = leaks more)"
_LEGEND = (
    "bars are 95 % intervals over pictures, dashed lines references without any attack, ‡ not in the paper."
)


def table_drawings(study: Study, table: str, shown: Sequence[Line]) -> tuple[Drawing, ...]:
    """Both drawings of one of the paper's tables, where there is enough to draw."""
    attacked = [(line, line.ours, key) for line in shown if line.ours and (key := line.ours.strongest())]
    made = (_trade_off(study, table, attacked), _spread(study, table, attacked))
    return tuple(drawing for drawing in made if drawing is not None)


Attacked = Sequence[tuple[Line, RowResult, str]]
"""Lines with their result and its strongest attack."""


def _colour_of(row: str) -> str:
    """Unprotected grey, SiftFunnel's kin red, others blue."""
    if row.endswith("-none"):
        return OPEN_COLOUR
    return FUNNEL_COLOUR if "funnel" in row else OWN_COLOUR


def _short(label: str) -> str:
    return label.replace(" (not in the paper)", " ‡")


def _trade_off(study: Study, table: str, attacked: Attacked) -> Drawing | None:
    """Accuracy across, mean PSNR of the strongest attack upwards."""
    series = []
    for line, row, key in attacked:
        accuracy, psnr = row.figure("accuracy", "test"), row.standard(key, "psnr_db")
        if accuracy is not None and psnr is not None:
            x = 100 * accuracy.value
            tip = f"{line.label}: {x:.1f} %, {psnr.value:.2f} dB"
            point = Point(x, psnr.value, tip, _interval(psnr))
            series.append(Series(_short(line.label), _colour_of(line.row), (point,)))
    if len(series) < 2:
        return None
    title = f"Table {table}, profile {study.profile}: accuracy against the strongest attack"
    levels = _reference_levels([row for _, row, _ in attacked])
    svg = lines(title, [Panel("test accuracy, %", LEAK_AXIS, series, levels=levels)], (480, 370))
    caption = f"Test accuracy against the mean PSNR of the strongest attack; {_LEGEND}"
    return Drawing(f"table{table}-trade-off.svg", caption, svg)


def _interval(figure: Figure) -> tuple[float, float] | None:
    return None if figure.low is None or figure.high is None else (figure.low, figure.high)


def _reference_levels(rows: Sequence[RowResult]) -> dict[str, float]:
    """Mean PSNR of a few references."""
    wanted = ("mean_image", "thumbnail_4x4", "thumbnail_8x8")
    levels = {}
    for line in reference_lines(rows):
        level = line.score("", "standard", "psnr_db", "mean", digits=2).value
        if line.reference in wanted and level is not None:
            levels[line.label.removeprefix("Reference: ")] = level
    return levels


def _spread(study: Study, table: str, attacked: Attacked) -> Drawing | None:
    """One box per defence: PSNR of the single pictures under the strongest attack, and the worst picture."""
    rows = [
        Spread(_short(line.label), _colour_of(line.row), [float(value) for value in values])
        for line, row, key in attacked
        if (values := dig(row.first, "attacks", key, "scores", "psnr_db_per_image"))
    ]
    if not rows:
        return None
    title = f"Table {table}, profile {study.profile}: each picture's PSNR under the strongest attack"
    svg = boxes(title, "PSNR of single pictures, dB (further right = leaks more)", rows)
    caption = (
        "PSNR of single pictures under each row's strongest attack: quartiles, whiskers from the 5th to "
        "the 95th percentile, a ring at the picture restored best."
    )
    return Drawing(f"table{table}-spread.svg", caption, svg)


def figure2_drawings(study: Study) -> tuple[Drawing, ...]:
    """Attacks and information after each block, two drawings per family."""
    made: list[Drawing | None] = []
    for family, result in study.figure2.items():
        points = [as_row(result, point) for point in result["points"]]
        label = f"{FAMILY_LABELS.get(family, family)}, profile {study.profile}"
        made += [_attack_curves(family, label, points), _information_curves(family, label, points)]
    return tuple(drawing for drawing in made if drawing is not None)


Curves = dict[str, list[tuple[int, float]]]


def _attack_curves(family: str, label: str, points: Sequence[RowResult]) -> Drawing | None:
    """Mean PSNR of each attack."""
    curves: Curves = {}
    for number, point in enumerate(points):
        for key in point.attack_keys():
            if figure := point.standard(key, "psnr_db"):
                curves.setdefault(attack_label(points, key), []).append((number, figure.value))
    title, axis = f"{label}: attacks block by block", "PSNR, dB (higher = leaks more)"
    svg = _blocks(points, curves, title, axis, _reference_levels(points))
    caption = "Mean PSNR of each attack on the feature after each block; dashed lines are references."
    return Drawing(f"figure2-{family}-attacks.svg", caption, svg) if svg else None


INFORMATION_CURVES = {
    "MI† (authors' critic)": ("information", "mine_authors", "nats"),
    "MINE": ("information", "mine", "nats"),
    "InfoNCE": ("information", "info_nce", "nats"),
    "delta_z": ("information", "effective_information_mean"),
    "entropy-coded bits": ("information", "entropy_coded_bits", "mean"),
}
"""What Figure 2 shows of a feature besides attacks."""


def _information_curves(family: str, label: str, points: Sequence[RowResult]) -> Drawing | None:
    """Each measure relative to its value after the first block, since they have no unit in common."""
    curves: Curves = {}
    for name, path in INFORMATION_CURVES.items():
        start = points[0].figure(*path) if points else None
        if start is None or start.value <= 0:
            continue
        found = [(number, point.figure(*path)) for number, point in enumerate(points)]
        curves[name] = [(number, figure.value / start.value) for number, figure in found if figure]
    svg = _blocks(points, curves, f"{label}: information block by block", "relative to the first block", {})
    caption = "Each measure of information after each block, relative to its value after the first."
    return Drawing(f"figure2-{family}-information.svg", caption, svg) if svg else None


def _blocks(
    points: Sequence[RowResult], curves: Curves, title: str, axis: str, references: Mapping[str, float]
) -> str:
    """Curves over blocks, named at their right end; an empty text with fewer than two blocks."""
    if not curves or len(points) < 2:
        return ""
    names = [point.name for point in points]
    series = [
        Series(name, COLOURS[number % len(COLOURS)], tuple(_at_block(name, names, *at) for at in curve))
        for number, (name, curve) in enumerate(curves.items())
    ]
    return lines(title, [Panel("", axis, series, levels=references, x_names=names)])


def _at_block(curve: str, names: Sequence[str], number: int, level: float) -> Point:
    return Point(number, level, f"{curve}, {names[number]}: {level:.2f}")

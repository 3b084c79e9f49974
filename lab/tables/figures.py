"""The drawings: accuracy against leak, the spread of PSNR over pictures, and Figure 2."""

from collections.abc import Sequence
from statistics import median, quantiles

from siftfunnel.lab.tables.attack_sections import attack_label
from siftfunnel.lab.tables.cells import Drawing
from siftfunnel.lab.tables.further import FAMILY_LABELS, as_row
from siftfunnel.lab.tables.lines import Line, reference_rows, run_rows
from siftfunnel.lab.tables.results import RowResult, Study, dig
from siftfunnel.lab.tables.svg import COLOURS, LETTER_WIDTH, Box, Plot, spread_labels, ticks

REFERENCE_COLOUR = "#888888"
OWN_COLOUR, FUNNEL_COLOUR, OPEN_COLOUR = COLOURS[0], COLOURS[1], COLOURS[6]


def table_drawings(study: Study, table: str, lines: Sequence[Line]) -> tuple[Drawing, ...]:
    """Both drawings of one of the paper's tables, where there is enough to draw."""
    made = (_trade_off(study, table, lines), _spread(study, table, lines))
    return tuple(drawing for drawing in made if drawing is not None)


def colour_of(row: str) -> str:
    """Unprotected grey, SiftFunnel's kin red, others blue."""
    if row.endswith("-none"):
        return OPEN_COLOUR
    return FUNNEL_COLOUR if "funnel" in row else OWN_COLOUR


def _short(label: str) -> str:
    return label.replace(" (not in the paper)", " ‡")


def _span(values: Sequence[float]) -> tuple[list[float], tuple[float, float]]:
    found = ticks(min(values), max(values))
    return found, (found[0], found[-1])


def _trade_off(study: Study, table: str, lines: Sequence[Line]) -> Drawing | None:
    """Accuracy across, mean PSNR of the strongest attack upwards; names stand in a column on the right."""
    points = []
    for line in lines:
        key = line.ours.strongest() if line.ours else None
        if line.ours is None or key is None:
            continue
        accuracy, psnr = line.ours.figure("accuracy", "test"), line.ours.standard(key, "psnr_db")
        if accuracy is not None and psnr is not None:
            points.append((line, 100 * accuracy.value, psnr))
    if len(points) < 2:
        return None
    references = _reference_levels(run_rows(lines))
    every_x = [x for _, x, _ in points]
    x_ticks, x_range = _span([min(every_x) - 1, max(every_x) + 1])
    levels = [end for _, _, f in points for end in (f.value, f.low, f.high) if end is not None]
    y_ticks, y_range = _span([*levels, *references.values()])
    title = f"Table {table}, profile {study.profile}: accuracy against the strongest attack"
    names = max(len(_short(line.label)) for line, _, _ in points)
    right = round(LETTER_WIDTH * names) + 50
    plot = Plot((560 + right, 470), (66, 40, right, 56), x_range, y_range, title)
    plot.text(plot.left, 22, title)
    plot.x_axis("test accuracy, %", x_ticks)
    plot.y_axis("PSNR of the strongest attack, dB (higher = leaks more)", y_ticks)
    _draw_references(plot, references)
    places = spread_labels([plot.y(f.value) for _, _, f in points], 15, plot.top + 4, plot.bottom)
    for (line, x, figure), place in zip(points, places, strict=True):
        colour = colour_of(line.row)
        plot.line(plot.x(x), plot.y(figure.value), plot.right + 14, place, "#bbb")
        plot.text(plot.right + 18, place + 4, _short(line.label), colour=colour)
    for line, x, figure in points:
        if figure.low is not None and figure.high is not None:
            plot.interval(x, figure.low, figure.high, colour_of(line.row))
        tip = f"{line.label}: {x:.1f} %, {figure.value:.2f} dB"
        plot.point(x, figure.value, colour_of(line.row), tip)
    caption = f"Test accuracy against the mean PSNR of the strongest attack; {_LEGEND}"
    return Drawing(f"table{table}-trade-off.svg", caption, plot.svg())


_LEGEND = (
    "bars are 95 % intervals over pictures, dashed lines references without any attack, ‡ not in the paper."
)


def _reference_levels(rows: Sequence[RowResult]) -> dict[str, float]:
    """Mean PSNR of a few references."""
    wanted = ("mean_image", "thumbnail_4x4", "thumbnail_8x8")
    levels = {}
    for label, row, path in reference_rows(rows):
        figure = row.figure(*path, "standard", "psnr_db", "mean")
        if path[1] in wanted and figure is not None:
            levels[label.text.removeprefix("Reference: ")] = figure.value
    return levels


def five_numbers(values: Sequence[float]) -> Box:
    """Fifth percentile, quartiles and 95th percentile.

    Example:
        >>> five_numbers([1.0, 2.0, 3.0]).median
        2.0
    """
    if len(values) < 2:
        return Box(*(float(values[0]),) * 5)
    cuts = quantiles(values, n=20, method="inclusive")
    return Box(cuts[0], cuts[4], median(values), cuts[14], cuts[18])


def _spread(study: Study, table: str, lines: Sequence[Line]) -> Drawing | None:
    """One box per defence: PSNR of the single pictures under the strongest attack, and the worst picture."""
    found = []
    for line in lines:
        key = line.ours.strongest() if line.ours else None
        values = (
            dig(line.ours.first, "attacks", key, "scores", "psnr_db_per_image") if line.ours and key else None
        )
        if isinstance(values, list) and values:
            found.append((line, [float(value) for value in values]))
    if not found:
        return None
    every = [value for _, values in found for value in values]
    x_ticks, x_range = _span([min(every), max(every)])
    left = round(LETTER_WIDTH * max(len(_short(line.label)) for line, _ in found)) + 40
    title = f"Table {table}, profile {study.profile}: each picture's PSNR under the strongest attack"
    plot = Plot((left + 560, 110 + 26 * len(found)), (left, 44, 24, 56), x_range, (0, 1), title)
    plot.text(24, 22, title)
    plot.x_axis("PSNR of single pictures, dB (further right = leaks more)", x_ticks)
    for number, (line, values) in enumerate(found):
        height = plot.top + 18 + 26 * number
        box = five_numbers(values)
        tip = f"{line.label}: median {box.median:.2f} dB, worst picture {max(values):.2f} dB"
        plot.text(left - 10, height + 4, _short(line.label), anchor="end", colour=colour_of(line.row))
        plot.box(height, box, colour_of(line.row), tip)
        plot.add(f"<circle cx='{plot.x(max(values))}' cy='{height}' r='3' fill='none' stroke='#444'/>")
    caption = (
        "PSNR of single pictures under each row's strongest attack: quartiles, whiskers from the 5th to "
        "the 95th percentile, a ring at the picture restored best."
    )
    return Drawing(f"table{table}-spread.svg", caption, plot.svg())


def figure2_drawings(study: Study) -> tuple[Drawing, ...]:
    """Attacks and information after each block, two drawings per family."""
    made: list[Drawing | None] = []
    for family, result in study.figure2.items():
        points = [as_row(result, point) for point in result["points"]]
        label = f"{FAMILY_LABELS.get(family, family)}, profile {study.profile}"
        made += [_attack_curves(family, label, points), _information_curves(family, label, points)]
    return tuple(drawing for drawing in made if drawing is not None)


Curves = dict[str, list[tuple[float, float]]]


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
    points: Sequence[RowResult], curves: Curves, title: str, axis: str, references: dict[str, float]
) -> str:
    """Curves over blocks, named at their right end; an empty text with fewer than two blocks."""
    if not curves or len(points) < 2:
        return ""
    levels = [y for curve in curves.values() for _, y in curve]
    y_ticks, y_range = _span([*levels, *references.values()])
    right = round(LETTER_WIDTH * max(len(name) for name in curves)) + 40
    plot = Plot((520 + right, 400), (66, 40, right, 40), (-0.3, len(points) - 0.7), y_range, title)
    plot.text(plot.left, 22, title)
    plot.y_axis(axis, y_ticks)
    for number, point in enumerate(points):
        plot.text(plot.x(number), plot.bottom + 18, point.name, anchor="middle")
    plot.line(plot.left, plot.bottom, plot.right, plot.bottom, "#444")
    _draw_references(plot, references)
    ends = spread_labels([plot.y(curve[-1][1]) for curve in curves.values()], 15, plot.top, plot.bottom)
    for number, ((name, curve), end) in enumerate(zip(curves.items(), ends, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        plot.polyline(curve, colour)
        for x, y in curve:
            plot.point(x, y, colour, f"{name}, {points[int(x)].name}: {y:.2f}", radius=4)
        plot.text(plot.right + 12, end + 4, name, colour=colour)
    return plot.svg()


def _draw_references(plot: Plot, references: dict[str, float]) -> None:
    for label, level in references.items():
        plot.line(plot.left, plot.y(level), plot.right, plot.y(level), REFERENCE_COLOUR, dashed=True)
        plot.text(plot.left + 6, plot.y(level) - 4, label, colour=REFERENCE_COLOUR)

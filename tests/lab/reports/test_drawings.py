"""The drawings show what the results say, and no two of their labels lie over one another."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.lab.reports.audit_charts import Bar, comparison_chart, curves, histogram
from siftfunnel.lab.reports.bars import Spread, boxes
from siftfunnel.lab.reports.charts import Panel, Point, Series, lines
from siftfunnel.lab.reports.sheet import spread
from siftfunnel.lab.reports.study.results import Study, read_results
from siftfunnel.lab.reports.study.tables import make_pages, with_drawings
from tests.drawn import overlapping, texts, tips

MINIATURE = Path(__file__).parent / "miniature"
MARKS = {"Mean picture": 12.0, "4x4 thumbnail": 17.0, "8x8 thumbnail": 20.0}
PAGE_SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


@pytest.fixture(scope="module")
def study() -> Study:
    return read_results(MINIATURE, print)["mini"]


@pytest.fixture(scope="module")
def drawn(study: Study) -> dict[str, str]:
    pages = [with_drawings(study, page) for name in ("2", "figure2") for page in make_pages(study, name)]
    return {drawing.file: drawing.svg for page in pages for drawing in page.drawings}


def test_the_trade_off_has_a_point_for_every_row_that_was_run(drawn: dict[str, str]) -> None:
    svg = drawn["table2-trade-off.svg"]
    assert "Unprotected: 62.0 %, 21.25 dB" in tips(svg)
    assert len(tips(svg)) == 5
    assert {"SiftFunnel, 2 seeds", "Funnel, cross-entropy only ‡", "thumbnail 4x4"} <= set(texts(svg))


def test_the_spread_has_a_box_for_every_row_that_was_run(drawn: dict[str, str]) -> None:
    found = tips(drawn["table2-spread.svg"])
    assert "Unprotected: median 21.25 dB, worst picture 24.25 dB" in found
    assert len(found) == 5


def test_figure_2_has_a_curve_for_every_attack(drawn: dict[str, str]) -> None:
    assert {"figure2-cnn-attacks.svg", "figure2-cnn-information.svg"} <= set(drawn)
    svg = drawn["figure2-cnn-attacks.svg"]
    assert {"block 1", "block 4", "rMLE done right", "Generative inverter, black-box"} <= set(texts(svg))
    assert len(tips(svg)) == 2 * 4


def test_no_two_labels_lie_over_one_another(drawn: dict[str, str]) -> None:
    assert {name: found for name, svg in drawn.items() if (found := overlapping(svg))} == {}


def test_the_same_results_give_the_same_text(study: Study) -> None:
    (page,) = make_pages(study, "2")
    assert with_drawings(study, page) == with_drawings(study, page)


def test_words_are_shown_as_they_stand() -> None:
    name = "a < b & $c_d$ 0.123456"
    svg = lines(name, [Panel(name, name, [Series(name, "#0072b2", (Point(1, 2, name),))])])
    assert texts(svg).count(name) == 4
    assert tips(svg) == [name]


def test_a_single_value_and_equal_ones_are_drawn_too() -> None:
    assert tips(boxes("t", "x", [Spread("one", "#0072b2", [3.0])])) == [
        "one: median 3.00 dB, worst picture 3.00 dB"
    ]
    flat = (Point(5, 2, "a"), Point(5, 2, "b"))
    assert tips(lines("t", [Panel("x", "y", [Series("s", "#0072b2", flat)], log_x=True)])) == ["a", "b"]


@given(st.lists(st.floats(0, 400), min_size=1, max_size=20))
def test_labels_keep_apart_and_within_bounds(wanted: list[float]) -> None:
    places = sorted(spread(wanted, 15.0, 0.0, 400.0))
    assert all(b - a >= 15.0 - 1e-6 for a, b in pairwise(places))
    assert -1e-6 <= places[0] <= places[-1] <= 400.0 + 1e-6


def as_file(svg: str) -> str:
    """What stands inside a page, with the names that the page gives it."""
    return svg.replace("<svg", PAGE_SVG, 1)


def test_a_comparison_names_attacks_and_reference_rows_and_is_told_to_who_does_not_see_it() -> None:
    svg = comparison_chart([Bar("rMLE & more", 15.0, 14.5, 15.5, 19.0, True), Bar("R", 6, 6, 6, 7)], MARKS)
    assert {"rMLE & more", "R", *MARKS} <= set(texts(as_file(svg)))
    assert 'aria-label="Mean PSNR of the attacks: rMLE &amp; more 15.0 dB, R 6.0 dB"' in svg
    assert overlapping(as_file(svg)) == []


def test_a_histogram_has_as_many_pictures_as_it_was_given() -> None:
    svg = histogram([10.0] * 20 + [15.0] * 20, MARKS, "Spread")
    assert [tip.rpartition(": ")[2] for tip in tips(as_file(svg)) if tip != "Spread"] == ["20 pictures"] * 2


def test_what_stands_inside_a_page_has_the_pages_colours_alone() -> None:
    svg = curves({"a": [1.0, 0.0, 0.01], "b": [2.0, 2.0]}, across="steps", upward="loss", logarithmic=True)
    assert "var(--ink)" in svg
    assert "#222222" not in svg
    assert "#fffffe" not in svg

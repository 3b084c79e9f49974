"""The drawings are well-formed, deterministic, and show what the results say."""

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.lab.tables.cli import make_documents
from siftfunnel.lab.tables.figures import five_numbers
from siftfunnel.lab.tables.results import Study, read_results
from siftfunnel.lab.tables.svg import Plot, spread_labels, ticks

MINIATURE = Path(__file__).parent / "miniature"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def study() -> Study:
    return read_results(MINIATURE, print)["mini"]


def drawings(study: Study, table: str) -> dict[str, ElementTree.Element]:
    (document,) = make_documents(study, table)
    return {made.file: ElementTree.fromstring(made.svg) for made in document.drawings}


def texts(drawing: ElementTree.Element) -> set[str]:
    return {element.text or "" for element in drawing.iter(f"{SVG}text")}


def test_the_trade_off_has_a_point_for_every_row_that_was_run(study: Study) -> None:
    drawing = drawings(study, "2")["table2-trade-off.svg"]
    tips = [circle.findtext(f"{SVG}title") for circle in drawing.iter(f"{SVG}circle")]
    assert "Unprotected: 62.0 %, 21.25 dB" in tips
    assert len(tips) == 5
    assert {"SiftFunnel, 2 seeds", "Funnel, cross-entropy only ‡", "thumbnail 4x4"} <= texts(drawing)


def test_the_spread_has_a_box_for_every_row_that_was_run(study: Study) -> None:
    drawing = drawings(study, "2")["table2-spread.svg"]
    tips = [rect.findtext(f"{SVG}title") for rect in drawing.iter(f"{SVG}rect")]
    assert "Unprotected: median 21.25 dB, worst picture 24.25 dB" in tips
    assert len([tip for tip in tips if tip]) == 5


def test_figure_2_has_a_curve_for_every_attack(study: Study) -> None:
    made = drawings(study, "figure2")
    assert set(made) == {"figure2-cnn-attacks.svg", "figure2-cnn-information.svg"}
    attacks = made["figure2-cnn-attacks.svg"]
    assert len(list(attacks.iter(f"{SVG}polyline"))) == 2
    assert {"block 1", "block 4", "rMLE done right", "Generative inverter, black-box"} <= texts(attacks)


@pytest.mark.parametrize("table", ["2", "figure2"])
def test_all_that_is_drawn_lies_within_the_picture(study: Study, table: str) -> None:
    for drawing in drawings(study, table).values():
        width, height = float(drawing.get("width", 0)), float(drawing.get("height", 0))
        for element in drawing.iter():
            for key, limit in (("x", width), ("cx", width), ("y", height), ("cy", height)):
                assert 0 <= float(element.get(key, 0)) <= limit


def test_the_same_results_give_the_same_text(study: Study) -> None:
    first, second = make_documents(study, "2"), make_documents(study, "2")
    assert first == second


def test_five_numbers_of_a_hundred_and_one_values() -> None:
    box = five_numbers([float(value) for value in range(101)])
    assert (box.low, box.quarter, box.median, box.three_quarters, box.high) == (5, 25, 50, 75, 95)
    assert five_numbers([3.0]).high == 3.0


def test_text_is_escaped() -> None:
    plot = Plot((100, 100), (10, 10, 10, 10), (0, 1), (0, 1), "a < b & c")
    plot.text(5, 5, "<script>")
    assert ElementTree.fromstring(plot.svg()).findtext(f"{SVG}title") == "a < b & c"


@given(st.floats(-1e4, 1e4), st.floats(0, 1e4))
def test_ticks_span_the_interval_and_rise(low: float, extent: float) -> None:
    made = ticks(low, low + extent)
    step = made[1] - made[0]
    assert made[0] <= low + 1e-6 * step + 1e-9
    assert made[-1] >= low + extent - 1e-6 * step - 1e-9
    assert all(a < b for a, b in pairwise(made))
    assert 2 <= len(made) <= 8


@given(st.lists(st.floats(0, 400), min_size=1, max_size=20))
def test_labels_never_overlap(wanted: list[float]) -> None:
    places = sorted(spread_labels(wanted, 15.0, 0.0, 400.0))
    assert all(b - a >= 15.0 - 1e-6 for a, b in pairwise(places))

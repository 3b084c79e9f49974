from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.bench.cells.result import Cell, Latency
from siftfunnel.bench.links.profiles import PROFILES
from siftfunnel.bench.recommend.prediction import (
    Network,
    PredictionError,
    carrying_ms,
    fit,
    leave_one_link_out,
    predict_ms,
    relative_line,
)
from tests.bench.report import made

Q4 = made.WAYS[3]


@pytest.mark.parametrize(
    ("network", "up_bytes", "down_bytes", "expected_ms"),
    [
        (Network(20.0, 1_000.0, 1_000.0), 0, 0, 20.0),
        (Network(20.0, 1_000.0, 500.0), 1_250, 125, 32.0),
        (Network(0.0, None, None), 1e9, 1e9, 0.0),
    ],
)
def test_a_link_takes_its_round_trip_and_its_bytes(
    network: Network, up_bytes: float, down_bytes: float, expected_ms: float
) -> None:
    assert network.carrying_ms(up_bytes, down_bytes) == expected_ms


@pytest.mark.parametrize("figures", [(-1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, -5.0)])
def test_impossible_links_are_refused(figures: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        Network(*figures)


def test_a_link_counts_as_measured_and_as_configured_only_where_it_was_not() -> None:
    cell = made.cell(*Q4, link="lte")
    assert Network.of_cells([cell]) == Network(20.2, 2_880.0, 3_840.0)
    assert Network.of_cells([replace(cell, calibration=None)]) == Network(20.0, 3_000, 4_000)
    assert Network.of_profile(PROFILES["lte"]) == Network(20.0, 3_000, 4_000)
    assert cell.calibration is not None
    assert Network.of_calibration(cell.calibration) == Network(20.2, 2_880.0, 3_840.0)


def test_a_prediction_from_other_links_meets_the_measured_cell() -> None:
    """The made-up cells follow the model, so it must find their constants."""
    others = [made.cell(*Q4, link=link) for link in ("gprs", "lte", "wifi")]
    target = made.cell(*Q4, link="good-3g")
    predicted = predict_ms(others, Network.of_cells([target]), "p50")
    assert predicted == pytest.approx(target.latency_ms.p50, rel=1e-6)


def stretched(links: Sequence[str]) -> list[Cell]:
    """Cells whose link takes a quarter longer than its arithmetic."""
    cells = []
    for link in links:
        cell = made.cell(*Q4, link=link)
        carried = Network.of_cells([cell]).carrying_ms(673, 80)
        cells.append(replace(cell, latency_ms=Latency(*(5.0 + 1.25 * carried,) * 4)))
    return cells


@pytest.mark.parametrize("links", [("lte", "wifi"), ("gprs", "lte", "wifi")])
def test_with_fewer_than_four_links_the_way_adds_a_constant(links: tuple[str, ...]) -> None:
    found = fit(stretched(links), "p50")
    assert found is not None
    assert found.stretch == 1.0


@pytest.mark.parametrize("links", [("gprs", "lte", "wifi"), ("gprs", "good-3g", "lte", "wifi")])
def test_leaving_links_out_tries_the_very_model_that_predicts(links: tuple[str, ...]) -> None:
    """From three links both have one constant and err; from four both have a line, and find it from three."""
    cells = stretched(links)
    model = fit(cells, "p90")
    assert model is not None
    trials = leave_one_link_out(cells, "p90")
    assert len(trials) == len(links)
    for trial, cell in zip(trials, cells, strict=True):
        others = [other for other in cells if other is not cell]
        tried = fit(others, "p90", stretched=model.stretch != 1.0)
        assert tried is not None
        assert tried.stretch == pytest.approx(model.stretch)
        carried = carrying_ms(cell, Network.of_cells([cell]))
        assert trial.predicted_ms == pytest.approx(tried.own_ms + tried.stretch * carried)
    error = PredictionError.of(trials)
    assert error is not None
    assert (error.worst_share < 1e-6) == (len(links) == 4)


def test_a_link_that_takes_longer_than_its_arithmetic_stretches() -> None:
    cells = stretched(("gprs", "good-3g", "lte", "wifi"))
    found = fit(cells, "p90")
    assert found is not None
    assert (found.own_ms, found.stretch) == pytest.approx((5.0, 1.25))


def test_overloaded_cells_say_nothing() -> None:
    assert fit([made.overloaded(made.cell(*Q4))], "p50") is None
    assert predict_ms([made.overloaded(made.cell(*Q4))], Network(1.0, None, None), "p50") is None


def test_edge_only_takes_the_same_over_every_link() -> None:
    cells = [made.cell(*made.WAYS[0], link=link) for link in ("gprs", "lte", "wifi")]
    assert predict_ms(cells, Network(1e4, 1.0, 1.0), "p90") == pytest.approx(cells[0].latency_ms.p90)


@given(st.floats(0, 1_000), st.floats(1, 1e6), st.floats(1, 1e6))
def test_a_slower_link_is_never_predicted_to_be_faster(rtt: float, up: float, down: float) -> None:
    cells = [made.cell(*Q4, link=link) for link in ("gprs", "good-3g", "lte", "wifi")]
    fast = predict_ms(cells, Network(rtt, up, down), "p50")
    slow = predict_ms(cells, Network(rtt + 1, up / 2, down / 2), "p50")
    assert fast is not None
    assert slow is not None
    assert 0 <= fast < slow


@given(
    st.floats(0, 1e3), st.floats(0.1, 10), st.lists(st.floats(1, 1e4), min_size=2, max_size=12, unique=True)
)
def test_a_line_is_found_from_its_points(intercept: float, slope: float, xs: list[float]) -> None:
    if max(xs) - min(xs) < 1:
        xs = [*xs, max(xs) + 1]
    found = relative_line([(x, intercept + slope * x) for x in xs])
    assert found is not None
    for x in xs:
        assert found[0] + found[1] * x == pytest.approx(intercept + slope * x, rel=1e-3)


def test_there_is_no_line_through_one_place() -> None:
    assert relative_line([(5.0, 1.0), (5.0, 2.0)]) is None


def test_every_cell_that_is_sent_is_left_out_once() -> None:
    cells = made.cells()
    trials = leave_one_link_out(cells, "p50")
    sent = [cell for cell in cells if cell.mode != "edge-only"]
    assert {(trial.way[2], trial.link) for trial in trials} == {(cell.codec, cell.link.name) for cell in sent}
    assert len(trials) == len(sent)
    error = PredictionError.of(trials)
    assert error is not None
    assert error.worst_share < 1e-6


def test_the_error_is_the_share_by_which_predictions_are_off() -> None:
    cells = [made.cell(*Q4, link=link) for link in ("lte", "wifi")]
    off = replace(cells[1], latency_ms=Latency(*(2 * cells[1].latency_ms.p50,) * 4))
    (first, second) = leave_one_link_out([cells[0], off], "p50")
    assert first.relative > 0
    assert second.relative == pytest.approx(cells[1].latency_ms.p50 / off.latency_ms.p50 - 1)
    error = PredictionError.of([first, second])
    assert error is not None
    assert error.trials == 2
    assert error.worst_share == max(abs(first.relative), abs(second.relative))


def test_with_one_link_nothing_can_be_left_out() -> None:
    assert leave_one_link_out(made.cells(["wifi"]), "p50") == []
    assert PredictionError.of([]) is None

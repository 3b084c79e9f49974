"""How accurate a way is, and how sure that is."""

from dataclasses import replace

import pytest

from siftfunnel.bench.report.accuracy import Accuracy, accuracy_of
from tests.bench.report import made

OWN, OPEN = made.DIGESTS["drawnfaces-siftfunnel"], made.DIGESTS["drawnfaces-unprotected"]
CELLS = [made.cell(*made.WAYS[3], link=link) for link in ("lte", "wifi")]


def test_the_whole_test_set_counts_before_the_few_pictures_of_the_cells() -> None:
    known = accuracy_of([made.front()], OWN, "split", "q4", CELLS)
    assert known == Accuracy(0.97, 0.96, 0.98, 1_000, "test set")
    picture = accuracy_of([made.front()], OPEN, "cloud-only", "jpeg-75", CELLS)
    assert picture is not None
    assert (picture.share, picture.source) == (0.985, "test set")


def test_a_picture_that_another_network_answered_says_nothing_of_this_one() -> None:
    known = accuracy_of([made.front()], OWN, "cloud-only", "jpeg-75", CELLS)
    assert known is not None
    assert known.source == "cells"


def test_answers_to_the_same_pictures_again_do_not_make_the_cells_more_certain() -> None:
    asked = {"asked": {"number_of_pictures": 100}}
    once = [replace(CELLS[0], settings=asked, correct=80, judged=100)]
    often = [replace(cell, settings=asked, correct=800, judged=1_000) for cell in CELLS]
    first, second = (accuracy_of([], OWN, "split", "q4", cells) for cells in (once, often))
    assert first == second
    assert first is not None
    assert (first.share, first.pictures) == (0.8, 100)
    assert first.low == pytest.approx(0.711, abs=1e-3)


def test_without_labels_nothing_is_known() -> None:
    assert accuracy_of([], OWN, "split", "q4", [replace(CELLS[0], correct=0, judged=0)]) is None


def test_a_difference_counts_where_the_intervals_do_not_explain_it() -> None:
    good, near, far = (
        Accuracy(share, share - 0.01, share + 0.01, 5_000, "test set") for share in (0.82, 0.81, 0.80)
    )
    assert not good.is_above(near)
    assert good.is_above(far)
    assert not far.is_above(good)

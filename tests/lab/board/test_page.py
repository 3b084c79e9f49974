"""The page: what compares stands in one table, and nothing is loaded from elsewhere."""

import re
from pathlib import Path

import pytest

from siftfunnel.cli import main
from siftfunnel.lab.board.entry import BOARD, read_board
from siftfunnel.lab.reports.board_page import AXES, groups_of, render, unbeaten
from tests.attacker.web.browser import PHONE, TOUCH
from tests.lab.board.boards import LEAK, SUITE, a_board, entry


def with_leak(label: str, /, psnr_db: float, accuracy: float, **suite: object):
    leak = {**LEAK, "psnr_db": psnr_db, "psnr_ci95": [psnr_db, psnr_db]}
    known = {"leak": leak, "by": "siftfunnel", "source": "a paper"}
    answers = {"measure": "likeness", "value": accuracy, "ci95": [accuracy, accuracy], "pictures": 100}
    terms = {**SUITE, **suite, "from_1": leak}
    return entry(id=label, title=label, answers=answers, suite=terms, best_known=known)


def test_other_suites_versions_budgets_and_pictures_never_share_a_table() -> None:
    ours = with_leak("ours", 17.0, 0.8)
    others = [
        with_leak("name", 17.0, 0.8, name="Another"),
        with_leak("version", 17.0, 0.8, version=2),
        with_leak("budget", 17.0, 0.8, budget="fast"),
        with_leak("attacked", 17.0, 0.8, attacked=15),
    ]
    groups = groups_of([ours, *others, with_leak("same", 16.0, 0.7)])
    assert sorted([one.id for one in group.own] for group in groups) == [
        ["attacked"],
        ["budget"],
        ["name"],
        ["same", "ours"],
        ["version"],
    ]
    assert groups[-1].own[0].id == "name"


def test_pictures_as_they_are_stand_marked_in_every_table_of_their_data_set() -> None:
    read = with_leak("jpeg", 30.0, 0.9, name="reading", budget="none")
    first, second = groups_of([read, with_leak("a", 17.0, 0.8), with_leak("b", 18.0, 0.8, budget="fast")])
    for group in (first, second):
        assert [line["is_read"] for line in group.lines] == [False, True]


def test_an_entry_that_was_attacked_with_less_says_so() -> None:
    (group,) = groups_of([with_leak("all", 17.0, 0.8), with_leak("less", 16.0, 0.8, attacks=["residual"])])
    assert {line["entry"].id: line["missing"] for line in group.lines} == {"all": [], "less": ["rmle"]}


def test_the_front_is_what_nothing_beats_in_both_and_has_learned_something() -> None:
    flag = {"about": "training", "kind": "learned-nothing", "text": "nothing"}
    useless = with_leak("useless", 5.0, 0.1)
    useless = type(useless)(**{**vars(useless), "flags": (flag,)})
    entries = [
        with_leak("good", 17.0, 0.8),
        with_leak("beaten", 18.0, 0.7),
        with_leak("low", 15.0, 0.6),
        useless,
    ]
    assert [one.id for one in unbeaten(entries, AXES[0])] == ["good", "low"]


def test_the_page_needs_nothing_but_itself_and_escapes_what_it_is_told(tmp_path: Path) -> None:
    page = render([*read_board(BOARD), entry(title="<script>alert(1)</script>")], {})
    assert "<script>alert(1)" not in page
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)|url\\(([^)]+)\\)|@import""", page)
    assert {one for pair in loaded for one in pair if one and not one.startswith(("#", "data:"))} == {
        link for one in read_board(BOARD) for link in one.origin.links
    } | {"https://example.org/bundle"}


def test_the_command_makes_checks_and_shows_a_board(tmp_path: Path, capsys) -> None:
    board, page = a_board(tmp_path / "board"), tmp_path / "page.html"
    assert main(["lab", "board", "check", "--board", str(board)]) == 0
    assert main(["lab", "board", "page", "--board", str(board), "--out", str(page)]) == 0
    assert "Made up" in page.read_text()
    assert main(["lab", "board", "check", "nobody", "--board", str(board)]) != 0
    assert "nobody" in capsys.readouterr().err


@pytest.mark.slow
def test_in_a_browser_it_sorts_and_filters_by_keyboard_and_fits_a_phone(tmp_path: Path, browser) -> None:
    place = tmp_path / "page.html"
    place.write_text(render([with_leak("bbb", 16.0, 0.6), with_leak("aaa", 17.0, 0.9)], {}))
    page = browser.new_page(viewport=PHONE, **TOUCH)
    page.goto(place.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    rows = page.locator("table.board tbody tr:visible th")
    page.select_option("#order", "accuracy down")
    assert rows.all_inner_texts()[0].startswith("aaa")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator("thead button", has_text="Leak, 1 frame").focus()
    page.keyboard.press("Enter")
    assert rows.all_inner_texts()[0].startswith("bbb")
    page.fill("#words", "aaa")
    assert rows.count() == 1

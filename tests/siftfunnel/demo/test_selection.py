"""What plays next: in turn, until somebody switches."""

from pathlib import Path

import pytest

from shared.bundle import Bundle
from siftfunnel.demo.control import WishError
from siftfunnel.demo.selection import Selection
from tests.tinybundle import make_tiny_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    folder: Path = tmp_path_factory.mktemp("models")
    bare = make_tiny_bundle(folder / "bare", name="bare", default_codec="q6")
    shield = make_tiny_bundle(folder / "shield", name="shield", defence="siftfunnel", default_codec="q4")
    return bare, shield


@pytest.fixture
def selection(bundles: tuple[Bundle, Bundle]) -> Selection:
    return Selection(bundles, codec=None, tls=False)


def chosen(selection: Selection) -> tuple[str, str, bool]:
    choice = selection.choice
    return choice.bundle.name, choice.codec, choice.tls


def test_bundles_play_in_turn_with_their_own_codecs(selection: Selection) -> None:
    seen = []
    for _ in range(3):
        seen.append(chosen(selection))
        selection.advance()
    assert seen == [("bare", "q6", False), ("shield", "q4", False), ("bare", "q6", False)]


def test_a_wanted_codec_goes_for_every_bundle(bundles: tuple[Bundle, Bundle]) -> None:
    selection = Selection(bundles, codec="fp16", tls=True)
    selection.advance()
    assert chosen(selection) == ("shield", "fp16", True)


def test_a_switch_is_held_and_noticed_once(selection: Selection) -> None:
    state = selection.switch({"bundle": "shield"})
    assert (state["bundle"], state["codec"], state["held"]) == ("shield", "q4", True)
    assert [selection.take_wish(), selection.take_wish()] == [True, False]
    selection.advance()
    assert chosen(selection) == ("shield", "q4", False)


def test_the_page_is_told_what_plays_until_the_switch_is_done(selection: Selection) -> None:
    selection.switch({"bundle": "shield"})
    assert selection.state()["bundle"] == "bare"
    selection.begin()
    assert selection.state()["bundle"] == "shield"


def test_a_switch_of_codec_or_tls_keeps_the_rest(selection: Selection) -> None:
    selection.switch({"codec": "q8"})
    selection.switch({"tls": True})
    assert chosen(selection) == ("bare", "q8", True)


@pytest.mark.parametrize(
    "wish", [{"bundle": "nonsense"}, {"codec": "q99"}, {"bundle": "shield", "codec": "zip"}]
)
def test_a_wish_for_what_is_not_there_changes_nothing(wish: dict[str, str], selection: Selection) -> None:
    with pytest.raises(WishError, match=r"bare|fp32"):
        selection.switch(wish)
    assert chosen(selection) == ("bare", "q6", False)
    assert not selection.held
    assert not selection.take_wish()


def test_state_tells_the_page_what_could_be_chosen(selection: Selection) -> None:
    state = selection.state()
    assert state["bundle"] == "bare"
    assert state["codecs"] == ["fp32", "fp16", "int8", "q8", "q7", "q6", "q5", "q4"]
    assert [(one["name"], one["defence"], one["default_codec"]) for one in state["bundles"]] == [
        ("bare", "none", "q6"),
        ("shield", "siftfunnel", "q4"),
    ]

"""What plays next: pairs in turn, until somebody switches."""

from pathlib import Path
from typing import Any

import pytest

from siftfunnel.demo.selection import Selection, WishError, pairs_of, tasks_of
from siftfunnel.shared.bundle import Bundle
from tests.tinybundle import make_tiny_bundle
from tests.tinynetwork import make_own_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, ...]:
    folder: Path = tmp_path_factory.mktemp("models")
    kinds = (("bare", "none", "q6"), ("shield", "siftfunnel", "q4"), ("rate", "siftfunnel-rate", "q5"))
    shapes = [
        make_tiny_bundle(folder / name, name=name, defence=defence, default_codec=codec)
        for name, defence, codec in kinds
    ]
    return (*shapes, make_tiny_bundle(folder / "letters", name="letters", classes=("a", "b")))


@pytest.fixture
def selection(bundles: tuple[Bundle, ...]) -> Selection:
    return Selection(bundles[:3], pairs_of(bundles[:3]), codec=None, tls=False)


def chosen(selection: Selection) -> tuple[list[str], bool]:
    choice = selection.choice
    return [f"{name}:{choice.codecs[name]}" for name in choice.pair.names], choice.tls


def test_the_ordinary_network_plays_beside_each_other_one_in_turn(selection: Selection) -> None:
    seen = []
    for _ in range(3):
        seen.append(chosen(selection)[0])
        selection.advance()
    assert seen == [["bare:q6", "shield:q4"], ["bare:q6", "rate:q5"], ["bare:q6", "shield:q4"]]


def test_a_wanted_codec_goes_for_every_bundle(bundles: tuple[Bundle, ...]) -> None:
    selection = Selection(bundles[:2], pairs_of(bundles[:2]), codec="fp16", tls=True)
    assert chosen(selection) == (["bare:fp16", "shield:fp16"], True)
    assert not selection.in_turn  # there is one pair only


def test_a_switch_is_held_and_noticed_once_until_the_turns_are_given_back(selection: Selection) -> None:
    selection.switch({"bundles": ["bare", "rate"]})
    assert [selection.take_wish(), selection.take_wish()] == [True, False]
    selection.advance()
    assert chosen(selection)[0] == ["bare:q6", "rate:q5"]
    assert selection.state()["in_turn"] is False
    selection.begin()
    selection.switch({"in_turn": True})
    assert selection.take_wish() is False  # what plays goes on
    assert selection.in_turn
    selection.advance()
    assert chosen(selection)[0] == ["bare:q6", "shield:q4"]


def test_the_page_is_told_what_plays_until_the_switch_is_done(selection: Selection) -> None:
    selection.switch({"codec": {"bare": "q8"}})
    assert selection.state()["pair"][0]["codec"] == "q6"
    assert selection.state(chosen=True)["pair"][0]["codec"] == "q8"
    selection.begin()
    assert selection.state()["pair"][0]["codec"] == "q8"


def test_a_switch_of_codec_or_tls_keeps_the_rest(selection: Selection) -> None:
    selection.switch({"codec": {"shield": "q8", "rate": "fp16"}})
    selection.switch({"tls": True})
    assert chosen(selection) == (["bare:q6", "shield:q8"], True)
    selection.switch({"bundles": ["bare", "rate"]})
    assert chosen(selection) == (["bare:q6", "rate:fp16"], True)


@pytest.mark.parametrize(
    "wish",
    [
        {"bundles": ["nonsense"]},
        {"bundles": ["bare", "bare"]},
        {"codec": {"bare": "q99"}},
        {"codec": {"nonsense": "q4"}},
        {"bundles": ["bare", "rate"], "codec": {"rate": "zip"}, "tls": True},
    ],
)
def test_a_wish_for_what_is_not_there_changes_nothing(wish: dict[str, Any], selection: Selection) -> None:
    with pytest.raises(WishError):
        selection.switch(wish)
    assert chosen(selection) == (["bare:q6", "shield:q4"], False)
    assert selection.in_turn
    assert not selection.take_wish()


def test_networks_with_other_classes_are_no_pair(bundles: tuple[Bundle, ...]) -> None:
    assert [pair.names for pair in pairs_of(bundles)] == [("bare", "shield"), ("bare", "rate"), ("letters",)]
    selection = Selection(bundles, pairs_of(bundles), codec=None, tls=False)
    with pytest.raises(WishError, match="same classes"):
        selection.switch({"bundles": ["bare", "letters"]})


def test_networks_without_classes_play_together_where_their_outputs_are_the_same(
    bundles: tuple[Bundle, ...], tmp_path: Path
) -> None:
    one, other = (make_own_bundle(tmp_path / name, name) for name in ("one", "other"))
    larger = make_own_bundle(tmp_path / "larger", "larger", (64, 64))
    groups = [task.names for task in tasks_of([one, larger, bundles[0], other])]
    assert groups == [("one", "other"), ("larger",), ("bare",)]
    selection = Selection([one, larger, other], pairs_of([one, larger, other]), codec=None, tls=False)
    selection.switch({"bundles": ["other", "one"]})
    with pytest.raises(WishError, match="same classes or outputs"):
        selection.switch({"bundles": ["one", "larger"]})


def test_state_tells_the_page_what_plays_and_what_could_be_chosen(selection: Selection) -> None:
    state = selection.state()
    assert [(one["bundle"], one["title"], one["codec"]) for one in state["pair"]] == [
        ("bare", "Ordinary network", "q6"),
        ("shield", "SiftFunnel", "q4"),
    ]
    assert all(one["says"] and all(codec["says"] for codec in one["codecs"]) for one in state["pair"])
    assert [codec["name"] for codec in state["pair"][0]["codecs"]][:3] == ["fp32", "fp16", "int8"]
    assert [choice["bundles"] for choice in state["choices"]] == [["bare", "shield"], ["bare", "rate"]]
    assert (state["tls"], state["in_turn"]) == (False, True)

"""Entries: what one may hold, and whether its figures follow from what it names."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from siftfunnel.lab.board.checking import Checker, measured_again
from siftfunnel.lab.board.entry import (
    BOARD,
    Answers,
    BoardError,
    Entry,
    as_json,
    naming,
    put_file,
    read_board,
    read_file,
    said_by,
)
from siftfunnel.lab.board.sources import entries_of, repository_results
from siftfunnel.lab.data import datasets
from siftfunnel.lab.front.coding import codec_points
from siftfunnel.lab.front.halves import Halves
from siftfunnel.shared.bundle import Bundle, find_bundles
from siftfunnel.shared.bundle_search import shipped_folder
from tests.conftest import ROOT
from tests.lab.board.boards import LEAK, SUITE, a_board, changed, entry, tampered
from tests.lab.pictures import CLASSES, coloured_set
from tests.tinybundle import make_tiny_bundle

ROW = ROOT / "lab/results/cpu/cifar10-cnn-siftfunnel.json"


def shipped() -> dict[str, Bundle]:
    found = find_bundles(*shipped_folder("bundles"))
    return {each.digest: each for each in found if isinstance(each, Bundle)}


def test_every_entry_on_the_board_follows_from_what_it_names() -> None:
    checker = Checker(shipped())
    found = {one.id: checker(one)[1] for one in read_board(BOARD)}
    assert {name: told for name, told in found.items() if told} == {}, (
        "`siftfunnel lab board add` makes them anew"
    )


def test_the_board_has_the_study_the_shipped_bundles_and_the_picture_codecs() -> None:
    kinds = {one.kind for one in read_board(BOARD)}
    assert kinds == {"bundle", "study", "own-network", "picture-codec"}
    on_board = {one.origin.digest for one in read_board(BOARD)}
    assert set(shipped()) <= on_board
    assert ROW in repository_results()


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("answers.value", 0.9, "answers"),
        ("suite.from_1.psnr_db", 19.0, "interval"),
        ("suite.from_1.psnr_db", float("nan"), "suite.from_1.psnr_db"),
        ("suite.from_1.frames", 16, "one frame"),
        ("suite.from_16", {**LEAK, "frames": 16, "psnr_db": 17.3}, "cannot be weaker"),
        ("best_known", None, "best_known"),
        ("best_known.leak.psnr_db", 17.3, "no weaker"),
        ("suite", None, "need a suite"),
        ("bytes_mean", 0.0, "bytes_mean"),
        ("origin.digest", "abc", "origin.digest"),
        ("origin.links", ["javascript:alert(1)"], "origin.links"),
        ("id", "../elsewhere", "id"),
        ("surprise", 1, "surprise"),
        (
            "certificate",
            [{"kind": "k", "says": "s", "frames": 1, "pictures": 9, "mse_db": 17.0, "attack_mse_db": 18.0}],
            "is broken",
        ),
    ],
)
def test_what_cannot_be_true_is_refused_with_its_place(path: str, value: Any, says: str) -> None:
    with pytest.raises(BoardError, match=says), naming("here"):
        Entry(**changed(path, value))


def test_a_file_is_read_back_as_it_was_written_and_in_no_other_form(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    path = board / "entries/made-up.json"
    assert read_board(board) == [entry()]
    text = path.read_text()
    for other in (text.replace("48.0", "48.04"), text.replace('"frames": 1', '"frames": "1"'), text + "\n"):
        path.write_text(other)
        with pytest.raises(BoardError, match="not written"):
            read_file(Entry, path)
    path.write_text(text)
    path.rename(path.with_name("other.json"))
    with pytest.raises(BoardError, match="not named"):
        read_board(board)


def test_a_name_belongs_to_whoever_had_it_first(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    put_file(board / "entries", entry(title="Better"))
    with pytest.raises(BoardError, match="somebody else"):
        put_file(board / "entries", said_by(entry(), "another", None, None))


def test_a_board_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="--board"):
        read_board(tmp_path)


def test_a_figure_that_its_result_does_not_give_is_told(tmp_path: Path) -> None:
    (one,) = entries_of(ROW, {})
    assert Checker({})(one) == ("follows from lab/results/cpu/cifar10-cnn-siftfunnel.json", [])
    board = a_board(tmp_path, one)
    edited = read_file(Entry, tampered(board, one, "bytes_mean", 9.0))
    _, differences = Checker({})(edited)
    assert len(differences) == 1
    assert "bytes_mean is 9.0" in differences[0]
    assert str(one.bytes_mean) in differences[0]


def test_the_suites_figures_are_its_own_attacks_and_the_best_known_is_of_all() -> None:
    result = json.loads(ROW.read_text())
    (one,) = entries_of(ROW, {})
    assert one.suite is not None
    assert one.best_known is not None
    assert set(one.suite.attacks) == set((result.get("suite") or result["profile_settings"])["attacks"])
    every = [attack["scores"]["standard"]["psnr_db"]["mean"] for attack in result["attacks"].values()]
    assert one.best_known.leak.psnr_db == round(max(every), 2)


def test_an_entry_that_does_not_fit_its_bundle_is_told_what_differs(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny")
    named = {**as_json(entry().origin), "digest": bundle.digest, "bundle": bundle.name}
    says, differences = Checker({bundle.digest: bundle})(entry(origin=named))
    assert says == "fits its bundle tiny"
    assert {told.split()[0] for told in differences} >= {
        "network",
        "cut",
        "input",
        "edge_parameters",
        "codec",
    }
    says, differences = Checker({})(entry(origin=named))
    assert "consistent in itself" in says
    assert differences == []


def test_bytes_and_accuracy_are_measured_anew_on_the_data_sets_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny", classes=CLASSES)
    images = coloured_set(30)
    monkeypatch.setattr(datasets, "load_splits", lambda *_, **__: SimpleNamespace(test=images))
    (point,) = [
        one for one in codec_points(Halves(bundle, CLASSES), images, print, rounds=1) if one["codec"] == "q6"
    ]
    measured = Answers("accuracy", point["accuracy"], tuple(point["accuracy_interval"]), 30)
    right = replace(
        entry(), input=(32, 32), codec="q6", bytes_mean=point["payload_bytes_mean"], answers=measured
    )
    assert measured_again(right, bundle, None, None) == []
    wrong = replace(right, bytes_mean=9.0)
    assert [told.split()[0] for told in measured_again(wrong, bundle, None, None)] == ["bytes_mean"]


def test_a_file_that_is_no_result_says_what_would_be(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(BoardError, match="audit's report"):
        entries_of(tmp_path / "no.json", {})


def test_a_result_that_lacks_something_says_what(tmp_path: Path) -> None:
    result = json.loads(ROW.read_text())
    del result["defence"]["label"]
    (tmp_path / "row.json").write_text(json.dumps(result))
    with pytest.raises(BoardError, match="label"):
        entries_of(tmp_path / "row.json", {})


def test_an_entry_nobody_attacked_has_no_leak() -> None:
    made = entry(suite=None, best_known=None, best_identity=None)
    assert made.suite is None
    assert entry(suite={**SUITE, "telling": None}).suite is not None

"""Attacks from outside: scored here, and counted where they beat ours by more than chance."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from siftfunnel.cli import main
from siftfunnel.lab.board import claims
from siftfunnel.lab.board.claims import CLAIMS, Claim, check_claims, read_claims, read_form, with_claims
from siftfunnel.lab.board.entry import BoardError, put_file
from tests.lab.board.boards import a_board, entry

FORM: dict[str, Any] = {
    "schema_version": 1,
    "id": "a-claim",
    "entry": "made-up",
    "digest": "0" * 64,
    "attack": "A better attack",
    "by": "An outsider",
    "source": "https://example.org/attack",
    "licence": "MIT",
    "access": "white-box",
    "frames": 1,
    "owns": "pictures of its own",
}
PICTURES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (16, 3, 16, 16), dtype=np.uint8))


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board with an entry, the form of a claim on it, and its attacked pictures at hand."""
    monkeypatch.setattr(claims, "attacked_pictures", lambda *_: PICTURES.float() / 255)
    (tmp_path / "form.json").write_text(json.dumps(FORM))
    return a_board(tmp_path / "board")


def handed_in(folder: Path, pixels: Tensor) -> list[str]:
    """The command that scores restored pictures."""
    save_file({"x_NCHW": pixels.contiguous()}, folder / "restored.safetensors")
    told = ["--board", str(folder / "board")]
    return [
        "lab",
        "board",
        "add-attack",
        str(folder / "form.json"),
        str(folder / "restored.safetensors"),
        *told,
    ]


def noisy(by: int) -> Tensor:
    drift = torch.from_numpy(np.random.default_rng(1).integers(-by, by + 1, PICTURES.shape))
    return (PICTURES.int() + drift).clamp(0, 255).to(torch.uint8)


def test_an_attack_that_beats_ours_goes_on_the_board_with_its_source(board: Path, capsys) -> None:
    assert main(handed_in(board.parent, noisy(20))) == 0
    assert "decibels and retrieval" in capsys.readouterr().out
    (claim,) = read_claims(board)
    shown = with_claims(entry(), [claim])
    assert shown.best_known is not None
    assert shown.best_known.by == "An outsider"
    assert shown.best_known.leak.psnr_db > 25
    assert not shown.best_known.is_reproduced
    assert shown.suite == entry().suite
    assert list(check_claims(board)) == []


def test_one_that_does_not_is_told_its_figures_and_leaves_nothing(board: Path, capsys) -> None:
    assert main(handed_in(board.parent, torch.full_like(PICTURES, 128))) == 1
    assert "17.5 dB" in capsys.readouterr().out
    assert not (board / CLAIMS).exists()


def test_who_ran_the_code_is_kept(board: Path) -> None:
    assert main([*handed_in(board.parent, noisy(20)), "--reproduced-by", "somebody else"]) == 0
    best = with_claims(entry(), read_claims(board)).best_known
    assert best is not None
    assert best.is_reproduced


def test_restored_pictures_of_another_shape_are_refused(board: Path, capsys) -> None:
    assert main(handed_in(board.parent, PICTURES[:3])) != 0
    assert "one picture for each" in capsys.readouterr().err


def test_a_claim_about_another_bundle_of_that_name_does_not_count(board: Path) -> None:
    main(handed_in(board.parent, noisy(20)))
    (claim,) = read_claims(board)
    other = entry(
        origin={**json.loads((board / "entries/made-up.json").read_text())["origin"], "digest": "1" * 64}
    )
    assert claim.beats(other) == []
    put_file(board / "entries", other)
    (problem,) = check_claims(board)
    assert "another bundle" in problem


@pytest.mark.parametrize(
    ("field", "value"), [("source", "ftp://x"), ("access", "inside"), ("frames", 0), ("more", 1)]
)
def test_a_form_that_is_wrong_names_the_field(tmp_path: Path, field: str, value: Any) -> None:
    (tmp_path / "form.json").write_text(json.dumps({**FORM, field: value}))
    with pytest.raises(BoardError, match=field):
        read_form(tmp_path / "form.json")


def test_a_claim_that_was_not_scored_beats_nothing() -> None:
    assert Claim(**FORM).beats(entry()) == []

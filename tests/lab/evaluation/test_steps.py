"""A finished step is read back; one of another budget is not taken for it."""

from pathlib import Path

import torch

from siftfunnel.lab.evaluation.steps import Steps, finished, kept_pictures


def test_a_step_is_made_once_and_anew_where_it_is_of_another_budget(tmp_path: Path) -> None:
    shown: list[str] = []
    steps = Steps(tmp_path / "row", shown.append)
    made = [steps.once("attack-a", lambda: {"budget": {"steps": (1,)}, "psnr": 20}) for _ in range(2)]
    assert made[0] == made[1] == {"budget": {"steps": [1]}, "psnr": 20}
    assert shown == ["row: attack-a"]
    same = steps.once("attack-a", lambda: {"psnr": 0}, like={"budget": {"steps": (1,)}})
    assert same["psnr"] == 20
    longer = steps.once(
        "attack-a", lambda: {"budget": {"steps": (2,)}, "psnr": 21}, like={"budget": {"steps": (2,)}}
    )
    assert longer["psnr"] == 21
    assert finished(tmp_path / "row") == {"attack-a": longer}


def test_a_step_that_found_nothing_is_not_made_again(tmp_path: Path) -> None:
    steps = Steps(tmp_path, lambda text: None)
    steps.once("half", lambda: None)
    assert steps.once("half", lambda: {"made": "again"}) is None


def test_pictures_are_kept_to_the_byte(tmp_path: Path) -> None:
    x_NCHW = torch.rand(2, 3, 4, 4)
    Steps(tmp_path, lambda text: None).keep_pictures("attack-a", x_NCHW)
    assert torch.equal(kept_pictures(tmp_path, "attack-a"), (x_NCHW * 255).round().to(torch.uint8))

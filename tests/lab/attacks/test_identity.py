import json
from pathlib import Path

from siftfunnel.lab.attacks.identity import IdentitySeeker
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.victim import to_floats
from tests.lab.attacks.tiny import shapes, tiny_victim

START = Residual(epochs=3, widths=(8, 8, 8), blocks=(1, 0, 0))
SEEKER = IdentitySeeker(epochs=3, start=START, width=4, recogniser_steps=30)


def quiet(text: str) -> None:
    """Progress is for people."""


def test_the_seeker_goes_on_from_its_inverter_and_chooses_its_epoch_by_who_is_found(tmp_path: Path) -> None:
    victim, images = tiny_victim(), shapes(200)
    learned = SEEKER.fit(victim, images, tmp_path, quiet)
    assert (tmp_path / START.name / "run.json").is_file()
    found = [epoch["held_back_found"] for epoch in learned["history"]]
    assert learned["best_epoch"] == 1 + found.index(max(found))
    # decibels stay decibels, whatever chose the epoch
    assert learned["held_back_psnr"] == learned["history"][learned["best_epoch"] - 1]["held_back_psnr"] > 5
    made = SEEKER.reconstruct(victim, victim.observe(to_floats(shapes(5, seed=4))), tmp_path, quiet)
    assert made.details["held_back_psnr"] == learned["held_back_psnr"]
    assert made.x_NCHW.shape == (5, 3, 32, 32)
    assert json.loads(json.dumps(SEEKER.budget()))["start"]["name"] == "residual"

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.generative import GenerativeBlackBox, GenerativeGrayBox
from siftfunnel.lab.attacks.inverter_training import FeatureBank, InverterTask, TrainedInverter, picture_loss
from siftfunnel.lab.attacks.registry import make_attack
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.unet import UNet
from siftfunnel.lab.attacks.victim import Victim, to_floats
from siftfunnel.lab.networks.split import count_parameters
from siftfunnel.lab.training.checkpoints import LAST, RUN, RunFolderError
from siftfunnel.lab.training.fitting import TrainingDivergedError
from tests.lab.attacks.tiny import mean_error, shapes, tiny_victim, victim_of_shape

AUXILIARY, TARGET = shapes(200, seed=1), shapes(50, seed=2)
SMALL_RESIDUAL = Residual(epochs=3, batch=10, learning_rate=1e-2, widths=(16, 12, 8), blocks=(1, 0, 0))
ATTACKS: dict[str, TrainedInverter] = {
    "black-box": GenerativeBlackBox(epochs=3, batch=10, learning_rate=1e-2, width=16),
    "gray-box": GenerativeGrayBox(epochs=3, batch=10, learning_rate=1e-2, width=16, victim_width=8),
    "residual": replace(SMALL_RESIDUAL, epochs=6),
    "unet": UNet(epochs=5, batch=10, learning_rate=1e-2, widths=(16, 24), tail=(12, 8), blocks=1),
}


def silent(line: str) -> None:
    """Progress that nobody reads."""


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_trained_inverter_beats_the_mean_image(attack: Attack, tmp_path: Path) -> None:
    victim = tiny_victim()
    learned = attack.fit(victim, AUXILIARY, tmp_path, silent)
    x = to_floats(TARGET)
    made = attack.reconstruct(victim, victim.observe(x), tmp_path, silent)
    mean_image = to_floats(AUXILIARY).mean(dim=0, keepdim=True)
    assert made.x_NCHW.shape == x.shape
    assert 0 <= float(made.x_NCHW.min()) <= float(made.x_NCHW.max()) <= 1
    assert mean_error(made.x_NCHW, x) < 0.7 * mean_error(mean_image, x)
    assert made.details["held_back_psnr"] == learned["held_back_psnr"]
    json.dumps([learned, made.details])


class Interrupting(InverterTask):
    """Stops like Ctrl-C when its third epoch is judged."""

    calls = 0

    def validate(self) -> dict[str, float]:
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().validate()


def noisy(z_NCHW: Tensor) -> Tensor:
    return z_NCHW + 0.1 * torch.randn_like(z_NCHW)


def test_an_interrupted_training_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tiny_victim(noisy)
    SMALL_RESIDUAL.fit(victim, AUXILIARY[:60], tmp_path / "whole", silent)
    with monkeypatch.context() as patched:
        patched.setattr("siftfunnel.lab.attacks.inverter_training.InverterTask", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            SMALL_RESIDUAL.fit(victim, AUXILIARY[:60], tmp_path / "parts", silent)
    stopped = json.loads((tmp_path / "parts" / "residual" / RUN).read_text())
    assert stopped["epochs_done"] == 2
    torch.rand(7)
    learned = SMALL_RESIDUAL.fit(victim, AUXILIARY[:60], tmp_path / "parts", silent)
    assert learned["epochs"] == 3
    whole, parts = (load_file(tmp_path / name / "residual" / LAST) for name in ("whole", "parts"))
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name], atol=0, rtol=0)


def test_a_folder_of_another_victim_or_budget_is_refused(tmp_path: Path) -> None:
    attack = replace(SMALL_RESIDUAL, epochs=1)
    attack.fit(tiny_victim(), AUXILIARY[:40], tmp_path, silent)
    with pytest.raises(RunFolderError, match=r"other settings \(victim\)"):
        attack.fit(tiny_victim(seed=5), AUXILIARY[:40], tmp_path, silent)
    with pytest.raises(RunFolderError, match=r"other settings \(auxiliary\)"):
        attack.fit(tiny_victim(), AUXILIARY[:41], tmp_path, silent)
    with pytest.raises(RunFolderError, match=r"other settings \(budget\)"):
        replace(attack, epochs=2).fit(tiny_victim(), AUXILIARY[:40], tmp_path, silent)
    z = torch.zeros(1, 16, 8, 8)
    with pytest.raises(RunFolderError, match="fitted on another victim"):
        attack.reconstruct(tiny_victim().averaging(4), z, tmp_path, silent)
    with pytest.raises(RunFolderError, match=r"other settings \(budget\)"):
        replace(attack, epochs=2).reconstruct(tiny_victim(), z, tmp_path, silent)


def test_reconstructing_before_fitting_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no fitted residual attack; call fit first"):
        SMALL_RESIDUAL.reconstruct(tiny_victim(), torch.zeros(1, 16, 8, 8), tmp_path, silent)
    assert not (tmp_path / "residual").exists()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (AUXILIARY[:19], "needs 20 auxiliary pictures or more"),
        (AUXILIARY[:, :16], "takes 32x32 pictures, the auxiliary ones are 16x32"),
        (AUXILIARY.float(), "must be uint8"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(images: Tensor, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        SMALL_RESIDUAL.fit(tiny_victim(), images, tmp_path, silent)


@pytest.mark.parametrize("feature", [(4, 12, 12), (4, 8, 16), (4, 64, 64), (4, 5, 5)])
def test_sides_that_do_not_double_into_the_picture_are_refused(feature: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="power of two"):
        SMALL_RESIDUAL.build(victim_of_shape(feature, 32), torch.zeros(4), torch.ones(4))


def test_running_out_of_memory_says_which_field_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("siftfunnel.lab.attacks.inverter_training.fit", exhausted)
    with pytest.raises(MemoryError, match="10 pictures at a time; lower the attack's `batch`"):
        SMALL_RESIDUAL.fit(tiny_victim(), AUXILIARY, tmp_path, silent)


def test_a_victim_that_sends_no_numbers_stops_the_training(tmp_path: Path) -> None:
    victim = tiny_victim(lambda z: z * float("nan"))
    with pytest.raises(TrainingDivergedError):
        SMALL_RESIDUAL.fit(victim, AUXILIARY, tmp_path, silent)


def test_features_computed_batch_by_batch_are_those_of_the_cache() -> None:
    victim = tiny_victim()
    cached = FeatureBank(victim, AUXILIARY[:30], mirror=True, limit_bytes=1e9)
    fresh = FeatureBank(victim, AUXILIARY[:30], mirror=True, limit_bytes=1e3)
    assert (cached.cached, fresh.cached) == (True, False)
    part, mirrored = torch.tensor([4, 7, 1]), torch.tensor([True, False, True])
    for left, right in zip(cached.batch(part, mirrored), fresh.batch(part, mirrored), strict=True):
        torch.testing.assert_close(left, right)
    x = cached.batch(part, mirrored)[1]
    torch.testing.assert_close(x[0], to_floats(AUXILIARY[4:5])[0].flip(2))
    torch.testing.assert_close(x[1], to_floats(AUXILIARY[7:8])[0])


def test_the_edge_runs_once_per_picture_and_mirror_image_whatever_the_epochs(tmp_path: Path) -> None:
    seen: list[int] = []
    victim = tiny_victim()

    def counting(x_NCHW: Tensor) -> Tensor:
        seen.append(len(x_NCHW))
        z: Tensor = victim.edge(x_NCHW)
        return z

    SMALL_RESIDUAL.fit(replace(victim, edge=counting), AUXILIARY[:40], tmp_path, silent)
    probes = [8]
    assert sum(seen) - sum(probes) == 2 * 36 + 4


def test_noise_is_drawn_afresh_for_every_batch_and_averaged_over_frames() -> None:
    part = torch.arange(20)

    def spread(victim: Victim) -> float:
        bank = FeatureBank(victim, AUXILIARY[:20], mirror=False, limit_bytes=1e9)
        return float((bank.batch(part)[0] - bank.batch(part)[0]).std())

    single = spread(tiny_victim(noisy))
    assert single == pytest.approx(0.1 * 2**0.5, rel=0.05)
    assert spread(tiny_victim(noisy).averaging(16)) == pytest.approx(single / 4, rel=0.05)


def test_the_losses_of_a_known_pair() -> None:
    x, guess = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.1)
    assert float(picture_loss("mse", guess, x)[0]) == pytest.approx(0.01)
    assert float(picture_loss("log-mse", guess, x)[0]) == pytest.approx(-4.6051, abs=1e-4)
    assert float(picture_loss("l1", guess, x)[0]) == pytest.approx(0.1)
    assert picture_loss("l1", guess, x)[1] == pytest.approx(0.01)


def test_a_budget_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="epochs and batch"):
        Residual(epochs=0)
    with pytest.raises(ValueError, match="held back"):
        Residual(held_back_share=1.0)


def test_the_picture_side_may_be_the_feature_side_or_eight_times_it() -> None:
    for feature in ((5, 32, 32), (5, 16, 16), (5, 4, 4)):
        victim = victim_of_shape(feature, 32)
        for attack in ATTACKS.values():
            model: nn.Module = attack.build(victim, torch.zeros(5), torch.ones(5))
            assert model(torch.zeros(2, *feature)).shape == (2, 3, 32, 32)


def test_the_larger_inverter_has_several_times_the_parameters_of_the_residual_one() -> None:
    victim = victim_of_shape((64, 8, 8), 32)
    residual, unet = (
        count_parameters(attack.build(victim, torch.zeros(64), torch.ones(64)))
        for attack in (Residual(), UNet())
    )
    assert (residual, unet) == (443_635, 2_418_555)


def test_every_trained_attack_is_in_the_registry() -> None:
    for name in ("generative-black-box", "generative-gray-box", "residual", "unet", "fora"):
        attack = make_attack(name, epochs=2)
        assert (attack.name, attack.kind, attack.budget()["epochs"]) == (name, "inverter", 2)

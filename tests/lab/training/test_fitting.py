import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from siftfunnel.lab.training.checkpoints import BEST, LAST, RUN, RunFolder, RunFolderError
from siftfunnel.lab.training.fitting import FitSettings, Task, TrainingDivergedError, fit, one_cycle

SETTINGS = FitSettings(epochs=4, learning_rate=1e-2, seed=3)


class LineTask(Task):
    """Fits y = 2x with noise in the order of the pictures, dropout included, so that any lost state shows."""

    def __init__(self, spoil_in_epoch: int | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Linear(8, 1))
        self.batch_size = 8
        self.epoch = 0
        self.spoil_in_epoch = spoil_in_epoch

    @property
    def samples_per_epoch(self) -> int:
        return 32

    def batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        self.epoch += 1
        yield from torch.randn(32, 1, generator=generator).split(8)

    def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        loss = (self.model(batch) - 2 * batch).square().mean()
        if self.epoch == self.spoil_in_epoch:
            loss = loss * math.nan
        return loss, {"loss": float(loss.detach())}

    def validate(self) -> dict[str, float]:
        x = torch.linspace(-1, 1, 9)[:, None]
        return {"score": -float((self.model(x) - 2 * x).square().mean())}


def weights(folder: Path, name: str = LAST) -> dict[str, Tensor]:
    return load_file(folder / name)


def test_the_schedule_climbs_then_falls_to_zero() -> None:
    rates = [one_cycle(step, 100, 2.0, 0.2) for step in range(101)]
    assert rates[0] == pytest.approx(0.08)
    assert rates[20] == 2.0
    assert rates[60] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_a_run_that_stops_and_resumes_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    fit(LineTask(), SETTINGS, RunFolder(tmp_path / "whole", {"name": "a"}))

    class Stopped(LineTask):
        def validate(self) -> dict[str, float]:
            if self.epoch == 3:
                raise KeyboardInterrupt
            return super().validate()

    with pytest.raises(KeyboardInterrupt):
        fit(Stopped(), SETTINGS, RunFolder(tmp_path / "parts", {"name": "a"}))
    assert json.loads((tmp_path / "parts" / RUN).read_text())["epochs_done"] == 2
    progress = fit(LineTask(), SETTINGS, RunFolder(tmp_path / "parts", {"name": "a"}))

    assert progress.epochs_done == 4
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name], atol=0, rtol=0)


@pytest.mark.parametrize("at", [(1, 1), (1, 3), (2, 4), (3, 2)])
def test_ctrl_c_within_an_epoch_keeps_its_steps_and_changes_nothing(
    at: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(LineTask(), SETTINGS, RunFolder(tmp_path / "whole", {"name": "a"}))
    capsys.readouterr()

    class Stopped(LineTask):
        steps = 0

        def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
            self.steps += 1
            if (self.epoch, self.steps - 4 * (self.epoch - 1)) == at:
                signal.raise_signal(signal.SIGINT)
            return super().loss(batch)

    with pytest.raises(KeyboardInterrupt):
        fit(Stopped(), SETTINGS, RunFolder(tmp_path / "parts", {"name": "a"}))
    stored = json.loads((tmp_path / "parts" / RUN).read_text())
    assert 4 * stored["epochs_done"] + stored["steps_done"] == 4 * (at[0] - 1) + at[1]
    assert str(tmp_path / "parts") in capsys.readouterr().err
    progress = fit(LineTask(), SETTINGS, RunFolder(tmp_path / "parts", {"name": "a"}))

    assert (progress.epochs_done, progress.steps_done, progress.sums) == (4, 0, {})
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name], atol=0, rtol=0)
    losses = [
        [epoch["loss"] for epoch in json.loads((tmp_path / folder / RUN).read_text())["history"]]
        for folder in ("whole", "parts")
    ]
    assert losses[0] == pytest.approx(losses[1])


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    fit(LineTask(), SETTINGS, RunFolder(tmp_path, {}))
    before = (tmp_path / LAST).read_bytes()
    assert fit(LineTask(), SETTINGS, RunFolder(tmp_path, {})).epochs_done == 4
    assert (tmp_path / LAST).read_bytes() == before


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingDivergedError, match="epoch 3, step 1"):
        fit(LineTask(spoil_in_epoch=3), SETTINGS, RunFolder(tmp_path, {}))
    assert json.loads((tmp_path / RUN).read_text())["epochs_done"] == 2
    assert all(torch.isfinite(value).all() for value in weights(tmp_path).values())


def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path) -> None:
    class Declining(LineTask):
        def validate(self) -> dict[str, float]:
            return {"score": {1: 0.5, 2: 0.9, 3: 0.7, 4: 0.9}[self.epoch]}

    progress = fit(Declining(), SETTINGS, RunFolder(tmp_path, {}))
    assert (progress.best_epoch, progress.best_score) == (2, 0.9)
    last = {k.removeprefix("model."): v for k, v in weights(tmp_path).items() if k.startswith("model.")}
    best = weights(tmp_path, BEST)
    assert any(not torch.equal(best[name], last[name]) for name in best)


def test_the_log_tells_speed_and_what_the_task_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = fit(LineTask(), SETTINGS, RunFolder(tmp_path, {}))
    assert len(progress.history) == 4
    assert progress.history[0].keys() >= {"epoch", "images_per_s", "loss", "score"}
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("epoch 1/4")
    assert "images/s" in lines[0]
    assert "min left" in lines[0]


def test_a_folder_with_another_recipe_is_refused(tmp_path: Path) -> None:
    fit(LineTask(), SETTINGS, RunFolder(tmp_path, {"recipe": "a", "seed": 1}))
    with pytest.raises(RunFolderError, match=r"other settings \(recipe\)"):
        RunFolder(tmp_path, {"recipe": "b", "seed": 1})


def test_an_empty_folder_has_no_best_weights(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no finished epoch"):
        RunFolder(tmp_path, {}).load_best(nn.Linear(1, 1))


def test_nothing_in_a_run_folder_is_pickled(tmp_path: Path) -> None:
    fit(LineTask(), SETTINGS, RunFolder(tmp_path, {}))
    assert {path.name for path in tmp_path.iterdir()} == {LAST, BEST, RUN}

"""Going on from a linear funnel: what begins as nothing, what is folded, and that it stops and goes on."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from siftfunnel.lab.split.distillation import FunnelTask, thumbnails, train_funnel
from siftfunnel.lab.split.features import Ends, Seen
from siftfunnel.lab.split.fit_steps import Fitting
from siftfunnel.lab.split.funnel import Funnel, fit_funnel
from siftfunnel.lab.split.points import Point, find_points
from siftfunnel.lab.split.settings import TrainSettings, byte_targets
from siftfunnel.lab.training.checkpoints import RunFolderError
from tests.lab.split import cutnets
from tests.lab.split.cutnets import quiet

PICTURES = 400
SETTINGS = TrainSettings(steps=60, steps_per_check=20, batch_size=32, learning_rate=2e-4)


@lru_cache
def linear() -> tuple[Ends, Funnel, tuple[Point, ...], Seen, Seen]:
    ends, fitted = cutnets.seen(cutnets.classifier(), PICTURES)
    held_out = cutnets.seen(cutnets.classifier(), 60, seed=1)[1]
    with pytest.MonkeyPatch.context() as patch:
        # so that these pictures are many
        patch.setattr("siftfunnel.lab.split.funnel.possible_sides", lambda maps: (2,))
        funnel = fit_funnel(Fitting(ends, fitted, held_out, quiet), 40)
    funnel, points = find_points(Fitting(ends, fitted, held_out, quiet), funnel, byte_targets("50,30"))
    return ends, funnel, points, fitted, held_out


def task(settings: TrainSettings = SETTINGS) -> FunnelTask:
    return FunnelTask(*linear(), thumbnails(cutnets.pictures(PICTURES)), settings)


def test_before_a_step_the_trained_funnel_is_the_linear_one() -> None:
    made = task()
    for a, b in zip(made.funnel().parts, made._funnel.parts, strict=True):
        torch.testing.assert_close(a.encode_KI, b.encode_KI)
        torch.testing.assert_close(a.decode_IK, b.decode_IK)


def test_the_folded_funnel_sends_and_gives_what_was_trained() -> None:
    made = task()
    (mixing,) = made._typed()
    with torch.no_grad():
        mixing.a_KK.normal_(std=0.05)
        mixing.b_KK.normal_(std=0.05)
        mixing.second.weight.normal_(std=0.05)
        rows = made._rows[0][:5]
        expected = mixing.tensor(mixing.sent(rows)).numpy()
    funnel = made.funnel()
    z = funnel.encode([values[:5] for values in made._fitted.tensors])
    np.testing.assert_allclose(funnel.decode(z)[0], expected, atol=1e-3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[FunnelTask, float]:
    """A training from its beginning to its end, and its best score."""
    made = task()
    return made, train_funnel(made, tmp_path_factory.mktemp("whole"), SETTINGS, {}).best_score


def test_training_diverges_less_at_equal_bytes_on_held_out_pictures(whole: tuple[FunnelTask, float]) -> None:
    made, best = whole
    assert best > task().validate()["score"]
    assert made.validate()["score"] == pytest.approx(best, abs=1e-4)


def test_a_training_goes_on_where_it_stopped_and_other_settings_are_refused(
    whole: tuple[FunnelTask, float], tmp_path: Path
) -> None:
    made = task()
    original, left = made.loss, [25]

    def stop_within(batch: torch.Tensor) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return original(batch)

    made.loss = stop_within  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        train_funnel(made, tmp_path / "run", SETTINGS, {})
    again = train_funnel(task(), tmp_path / "run", SETTINGS, {})
    assert again.best_score == pytest.approx(whole[1], abs=1e-4)
    with pytest.raises(RunFolderError, match="other settings"):
        train_funnel(task(), tmp_path / "run", replace(SETTINGS, learning_rate=2e-3), {})


@pytest.mark.parametrize(
    "term", ["distance_correlation", "channel_correlation", "adversary", "feature_weight"]
)
def test_every_term_reaches_the_funnel(term: str) -> None:
    settings = replace(SETTINGS, **{term: 1.0})  # a term's weight
    made = task(settings)
    made._prices = [0.0, 0.0]
    made._diverging = lambda given, batch: torch.zeros(())  # type: ignore[method-assign]
    loss, _ = made.loss(torch.arange(16))
    loss.backward()
    (mixing,) = made._typed()
    gradient = mixing.a_KK.grad if term != "feature_weight" else None
    assert term == "feature_weight" or (gradient is not None and float(gradient.abs().max()) > 0)


def test_the_adversary_learns_what_the_funnel_unlearns() -> None:
    made = task(replace(SETTINGS, adversary=1.0))
    made._prices = [0.0, 0.0]
    made._diverging = lambda given, batch: torch.zeros(())  # type: ignore[method-assign]
    torch.manual_seed(0)
    loss, _ = made.loss(torch.arange(32))
    loss.backward()
    (mixing,) = made._typed()
    assert mixing.a_KK.grad is not None
    with torch.no_grad():
        mixing.a_KK.sub_(1e-2 * mixing.a_KK.grad)
    torch.manual_seed(0)
    assert float(made.loss(torch.arange(32))[0].detach()) > float(loss.detach())

"""The optimisation attacks: what they reach, what they keep, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from siftfunnel.lab.attacks.attack import Attack
from siftfunnel.lab.attacks.basis import Coordinates, measure_pictures
from siftfunnel.lab.attacks.chunks import AttackDivergedError
from siftfunnel.lab.attacks.deep_image_prior import DeepImagePrior
from siftfunnel.lab.attacks.descent import descend, total_variation
from siftfunnel.lab.attacks.refined import RefinedRMLE
from siftfunnel.lab.attacks.registry import ATTACKS
from siftfunnel.lab.attacks.residual import Residual
from siftfunnel.lab.attacks.rmle import RMLE
from siftfunnel.lab.attacks.rmle_authors import RMLEAuthors, squared_variation
from siftfunnel.lab.attacks.tuning import MOST_WIDENINGS, psnr_N
from siftfunnel.lab.attacks.victim import Victim, to_floats
from siftfunnel.lab.evaluation.flags import flags_of
from siftfunnel.lab.training.checkpoints import RunFolderError
from tests.lab.attacks.faces import drawn_faces, untrained_victim
from tests.lab.attacks.tiny import shapes, tiny_victim

TARGETS = 2
ONE = {
    "learning_rates": (0.5,),
    "tv_weights": (0.1,),
    "prior_weights": (0.1,),
    "spaces": ("whitened",),
    "tuning_pictures": 1,
}
QUICK: list[Attack] = [
    RMLE(iterations=60, restarts=2, **ONE),
    RefinedRMLE(
        iterations=100,
        anchor_weights=(0.0, 1.0),
        start=Residual(epochs=4, batch=16, widths=(16, 16, 8), blocks=(1, 0, 0)),
        **ONE,
    ),
    DeepImagePrior(iterations=100, channels=4, learning_rate=0.05, tv_weights=(0.5,), tuning_pictures=1),
]


def quiet(_: str) -> None:
    """Takes no notice."""


def features_of(victim: Victim, images_NHWC: Tensor) -> Tensor:
    with torch.no_grad():
        return victim.observe(to_floats(images_NHWC))


@pytest.fixture(scope="module")
def auxiliary() -> Tensor:
    return shapes(60, seed=1)


@pytest.fixture(scope="module")
def target() -> Tensor:
    return shapes(TARGETS, seed=2)


@pytest.mark.parametrize("attack", QUICK, ids=lambda attack: attack.name)
def test_each_attack_beats_the_mean_picture_and_stays_in_the_box(
    attack: Attack, auxiliary: Tensor, target: Tensor, tmp_path: Path
) -> None:
    victim = tiny_victim()
    attack.fit(victim, auxiliary, tmp_path, quiet)
    made = attack.reconstruct(victim, features_of(victim, target), tmp_path, quiet)
    truth = to_floats(target)
    of_mean = psnr_N(to_floats(auxiliary).mean(0).expand_as(truth), truth)
    assert made.x_NCHW.shape == truth.shape
    assert float(made.x_NCHW.min()) >= 0
    assert float(made.x_NCHW.max()) <= 1
    assert float(psnr_N(made.x_NCHW, truth).mean()) > float(of_mean.mean()) + 1.5
    assert made.details["relative_feature_loss_mean"] < 0.4
    assert len(made.details["relative_feature_loss_per_image"]) == TARGETS
    assert made.details["curve"][-1] < made.details["curve"][0]


def test_the_released_attack_reduces_its_loss_and_still_loses_to_a_grey_picture(
    target: Tensor, tmp_path: Path
) -> None:
    victim = tiny_victim()
    made = RMLEAuthors(iterations=100).reconstruct(victim, features_of(victim, target), tmp_path, quiet)
    truth = to_floats(target)
    assert made.details["curve"][-1] < made.details["curve"][0]
    assert float(psnr_N(made.x_NCHW, truth).mean()) < float(psnr_N(torch.full_like(truth, 0.5), truth).mean())
    assert RMLEAuthors.as_the_paper


def test_the_released_total_variation_averages_squares_per_direction() -> None:
    x = torch.zeros(2, 1, 2, 3)
    x[0, 0, 1] = 2.0  # three vertical steps of height 2 in six, none sideways
    assert squared_variation(x).item() == pytest.approx(2.0)
    assert total_variation(x).tolist() == pytest.approx([2.0, 0.0], abs=2e-3)


@pytest.mark.parametrize(
    "attack", [made() for made in ATTACKS.values() if made.access == "white-box"], ids=lambda a: a.name
)
def test_a_victim_without_gradients_is_refused(attack: Attack, auxiliary: Tensor, tmp_path: Path) -> None:
    victim = replace(tiny_victim(), white_box=False)
    if not isinstance(attack, RMLEAuthors):
        with pytest.raises(ValueError, match="can only be queried"):
            attack.fit(victim, auxiliary, tmp_path, quiet)
    with pytest.raises(ValueError, match="can only be queried"):
        attack.reconstruct(victim, torch.zeros(1, 16, 8, 8), tmp_path, quiet)


def test_the_best_iterate_is_never_worse_than_the_last() -> None:
    victim = tiny_victim()
    basis = measure_pictures(shapes(40, seed=1), victim.device)
    z = features_of(victim, shapes(4, seed=3))

    def objective(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        apart = (victim.features(x_NCHW) - z).square().mean((1, 2, 3))
        return apart, apart

    rates = torch.tensor([0.05, 0.5, 5.0, 50.0])  # the last two overshoot
    start = basis.mean_CHW.expand(4, -1, -1, -1)
    mixed = Coordinates(basis, torch.tensor([True, False, True, False]))
    made = descend(objective, start, mixed, iterations=15, learning_rate_N=rates, where="here")
    assert bool((made.objective_N <= made.last_objective_N).all())
    with torch.no_grad():
        again = objective(made.x_NCHW)[1]
    assert torch.allclose(again, made.distance_N, rtol=1e-3)


def test_pictures_of_a_batch_do_not_influence_each_other() -> None:
    basis = measure_pictures(shapes(40, seed=1), torch.device("cpu"))
    truth = to_floats(shapes(3, seed=2))

    def descent(some: slice) -> Tensor:
        start = basis.mean_CHW.expand(len(truth[some]), -1, -1, -1)
        whitened_N = torch.tensor([True, True, False])[some]

        def objective(x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
            apart = (x_NCHW - truth[some]).square().mean((1, 2, 3))
            return apart, apart

        rates = torch.tensor([0.1, 0.5, 0.2])[some]
        coordinates = Coordinates(basis, whitened_N)
        return descend(
            objective, start, coordinates, iterations=20, learning_rate_N=rates, where="here"
        ).x_NCHW

    together, alone = descent(slice(0, 3)), [descent(slice(i, i + 1)) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_a_step_size_that_helps_is_chosen_on_auxiliary_pictures(auxiliary: Tensor, tmp_path: Path) -> None:
    attack = RMLE(
        iterations=20,
        learning_rates=(1e-4, 0.2),
        tv_weights=(0.0,),
        prior_weights=(0.1,),
        spaces=("whitened",),
    )
    learned = attack.fit(tiny_victim(), auxiliary, tmp_path, quiet)
    assert learned["learning_rate"] == pytest.approx(0.2)
    assert learned["scores"][1]["psnr_db"] > learned["scores"][0]["psnr_db"]


def few_rates(*rates: float) -> RMLE:
    return RMLE(
        iterations=20, learning_rates=rates, tv_weights=(0.0,), prior_weights=(0.1,), spaces=("whitened",)
    )


def test_a_choice_at_the_end_of_its_grid_is_widened_until_it_lies_inside(
    auxiliary: Tensor, tmp_path: Path
) -> None:
    learned = few_rates(0.01, 0.05).fit(tiny_victim(), auxiliary, tmp_path, quiet)
    tried = sorted(one["learning_rate"] for one in learned["scores"])
    assert tried[0] < learned["learning_rate"] < tried[-1]
    assert learned["learning_rate"] > 0.05
    assert learned["twice_as_long_db"] is not None
    kinds = {flag["kind"] for flag in flags_of({"attacks": {"rmle": {"fit": learned}}})}
    assert "edge-of-grid" not in kinds


def test_a_choice_that_still_lies_at_an_end_after_all_widening_is_flagged(
    auxiliary: Tensor, tmp_path: Path
) -> None:
    learned = few_rates(1e-5, 2e-5).fit(tiny_victim(), auxiliary, tmp_path, quiet)
    assert len(learned["scores"]) == 2 + MOST_WIDENINGS
    (flag,) = [f for f in flags_of({"attacks": {"rmle": {"fit": learned}}}) if f["kind"] == "edge-of-grid"]
    assert flag["text"] == "the best setting is the last tried of learning_rate"


def test_an_attack_that_was_not_fitted_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="call fit first"):
        RMLE().reconstruct(tiny_victim(), torch.zeros(1, 16, 8, 8), tmp_path, quiet)


def test_a_fit_of_another_victim_is_refused(auxiliary: Tensor, tmp_path: Path) -> None:
    attack = RMLE(iterations=2, **ONE)
    attack.fit(tiny_victim(), auxiliary, tmp_path, quiet)
    with pytest.raises(RunFolderError, match=r"other settings \(victim\)"):
        attack.fit(tiny_victim(seed=5), auxiliary, tmp_path, quiet)


def test_a_loss_that_is_no_number_stops_the_attack_and_says_where(
    auxiliary: Tensor, target: Tensor, tmp_path: Path
) -> None:
    victim = tiny_victim()
    z = features_of(victim, target)
    attack = RMLE(iterations=10, **ONE)
    attack.fit(victim, auxiliary, tmp_path, quiet)
    calls = 0

    def breaks(x_NCHW: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        made: Tensor = victim.edge(x_NCHW)
        return made * (float("nan") if calls > 5 else 1.0)

    with pytest.raises(AttackDivergedError, match="2 of 2 pictures in chunk 0, start 0, iteration 5"):
        attack.reconstruct(replace(victim, edge=breaks), z, tmp_path, quiet)


@pytest.mark.parametrize("settings", [{"iterations": 0}, {"learning_rates": ()}, {"tv_weights": ()}])
def test_a_budget_of_nothing_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="rmle: "):
        RMLE(**settings)


class GaussianStage(torch.nn.Module):
    """Adds noise from a generator of its own."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """Feature plus noise."""
        return z_NCHW + self.deviation * torch.randn(z_NCHW.shape, generator=self.generator)


def test_sixteen_averaged_frames_give_a_better_picture_than_one(
    auxiliary: Tensor, target: Tensor, tmp_path: Path
) -> None:
    scores = []
    for frames in (1, 16):
        victim = tiny_victim(stage=GaussianStage(0.3)).averaging(frames)
        attack = RMLE(
            iterations=40,
            restarts=1,
            learning_rates=(0.5,),
            tv_weights=(0.1,),
            prior_weights=(0.1, 2.0),
            spaces=("whitened",),
            tuning_pictures=2,
        )
        folder = tmp_path / str(frames)
        attack.fit(victim, auxiliary, folder, quiet)
        made = attack.reconstruct(victim, features_of(victim, target), folder, quiet)
        scores.append(float(psnr_N(made.x_NCHW, to_floats(target)).mean()))
    assert scores[1] > scores[0] + 1


def test_rmle_done_right_reaches_18_db_on_an_untrained_edge_of_width_32(tmp_path: Path) -> None:
    faces = drawn_faces()
    assert _score_on_untrained(32, faces[:60], RMLE(iterations=80, restarts=1, **ONE), tmp_path) > 18


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_rmle_done_right_reaches_35_db_on_an_untrained_edge_of_width_128(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = RMLE(
        iterations=800,
        restarts=1,
        learning_rates=(0.8,),
        tv_weights=(0.02,),
        prior_weights=(0.02,),
        spaces=("whitened",),
    )
    # its settings are good ones: looking for better ones takes four minutes
    monkeypatch.setattr("siftfunnel.lab.attacks.tuning.MOST_WIDENINGS", 0)
    assert _score_on_untrained(128, drawn_faces()[:120], attack, tmp_path) > 35


def _score_on_untrained(width: int, faces: Tensor, attack: RMLE, folder: Path) -> float:
    """Mean PSNR on two pictures."""
    victim = untrained_victim(width)
    target = faces[:2]
    attack.fit(victim, faces[2:], folder, quiet)
    made = attack.reconstruct(victim, features_of(victim, target), folder, quiet)
    return float(psnr_N(made.x_NCHW, to_floats(target)).mean())

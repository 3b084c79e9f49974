import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from siftfunnel.lab.defences.infoscissors import (
    InfoScissors,
    LabelClassifier,
    PatchGaussian,
    categorical_club,
    gaussian_club,
    gaussian_surprise,
)
from tests.lab.defences.steps import batch, loss_of, tiny


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(2)


def test_the_gaussian_bound_agrees_with_a_loop_over_all_pairs() -> None:
    mean, log_variance, z = torch.randn(3, 5, 4).unbind()
    pairs = torch.empty(5, 5)
    for i in range(5):
        for j in range(5):
            pairs[i, j] = -0.5 * ((z[j] - mean[i]) ** 2 / log_variance[i].exp() + log_variance[i]).mean()
    wanted = pairs.diagonal().mean() - pairs.mean()
    torch.testing.assert_close(gaussian_club(mean, log_variance, z), wanted)


def test_a_perfect_prediction_scores_the_features_variance() -> None:
    z = torch.tensor([[0.0], [4.0]])
    assert float(gaussian_club(z, torch.zeros(2, 1), z)) == 4.0


def test_a_prediction_that_ignores_the_picture_scores_zero() -> None:
    z, mean = torch.randn(9, 3), torch.randn(1, 3).expand(9, 3)
    assert float(gaussian_club(mean, torch.zeros(9, 3), z)) == pytest.approx(0, abs=1e-6)


def test_the_categorical_bound_agrees_with_a_loop_over_all_pairs() -> None:
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, 2, 1, 0])
    log_q = logits.log_softmax(1)
    pairs = torch.tensor([[float(log_q[i, labels[j]]) for j in range(5)] for i in range(5)])
    wanted = pairs.diagonal().mean() - pairs.mean()
    torch.testing.assert_close(categorical_club(logits, labels), wanted)


def test_the_surprise_is_the_gaussians_without_its_constant() -> None:
    mean, log_variance, z = torch.randn(3, 5, 4).unbind()
    gaussian = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    wanted = -gaussian.log_prob(z).mean() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(gaussian_surprise(mean, log_variance, z), wanted)


def _fitted_bound(make_feature: Callable[[Tensor], Tensor]) -> float:
    """CLUB on fresh pictures after fitting the conditional."""
    companion = PatchGaussian(channels=2, side=4, input_size=8, hidden=32)
    optimizer = torch.optim.Adam(companion.parameters(), lr=1e-2)
    for _ in range(80):
        x_NCHW = torch.randn(32, 3, 8, 8)
        optimizer.zero_grad()
        mean, log_variance = companion(x_NCHW)
        gaussian_surprise(mean, log_variance, make_feature(x_NCHW)).backward()
        optimizer.step()
    x_NCHW = torch.randn(256, 3, 8, 8)
    with torch.no_grad():
        mean, log_variance = companion(x_NCHW)
        return float(gaussian_club(mean, log_variance, make_feature(x_NCHW)))


def _dependent(x_NCHW: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x_NCHW[:, :2], 2) * 2


def test_the_fitted_bound_is_about_zero_for_an_independent_feature_and_large_for_a_dependent_one() -> None:
    assert abs(_fitted_bound(lambda x_NCHW: torch.randn(len(x_NCHW), 2, 4, 4))) < 0.05
    assert _fitted_bound(_dependent) > 0.5


def test_the_label_side_reads_maps_and_vectors() -> None:
    classifier = LabelClassifier(channels=5, num_classes=3, hidden=8)
    h_NCHW = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(classifier(h_NCHW), classifier(h_NCHW.mean((2, 3))))


def _gradients(name: str) -> dict[str, float]:
    """Size of the gradient that one part sends to each part of the network."""
    defence = InfoScissors()
    network = tiny(defence)
    loss_of(defence, network, *batch()).parts[name].backward()
    assert network.companion is not None
    return {
        part: sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)
        for part, module in (("edge", network.edge), ("companion", network.companion))
    }


@pytest.mark.parametrize("name", ["club_picture", "club_label"])
def test_the_bounds_train_the_edge_and_leave_the_companions_alone(name: str) -> None:
    reached = _gradients(name)
    assert reached["edge"] > 0
    assert reached["companion"] == 0


def test_the_companions_likelihood_trains_them_alone() -> None:
    reached = _gradients("companion")
    assert reached["edge"] == 0
    assert reached["companion"] > 0


def test_building_the_companions_leaves_the_networks_statistics_untouched() -> None:
    network = tiny(InfoScissors())
    assert network.training
    assert all(
        float(value.abs().sum()) == 0 for key, value in network.state_dict().items() if "running_mean" in key
    )

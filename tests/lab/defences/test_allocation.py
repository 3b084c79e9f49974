import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from siftfunnel.lab.defences.allocation import (
    allocate,
    allocated_sigmas,
    answer_harm,
    bound,
    channel_information,
    picture_precision,
)


def test_with_one_direction_the_variances_are_those_of_the_closed_form() -> None:
    told, harm = np.array([[9.0], [4.0], [1.0]]), np.array([1.0, 1.0, 4.0])
    wanted = np.sqrt(told[:, 0] / harm)
    found = allocate(told, np.array([0.7]), harm, 2.0)
    np.testing.assert_allclose(found, wanted * 2 / (harm @ wanted), rtol=1e-6)


def test_no_other_allocation_of_the_same_harm_bounds_more() -> None:
    drawn = np.random.default_rng(3)
    told, precision, harm = (
        drawn.exponential(size=(4, 9)) ** 2,
        drawn.uniform(0.2, 2, 9),
        drawn.uniform(1, 5, 4),
    )
    found = allocate(told, precision, harm, 1.5)
    assert harm @ found == pytest.approx(1.5)

    def negative(logits: np.ndarray) -> float:
        spent = np.exp(logits) / np.exp(logits).sum() * 1.5
        return -bound(told, precision, spent / harm)

    best = -minimize(
        negative, np.zeros(4), method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-9}
    ).fun
    assert bound(told, precision, found) == pytest.approx(best, rel=1e-6)


def test_a_channel_that_tells_nothing_costs_no_harm() -> None:
    found = allocate(np.array([[1.0, 2.0], [0.0, 0.0]]), np.ones(2), np.ones(2), 1.0)
    assert found[1] < 1e-4 * found[0]


@pytest.mark.parametrize(("harm", "budget"), [([1.0, 0.0], 1.0), ([1.0, 1.0], 0.0)])
def test_harm_and_budget_must_be_positive(harm: list[float], budget: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        allocate(np.ones((2, 3)), np.ones(3), np.array(harm), budget)


def test_the_information_of_a_linear_edge_is_its_squared_weight() -> None:
    edge = nn.Conv2d(3, 2, kernel_size=1, bias=False)
    told = channel_information(edge, torch.randn(4000, 3, 2, 2)).reshape(2, 3, 4).mean(axis=2)
    np.testing.assert_allclose(told, edge.weight.detach()[:, :, 0, 0].square(), rtol=0.1)


def test_the_precision_is_that_of_independent_pixels() -> None:
    precision = picture_precision(3 * torch.randn(6000, 3, 2, 2))
    np.testing.assert_allclose(precision, 1 / 9, rtol=0.1)


def test_more_noise_goes_where_pictures_are_told_and_answers_are_not() -> None:
    torch.manual_seed(2)
    edge, last = nn.Conv2d(3, 2, kernel_size=1), nn.Linear(8, 4)
    cloud = nn.Sequential(nn.Flatten(), last)
    with torch.no_grad():
        last.weight[:, 4:] *= 0.3
        edge.weight[1] = -edge.weight[0].flip(0)
    x_NCHW = torch.randn(400, 3, 2, 2)
    quiet, loud = allocated_sigmas(edge, cloud, x_NCHW, 0.2).tolist()
    assert loud > 1.5 * quiet
    with torch.no_grad():
        harm_C = answer_harm(cloud, edge(x_NCHW), 0.2)
    assert harm_C @ np.square([quiet, loud]) == pytest.approx(0.04 * harm_C.sum(), rel=0.2)

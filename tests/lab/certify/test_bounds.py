"""Every bound against a case whose truth is known."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from siftfunnel.lab.certify.distortion import channel_nats, distortion_of, payload_nats, upper_limit
from siftfunnel.lab.certify.published import Known, published_figures
from siftfunnel.lab.certify.ruler import ROUNDING, Ruler, fit_ruler
from siftfunnel.lab.certify.van_trees import scalar_van_trees, sketch, van_trees
from siftfunnel.lab.data.images import DataError
from tests.lab.pictures import coloured_set

SIDE, VALUES = 8, 40


@pytest.fixture(scope="module")
def ruler() -> Ruler:
    return fit_ruler(coloured_set(600, SIDE).images_NHWC)


@pytest.fixture(scope="module")
def matrix() -> NDArray[np.float64]:
    """A linear edge half of fewer values than pixels; mirror images are treated alike."""
    some = np.random.default_rng(3).normal(0, 0.2, (VALUES // 2, 3, SIDE, SIDE))
    both = np.concatenate([some + some[..., ::-1], some - some[..., ::-1]])
    return both.reshape(VALUES, -1)


def covariance_of(ruler: Ruler) -> NDArray[np.float64]:
    rows = ruler.pictures_of(torch.eye(3 * SIDE * SIDE)) - ruler.mean_CHW
    basis = rows.flatten(1).double().numpy()
    return np.asarray(basis.T @ basis)


def exact_mse(sigma: NDArray[np.float64], a: NDArray[np.float64], noise: float) -> float:
    """Of the posterior mean, which is the best answer of all for Gaussian pictures and a linear half."""
    posterior = np.linalg.inv(np.linalg.inv(sigma) + a.T @ a / noise**2)
    return float(np.trace(posterior) / len(sigma))


def test_a_rulers_pictures_have_its_mean_and_covariance(ruler: Ruler) -> None:
    drawn = ruler.draw(30_000, seed=1).flatten(1).double().numpy()
    assert np.abs(drawn.mean(0) - ruler.mean_CHW.flatten().numpy()).max() < 0.01
    sigma = covariance_of(ruler)
    assert np.linalg.norm(np.cov(drawn.T) - sigma) / np.linalg.norm(sigma) < 0.05
    assert np.allclose(np.linalg.eigvalsh(sigma), np.sort(ruler.spectrum_d), rtol=1e-2, atol=1e-7)


def test_a_ruler_is_that_of_pictures_and_mirror_images(ruler: Ruler) -> None:
    pictures = coloured_set(600, SIDE).images_NHWC
    both = np.concatenate([pictures, pictures[:, :, ::-1]]).transpose(0, 3, 1, 2).reshape(1200, -1) / 255
    expected = np.cov(both.T, bias=True) + ROUNDING * np.eye(3 * SIDE * SIDE)
    assert np.allclose(covariance_of(ruler), expected, atol=2e-5)
    assert np.allclose(ruler.mean_CHW.flatten().numpy(), both.mean(0), atol=1e-5)


def test_coordinates_and_pictures_are_each_others_inverse(ruler: Ruler) -> None:
    x = ruler.draw(5, seed=2)
    assert torch.allclose(ruler.pictures_of(ruler.coordinates_of(x)), x, atol=1e-4)


def test_above_the_correlated_frequencies_pictures_keep_their_variances() -> None:
    pictures = coloured_set(300, 16).images_NHWC
    coarse = fit_ruler(pictures)
    assert coarse.side == 10
    assert coarse.about()["pictures_for_all_correlations"] == 3 * 16 * 16
    assert coarse.spectrum_d.sum() == pytest.approx((pictures / 255).var(0).sum(), rel=0.05)


def test_a_covariance_from_too_few_pictures_is_refused_with_how_many_are_needed() -> None:
    with pytest.raises(DataError, match=r"191 pictures are too few.* 192 are needed .* 768 for all"):
        fit_ruler(coloured_set(191, 16).images_NHWC)


@pytest.mark.parametrize("nats", [0.0, 0.3, 1.0, 2.5, 9.0])
def test_water_filling_is_the_best_way_to_spend_information(nats: float) -> None:
    spectrum = np.array([3.0, 0.2, 1.0, 0.01])
    logs = np.log(spectrum)

    def spent(free: NDArray[np.float64]) -> float:
        return float((logs - free).sum() / 2)

    best = minimize(
        lambda free: np.exp(free).sum(),
        logs - 2 * nats / len(logs),
        bounds=[(None, top) for top in logs],
        constraints={"type": "ineq", "fun": lambda free: nats - spent(free)},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert best.success
    assert distortion_of(nats, spectrum) == pytest.approx(best.fun / len(logs), rel=1e-5)


@pytest.mark.parametrize("noise", [0.05, 0.3, 2.0])
def test_no_bound_lies_above_the_exact_minimum_and_both_come_near(
    ruler: Ruler, matrix: NDArray[np.float64], noise: float
) -> None:
    exact = exact_mse(covariance_of(ruler), matrix, noise)
    features = torch.from_numpy(matrix).float()

    def edge(x_NCHW: Tensor) -> Tensor:
        return x_NCHW.flatten(1) @ features.T

    with torch.no_grad():
        clean = edge(ruler.draw(4_000, seed=5)).double().numpy() / noise
    nats = upper_limit(channel_nats(clean[:2_000], clean[2_000:]), 0.975)
    rate_bound = distortion_of(nats, ruler.spectrum_d)
    generator = torch.Generator().manual_seed(1)
    fitted, scored = (
        sketch(edge, torch.full((VALUES,), noise), ruler, ruler.draw(200, seed), 20, generator)
        for seed in (6, 7)
    )
    trees = van_trees(fitted, scored, ruler, confidence=0.975)
    assert rate_bound <= exact
    assert 0.9 * exact <= trees <= exact
    assert trees >= scalar_van_trees(scored.squares_N, ruler)


def test_van_trees_is_exact_where_one_knows_the_best_matrix(
    ruler: Ruler, matrix: NDArray[np.float64]
) -> None:
    """With as many probes as values the sketch is the whole of J' J, so nothing is left to estimate."""
    features = torch.from_numpy(matrix).float()
    every = torch.eye(VALUES) * VALUES**0.5
    passes = ruler.frequencies((every @ features).view(1 * VALUES, 3, SIDE, SIDE)).view(1, VALUES, -1)
    from siftfunnel.lab.certify import van_trees as module

    whole = module.Sketch(
        tuple(passes[:, :, places].numpy().repeat(8, axis=0) for places in module._places(ruler)),
        np.full(8, float(np.square(matrix).sum())),
    )
    sigma, exact = covariance_of(ruler), exact_mse(covariance_of(ruler), matrix, 1.0)
    found = module._bound(module._matrices(whole, ruler, 1, 0.0), whole, ruler, 1, None)
    assert found <= exact * (1 + 1e-6)
    assert found >= 0.97 * exact, (found, exact, np.trace(sigma))


def test_sixteen_frames_leave_less_than_one(ruler: Ruler, matrix: NDArray[np.float64]) -> None:
    features = torch.from_numpy(matrix).float()
    generator = torch.Generator().manual_seed(1)
    fitted, scored = (
        sketch(
            lambda x: x.flatten(1) @ features.T, torch.ones(VALUES), ruler, ruler.draw(60, s), 8, generator
        )
        for s in (1, 2)
    )
    one, sixteen = (van_trees(fitted, scored, ruler, frames=frames) for frames in (1, 16))
    assert sixteen < one
    assert sixteen <= exact_mse(covariance_of(ruler), matrix, 0.25)


def test_bits_of_a_payload_and_of_its_length_are_all_counted() -> None:
    nats = payload_nats([10] * 50 + [12] * 50, [10, 12, 30], (4, 40))
    assert nats[0] == pytest.approx(80 * np.log(2) - np.log(0.95 / 2 + 0.05 / 37))
    assert nats[2] == pytest.approx(240 * np.log(2) - np.log(0.05 / 37))


def test_a_limit_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    above = [upper_limit(rng.exponential(1, 40), 0.95) >= 1 for _ in range(2_000)]
    # skewed values cost a little of the confidence
    assert 0.90 <= np.mean(above) <= 0.97
    with pytest.raises(ValueError, match="two pictures or more"):
        upper_limit(np.array([1.0]), 0.95)


def test_published_guarantees_say_what_they_are_worth(ruler: Ruler) -> None:
    told = {each["name"]: each for each in published_figures(Known(ruler, 200.0, np.inf, 12.0))}
    assert told["scalar"]["mse"] == 0
    assert told["scalar"]["is"] == told["cem"]["is"] == "vacuous"
    assert told["cem"]["mse"] < told["cem"]["mse_if_nothing_were_sent"] < ruler.spectrum_d.mean()
    assert told["fsinfo"]["is"] == "undefined"
    assert told["fsinfo"]["rank_at_most"] == 12
    assert told["dfil"]["is"] == "no bound"

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from siftfunnel.lab.defences.losses import (
    LossWeights,
    channel_correlation,
    distance_correlation_squared,
    distance_correlation_unbiased,
    l1_magnitude,
    label_divergence,
    pairwise_distances,
    siftfunnel_loss,
    smoothed_labels,
)


def literal_distances(x: Tensor) -> Tensor:
    return (x[:, None] - x[None]).square().sum(-1).sqrt()


def literal_dcor_squared(x: Tensor, z: Tensor) -> float:
    """Eq. 12 with loops: double centring, V-statistic, no final root."""
    n = len(x)

    def centred(a: Tensor) -> list[list[float]]:
        rows = [float(a[i].mean()) for i in range(n)]
        columns = [float(a[:, j].mean()) for j in range(n)]
        grand = float(a.mean())
        return [[float(a[i, j]) - rows[i] - columns[j] + grand for j in range(n)] for i in range(n)]

    a, b = centred(literal_distances(x)), centred(literal_distances(z))

    def mean_product(p: list[list[float]], q: list[list[float]]) -> float:
        return sum(p[i][j] * q[i][j] for i in range(n) for j in range(n)) / n**2

    return mean_product(a, b) / math.sqrt(mean_product(a, a) * mean_product(b, b))


def literal_dcor_unbiased(x: Tensor, z: Tensor) -> float:
    """Szekely and Rizzo's bias-corrected statistic with loops."""
    n = len(x)

    def u_centred(a: Tensor) -> Tensor:
        out = torch.zeros(n, n, dtype=torch.float64)
        for i in range(n):
            for j in range(n):
                if i != j:
                    out[i, j] = (
                        a[i, j]
                        - a[i].sum() / (n - 2)
                        - a[:, j].sum() / (n - 2)
                        + a.sum() / ((n - 1) * (n - 2))
                    )
        return out

    a, b = u_centred(literal_distances(x)), u_centred(literal_distances(z))
    return float((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt())


def brute_force_dcor_squared(x: NDArray[np.float64], z: NDArray[np.float64]) -> float:
    """Eq. 12 read word by word in NumPy: every difference of every pair in every dimension, one by one."""
    n = len(x)

    def centred(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        a = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                for k in range(rows.shape[1]):
                    a[i, j] += (rows[i, k] - rows[j, k]) ** 2
                a[i, j] = math.sqrt(a[i, j])
        return np.array(
            [[a[i, j] - a[i].mean() - a[:, j].mean() + a.mean() for j in range(n)] for i in range(n)]
        )

    a, b = centred(x), centred(z)
    covariance, variance_x, variance_z = (float(np.mean(product)) for product in (a * b, a * a, b * b))
    return covariance / math.sqrt(variance_x * variance_z)


def test_distances_of_a_3_4_5_triangle() -> None:
    distances = pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]]))
    expected = torch.tensor([[0.0, 5.0, 3.0], [5.0, 0.0, 4.0], [3.0, 4.0, 0.0]])
    torch.testing.assert_close(distances, expected, atol=1e-4, rtol=0)


def test_the_biased_form_matches_the_formula_written_out() -> None:
    torch.manual_seed(0)
    x, z = torch.randn(9, 5), torch.randn(9, 4).exp()
    assert float(distance_correlation_squared(x, z)) == pytest.approx(literal_dcor_squared(x, z), abs=1e-4)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_the_biased_form_matches_a_brute_force_over_pairs_and_dimensions(scale: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 3, 4, 4))
    z = scale * np.maximum(x[:, :2, ::2, ::2] + 0.5 * rng.normal(size=(12, 2, 2, 2)), 0)
    expected = brute_force_dcor_squared(x.reshape(12, -1), z.reshape(12, -1))
    ours = distance_correlation_squared(torch.from_numpy(x).float(), torch.from_numpy(z).float())
    assert 0.5 < expected < 1
    assert float(ours) == pytest.approx(expected, abs=5e-4)


def test_the_unbiased_form_matches_the_formula_written_out() -> None:
    torch.manual_seed(0)
    x = torch.randn(9, 5)
    z = x[:, :2] + torch.randn(9, 2)
    ours = float(distance_correlation_unbiased(x, z))
    assert ours == pytest.approx(literal_dcor_unbiased(x.double(), z.double()), abs=1e-4)


def test_a_scaled_and_shifted_copy_has_distance_correlation_one() -> None:
    x = torch.tensor([[0.0], [1.0], [4.0], [9.0], [2.0]])
    assert float(distance_correlation_squared(x, 3 * x + 1)) == pytest.approx(1, abs=1e-4)
    assert float(distance_correlation_unbiased(x, 3 * x + 1)) == pytest.approx(1, abs=1e-4)


def test_two_points_always_have_distance_correlation_one() -> None:
    x, z = torch.tensor([[0.0], [1.0]]), torch.tensor([[5.0], [2.0]])
    assert float(distance_correlation_squared(x, z)) == pytest.approx(1, abs=1e-4)


def test_only_the_unbiased_form_sees_that_noise_is_independent() -> None:
    torch.manual_seed(0)
    x, z = torch.randn(64, 3072), torch.randn(64, 768)
    assert float(distance_correlation_squared(x, z)) > 0.95
    assert abs(float(distance_correlation_unbiased(x, z))) < 0.1


def test_features_a_hundredth_of_the_usual_size_score_the_same() -> None:
    torch.manual_seed(0)
    x = torch.randn(32, 48)
    z = x[:, :16].relu()
    large, small = distance_correlation_squared(x, z), distance_correlation_squared(x, z / 100)
    assert float(small) == pytest.approx(float(large), abs=1e-3)


def test_constant_features_score_zero_with_a_finite_gradient() -> None:
    x = torch.randn(6, 4)
    z = torch.ones(6, 3, requires_grad=True)
    score = distance_correlation_squared(x, z)
    score.backward()
    assert abs(float(score.detach())) < 1e-3
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_equal_pictures_leave_gradients_finite() -> None:
    x = torch.randn(3, 4).repeat(2, 1)
    z = torch.randn(3, 5).repeat(2, 1).requires_grad_()
    distance_correlation_squared(x, z).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@settings(max_examples=25)
@given(st.integers(4, 12), st.integers(0, 2**31))
def test_distance_correlation_lies_between_zero_and_one(n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, z = torch.randn(n, 3, generator=generator), torch.randn(n, 2, generator=generator)
    score = float(distance_correlation_squared(x, z))
    assert -1e-5 <= score <= 1 + 1e-5
    assert float(distance_correlation_squared(z, x)) == pytest.approx(score, abs=1e-4)


def test_distance_correlation_needs_as_many_features_as_pictures() -> None:
    with pytest.raises(ValueError, match="same number"):
        distance_correlation_squared(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="4 or more"):
        distance_correlation_unbiased(torch.zeros(3, 2), torch.zeros(3, 2))


def test_uncorrelated_channels_score_one_over_c() -> None:
    z = torch.tensor([[[[1.0, -1.0, 1.0, -1.0]], [[1.0, 1.0, -1.0, -1.0]]]])
    assert float(channel_correlation(z)) == pytest.approx(1 / 2, abs=1e-5)


def test_equal_channels_and_opposite_channels_score_one() -> None:
    plane = torch.tensor([[1.0, 2.0], [4.0, 0.0]])
    assert float(channel_correlation(torch.stack((plane, 3 * plane + 1))[None])) == pytest.approx(1, abs=1e-5)
    assert float(channel_correlation(torch.stack((plane, -plane))[None])) == pytest.approx(1, abs=1e-5)


def test_channel_correlation_is_numpys_corrcoef_squared_and_averaged() -> None:
    torch.manual_seed(0)
    z = torch.randn(3, 5, 4, 4)
    expected = sum(float(torch.corrcoef(picture.flatten(1)).square().mean()) for picture in z) / 3
    assert float(channel_correlation(z)) == pytest.approx(expected, abs=1e-5)


def test_a_dead_channel_counts_as_zero_and_has_a_finite_gradient() -> None:
    z = torch.zeros(1, 2, 2, 2)
    z[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    z.requires_grad_()
    score = channel_correlation(z)
    score.backward()
    assert float(score.detach()) == pytest.approx(1 / 4, abs=1e-5)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_smoothing_moves_mass_evenly_to_the_other_classes() -> None:
    soft = smoothed_labels(torch.tensor([2, 0]), 3, 0.35)
    expected = torch.tensor([[0.175, 0.175, 0.65], [0.65, 0.175, 0.175]])
    torch.testing.assert_close(soft, expected)


def test_label_divergence_is_zero_for_the_smoothed_labels_themselves() -> None:
    labels = torch.tensor([0, 2])
    logits = smoothed_labels(labels, 4, 0.2).log()
    assert float(label_divergence(logits, labels, 0.2)) == pytest.approx(0, abs=1e-6)


def test_label_divergence_without_smoothing_is_cross_entropy() -> None:
    logits, labels = torch.tensor([[0.0, math.log(3)]]), torch.tensor([1])
    assert float(label_divergence(logits, labels, 0.0)) == pytest.approx(-math.log(0.75), abs=1e-6)


def test_magnitude_is_a_mean() -> None:
    assert float(l1_magnitude(torch.tensor([[1.0, -3.0], [0.0, 4.0]]))) == 2


def test_the_total_is_the_weighted_sum_of_the_parts() -> None:
    torch.manual_seed(0)
    x, z, logits = torch.randn(8, 3, 4, 4), torch.rand(8, 5, 2, 2), torch.randn(8, 3)
    labels = torch.arange(8) % 3
    weights = LossWeights(kl=2, distance_correlation=3, channel_correlation=5, l1=7, smoothing=0.1)
    made = siftfunnel_loss(x, z, logits, labels, weights)
    factors = {"kl": 2, "distance_correlation": 3, "channel_correlation": 5, "l1": 7}
    torch.testing.assert_close(made.total, sum(factors[name] * part for name, part in made.parts.items()))
    assert made.parts.keys() == factors.keys()


def test_the_default_weights_are_the_papers() -> None:
    weights = LossWeights()
    assert (weights.kl, weights.smoothing) == (3.5, 0.35)
    assert (weights.distance_correlation, weights.channel_correlation) == (0.8, 0.6)
    assert weights.l1 < 1e-2


@pytest.mark.parametrize("change", [{"kl": -1.0}, {"l1": -0.1}, {"smoothing": 1.0}])
def test_impossible_weights_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"negative|below 1"):
        LossWeights(**change)


def test_a_dead_feature_and_equal_pictures_leave_the_whole_loss_trainable() -> None:
    x = torch.ones(4, 3, 8, 8)
    z = torch.zeros(4, 3, 2, 2, requires_grad=True)
    logits = torch.zeros(4, 2, requires_grad=True)
    siftfunnel_loss(x, z, logits, torch.tensor([0, 1, 0, 1]), LossWeights()).total.backward()
    assert z.grad is not None
    assert logits.grad is not None
    assert torch.isfinite(z.grad).all()
    assert torch.isfinite(logits.grad).all()

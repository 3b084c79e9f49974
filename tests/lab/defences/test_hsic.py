import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from siftfunnel.lab.defences.bido import gaussian_kernel, label_kernel, normalise_kernel, normalised_hsic


def reference(first: NDArray[np.float64], second: NDArray[np.float64], epsilon: float) -> float:
    """The source's form: centred from one side, inverted, summed entry by entry."""
    n = len(first)
    centring = np.eye(n) - np.ones((n, n)) / n
    one, two = (
        kernel @ centring @ np.linalg.inv(kernel @ centring + epsilon * n * np.eye(n))
        for kernel in (first, second)
    )
    return float(sum(one[i, j] * two[j, i] for i in range(n) for j in range(n)))


def reference_gaussian(rows: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    n, d = rows.shape
    kernel = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            kernel[i, j] = np.exp(-np.sum((rows[i] - rows[j]) ** 2) / (2 * sigma**2 * d))
    return kernel


def hsic(x: torch.Tensor, z: torch.Tensor) -> float:
    return float(normalised_hsic(normalise_kernel(gaussian_kernel(x)), normalise_kernel(gaussian_kernel(z))))


@pytest.mark.parametrize("sigma", [0.5, 5.0])
def test_two_gaussian_kernels_agree_with_the_double_loop(sigma: float) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(12, 6)), rng.normal(size=(12, 4))
    z[:, 0] += x[:, 0]
    ours = normalised_hsic(
        *(normalise_kernel(gaussian_kernel(torch.from_numpy(side), sigma)) for side in (x, z))
    )
    wanted = reference(reference_gaussian(x, sigma), reference_gaussian(z, sigma), 1e-5)
    assert float(ours) == pytest.approx(wanted, rel=1e-4)


def test_a_gaussian_kernel_and_labels_agree_with_the_double_loop() -> None:
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(12, 6)), rng.integers(0, 3, 12)
    ours = normalised_hsic(
        normalise_kernel(gaussian_kernel(torch.from_numpy(x))),
        normalise_kernel(label_kernel(torch.from_numpy(labels), 4)),
    )
    same = (labels[:, None] == labels[None, :]).astype(float)
    assert float(ours) == pytest.approx(reference(reference_gaussian(x, 5.0), same, 1e-5), rel=1e-4)


def test_a_side_that_is_constant_has_no_dependence() -> None:
    torch.manual_seed(0)
    assert hsic(torch.randn(10, 5), torch.ones(10, 5)) == pytest.approx(0, abs=1e-6)


def test_the_order_of_the_two_sides_does_not_matter() -> None:
    torch.manual_seed(0)
    x, z = torch.randn(10, 5), torch.randn(10, 3)
    assert hsic(x, z) == pytest.approx(hsic(z, x), rel=1e-5)


def test_labels_among_three_classes_have_at_most_two_directions() -> None:
    kernel = normalise_kernel(label_kernel(torch.arange(30) % 3, 3))
    assert float(normalised_hsic(kernel, kernel)) == pytest.approx(2, abs=0.001)


def test_pictures_of_a_common_offset_lose_no_precision() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 100)
    assert hsic(x + 100, x) == pytest.approx(hsic(x, x), rel=1e-3)

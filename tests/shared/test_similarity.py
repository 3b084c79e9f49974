import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.similarity import mse, psnr, ssim


def grey(value: float, side: int = 16) -> np.ndarray:
    return np.full((side, side, 3), value)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (24, 20, 3))


def test_mse_of_black_and_mid_grey():
    assert mse(grey(0.0), grey(0.5)) == 0.25


def test_mse_is_the_mean_over_all_values():
    picture = grey(0.0, side=2)
    picture[0, 0, 0] = 1.0
    assert mse(picture, grey(0.0, side=2)) == pytest.approx(1 / 12)


@pytest.mark.parametrize(("difference", "decibel"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0), (0.5, 6.0206)])
def test_psnr_of_literal_differences(difference, decibel):
    assert psnr(grey(0.0), grey(difference)) == pytest.approx(decibel, abs=1e-4)


@pytest.mark.parametrize("difference", [0.0, 1e-6])
def test_psnr_is_capped_at_100_decibel(difference):
    assert psnr(grey(0.0), grey(difference)) == 100.0


def test_ssim_of_equal_pictures_is_one():
    assert ssim(noise(0), noise(0)) == 1.0


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.2, 0.8), (0.5, 0.6)])
def test_ssim_of_two_flat_greys_is_the_luminance_term(a, b):
    c1 = 0.01**2
    assert ssim(grey(a), grey(b)) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-9)


def test_ssim_of_a_picture_and_its_negative_is_below_zero():
    assert ssim(noise(1), 1 - noise(1)) < -0.9


def test_ssim_is_wangs_with_a_gaussian_window_of_eleven_pixels():
    """Against the formula written out for one channel at one inner position."""
    a, b = noise(2), noise(3)
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    values = []
    for y in range(5, 24 - 5):
        for x in range(5, 20 - 5):
            window = (slice(y - 5, y + 6), slice(x - 5, x + 6))
            for channel in range(3):
                p, q = a[window][..., channel], b[window][..., channel]
                mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
                var_p = (weights * p * p).sum() - mean_p**2
                var_q = (weights * q * q).sum() - mean_q**2
                covariance = (weights * p * q).sum() - mean_p * mean_q
                top = (2 * mean_p * mean_q + 0.01**2) * (2 * covariance + 0.03**2)
                bottom = (mean_p**2 + mean_q**2 + 0.01**2) * (var_p + var_q + 0.03**2)
                values.append(top / bottom)
    assert ssim(a, b) == pytest.approx(np.mean(values), abs=1e-9)


@given(seed=st.integers(0, 1000), other=st.integers(0, 1000))
def test_all_measures_are_symmetric_and_within_their_range(seed, other):
    a, b = noise(seed).astype(np.float32), noise(other).astype(np.float32)
    assert mse(a, b) == mse(b, a) <= 1
    assert psnr(a, b) == psnr(b, a) >= 0
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert -1 <= ssim(a, b) <= 1


@pytest.mark.parametrize("measure", [mse, psnr, ssim])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (grey(0.0), grey(0.0, side=17), r"one shape \(H, W, C\), not \(16, 16, 3\) and \(17, 17, 3\)"),
        (grey(0.0)[0], grey(0.0)[0], "one shape"),
        (grey(0.0)[:0], grey(0.0)[:0], "one shape"),
        (np.zeros((16, 16, 3), np.uint8), grey(0.0), "not uint8; divide bytes by 255"),
        (grey(0.0), grey(1.1), r"in \[0, 1\]; values lie outside"),
        (grey(-0.1), grey(0.0), r"in \[0, 1\]; values lie outside"),
        (grey(0.0), grey(float("nan")), "or are NaN"),
    ],
)
def test_pictures_of_another_form_are_refused(measure, a, b, message):
    with pytest.raises(ValueError, match=message):
        measure(a, b)


def test_ssim_needs_a_picture_as_large_as_its_window():
    with pytest.raises(ValueError, match=r"sides of 11 pixels or more, not \(10, 10\)"):
        ssim(grey(0.0, side=10), grey(0.0, side=10))


def test_a_missing_scikit_image_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.metrics", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[attacker\]'"):
        ssim(grey(0.0), grey(0.0))

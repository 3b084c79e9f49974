import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from siftfunnel.lab.metrics.pictures import (
    PictureScores,
    score_pictures,
    summarise,
    worst_mean,
)
from siftfunnel.shared.similarity import mse, psnr, ssim


def smooth_pictures(count: int, side: int = 24, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(small, size=side, mode="bilinear", align_corners=False)


def noisy(x_NCHW: Tensor, deviation: float, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (x_NCHW + deviation * torch.randn(x_NCHW.shape, generator=generator)).clamp(0, 1)


def test_scores_are_those_of_scikit_image_and_of_the_shared_definitions() -> None:
    x = torch.rand(5, 3, 17, 23, generator=torch.Generator().manual_seed(0))
    y = noisy(x, 0.2)
    scores = score_pictures(x, y)
    for index, (a, b) in enumerate(zip(x, y, strict=True)):
        a_HWC, b_HWC = (p.permute(1, 2, 0).double().numpy() for p in (a, b))
        expected = structural_similarity(
            a_HWC,
            b_HWC,
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert scores.ssim_N[index] == pytest.approx(expected, abs=1e-9)
        assert scores.ssim_N[index] == pytest.approx(ssim(a_HWC, b_HWC), abs=1e-9)
        assert scores.psnr_db_N[index] == pytest.approx(
            peak_signal_noise_ratio(a_HWC, b_HWC, data_range=1.0), abs=1e-9
        )
        assert scores.psnr_db_N[index] == pytest.approx(psnr(a_HWC, b_HWC), abs=1e-9)
        assert scores.mse_N[index] == pytest.approx(mse(a_HWC, b_HWC), abs=1e-12)


def test_ssim_is_what_scipys_gaussian_filter_gives() -> None:
    from scipy.ndimage import gaussian_filter

    x, y = (p[0, 0].double().numpy() for p in (smooth_pictures(1), noisy(smooth_pictures(1), 0.1)))

    def blur(a: np.ndarray) -> np.ndarray:
        return gaussian_filter(a, sigma=1.5, radius=5)[5:-5, 5:-5]

    covariance = blur(x * y) - blur(x) * blur(y)
    variances = blur(x * x) - blur(x) ** 2 + blur(y * y) - blur(y) ** 2
    map_HW = (2 * blur(x) * blur(y) + 1e-4) * (2 * covariance + 9e-4)
    map_HW /= (blur(x) ** 2 + blur(y) ** 2 + 1e-4) * (variances + 9e-4)
    assert score_pictures(x[None, None], y[None, None]).ssim_N[0] == pytest.approx(map_HW.mean(), abs=1e-9)


def test_identical_pictures_score_zero_one_hundred_and_one() -> None:
    x = smooth_pictures(3)
    scores = score_pictures(x, x)
    assert len(scores) == 3
    np.testing.assert_array_equal(scores.mse_N, 0)
    np.testing.assert_array_equal(scores.psnr_db_N, 100)
    np.testing.assert_allclose(scores.ssim_N, 1, atol=1e-12)


def test_a_tenth_everywhere_is_twenty_decibels() -> None:
    scores = score_pictures(np.zeros((1, 3, 16, 16)), np.full((1, 3, 16, 16), 0.1))
    assert scores.mse_N[0] == pytest.approx(0.01)
    assert scores.psnr_db_N[0] == pytest.approx(20)


def test_black_against_white_has_an_ssim_of_c1() -> None:
    scores = score_pictures(torch.zeros(1, 3, 12, 12), torch.ones(1, 3, 12, 12))
    assert scores.ssim_N[0] == pytest.approx(1e-4 / (1 + 1e-4))


def test_noise_of_a_twentieth_costs_26_decibels_whatever_the_picture() -> None:
    x = 0.3 + 0.4 * smooth_pictures(8, side=32)
    scores = score_pictures(x, noisy(x, 0.05))
    np.testing.assert_allclose(scores.psnr_db_N, 26.02, atol=0.4)


def test_numpy_and_torch_pictures_score_the_same() -> None:
    x, y = smooth_pictures(2), noisy(smooth_pictures(2), 0.1)
    np.testing.assert_array_equal(score_pictures(x, y).ssim_N, score_pictures(x.numpy(), y.numpy()).ssim_N)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(1, 3, 16, 16), torch.zeros(2, 3, 16, 16), "one shape"),
        (torch.zeros(3, 16, 16), torch.zeros(3, 16, 16), "N x C x H x W"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 1.1), "clamp"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), torch.nan), "NaN"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), torch.zeros(1, 3, 16, 16), "divide bytes"),
        (torch.zeros(1, 3, 10, 16), torch.zeros(1, 3, 10, 16), "11 pixels"),
        (torch.zeros(0, 3, 16, 16), torch.zeros(0, 3, 16, 16), "one or more"),
    ],
)
def test_pictures_that_cannot_be_scored_are_refused_with_the_reason(
    x: Tensor, y: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_pictures(x, y)


def scores_of(values: list[float]) -> PictureScores:
    array = np.array(values)
    return PictureScores(array / 1000, array, array / 100)


def test_a_summary_names_means_quantiles_and_the_most_exposed() -> None:
    summary = summarise(scores_of([float(value) for value in range(1, 101)]))
    assert set(summary) == {"mse", "psnr_db", "ssim"}
    assert summary["mse"]["mean"] == pytest.approx(0.0505)
    assert set(summary["mse"]) == {"mean", "ci95"}
    psnr_db = summary["psnr_db"]
    assert psnr_db["mean"] == psnr_db["median"] == 50.5
    assert (psnr_db["p95"], psnr_db["p99"], psnr_db["max"]) == pytest.approx((95.05, 99.01, 100))
    assert psnr_db["worst_5pct_mean"] == 98
    assert psnr_db["worst_1pct_mean"] == 100
    assert summary["ssim"].keys() == psnr_db.keys()
    low, high = psnr_db["ci95"]
    assert low < 50.5 < high
    # the standard error is 2.9
    assert high - low == pytest.approx(2 * 1.96 * 2.887, rel=0.1)


def test_a_summary_repeats_with_its_seed() -> None:
    scores = scores_of([3.0, 9.0, 4.0, 1.0])
    assert summarise(scores) == summarise(scores)
    assert summarise(scores, seed=1) != summarise(scores)


@pytest.mark.parametrize(("count", "share", "expected"), [(60, 0.05, 59), (61, 0.05, 59.5), (3, 0.01, 3)])
def test_the_worst_share_rounds_up_to_whole_pictures(count: int, share: float, expected: float) -> None:
    assert worst_mean(np.arange(1.0, count + 1), share) == expected

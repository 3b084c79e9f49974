import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from siftfunnel.lab.metrics.authors import paper_mse, paper_psnr, paper_scores, paper_ssim
from siftfunnel.lab.metrics.pictures import score_pictures
from tests.lab.metrics.test_pictures import noisy, smooth_pictures


def test_the_papers_mse_is_the_sum_over_colours() -> None:
    x, y = torch.zeros(4, 3, 8, 8), torch.full((4, 3, 8, 8), 0.5)
    assert paper_mse(x, y) == pytest.approx(0.75)
    assert paper_mse(x[:, :1], y[:, :1]) == pytest.approx(0.25)


def test_the_papers_mse_is_three_times_the_standard_one() -> None:
    x, y = smooth_pictures(6), noisy(smooth_pictures(6), 0.2)
    assert paper_mse(x, y) == pytest.approx(3 * score_pictures(x, y).mse_N.mean())


def test_the_papers_psnr_is_of_a_batch_not_of_a_picture() -> None:
    x = torch.zeros(4, 3, 8, 8)
    y = torch.zeros(4, 3, 8, 8)
    y[0], y[2] = 0.1, 0.3
    first, second = 0.01 / 2, 0.09 / 2
    expected = (-10 * math.log10(first) - 10 * math.log10(second)) / 2
    assert paper_psnr(x, y, batch=2) == pytest.approx(expected)
    assert paper_psnr(x, y, batch=4) == pytest.approx(-10 * math.log10(0.1 / 4))


def test_a_short_last_batch_counts_as_much_as_a_full_one() -> None:
    x, y = torch.zeros(3, 1, 8, 8), torch.full((3, 1, 8, 8), 0.1)
    y[2] = 1.0
    assert paper_psnr(x, y, batch=2) == pytest.approx((20 + 0) / 2)


def test_the_papers_psnr_follows_from_its_mse_within_one_batch() -> None:
    x, y = smooth_pictures(8), noisy(smooth_pictures(8), 0.1)
    scores = paper_scores(x, y, 8)
    assert scores["psnr_db"] == pytest.approx(10 * math.log10(3 / scores["mse"]))


def test_identical_pictures_score_zero_one_hundred_and_one() -> None:
    x = smooth_pictures(8)
    assert paper_scores(x, x) == {"mse": 0.0, "psnr_db": 100.0, "ssim": pytest.approx(1.0)}


def test_the_papers_ssim_is_scikit_image_on_the_batch_as_a_volume() -> None:
    x, y = smooth_pictures(20, side=16), noisy(smooth_pictures(20, side=16), 0.1)
    parts = [
        structural_similarity(
            x[part].double().numpy(), y[part].double().numpy(), channel_axis=1, data_range=1.0
        )
        for part in (slice(0, 10), slice(10, 20))
    ]
    assert paper_ssim(x, y, batch=10) == pytest.approx(np.mean(parts), abs=1e-12)


def test_noise_of_a_twentieth_looks_harmless_to_the_papers_ssim_only() -> None:
    generator = torch.Generator().manual_seed(0)
    large = torch.nn.functional.interpolate(
        torch.rand(32, 3, 4, 4, generator=generator), size=64, mode="bicubic", align_corners=False
    )
    x = large.clamp(0, 1)
    y = noisy(x, 0.05)
    assert paper_ssim(x, y) > 0.95
    assert score_pictures(x, y).ssim_N.mean() < 0.75


def test_a_last_batch_without_a_window_is_left_out_of_the_papers_ssim() -> None:
    x, y = smooth_pictures(16, side=16), noisy(smooth_pictures(16, side=16), 0.1)
    # 10 + 6: the six have no window of seven
    assert paper_ssim(x, y, batch=10) == pytest.approx(paper_ssim(x[:10], y[:10], batch=10), abs=1e-12)
    # 9 + 7: the seven count
    nine, seven = paper_ssim(x[:9], y[:9]), paper_ssim(x[9:], y[9:])
    assert paper_ssim(x, y, batch=9) == pytest.approx((nine + seven) / 2, abs=1e-12)


def test_too_few_pictures_for_the_papers_ssim_are_refused() -> None:
    x = smooth_pictures(6)
    with pytest.raises(ValueError, match="7 pictures or more"):
        paper_ssim(x, x)
    with pytest.raises(ValueError, match="one picture or more"):
        paper_psnr(x, x, batch=0)

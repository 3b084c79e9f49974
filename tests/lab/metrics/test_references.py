import pytest
import torch

from siftfunnel.lab.metrics.pictures import score_pictures
from siftfunnel.lab.metrics.references import REFERENCES, reference_pictures
from tests.lab.metrics.test_pictures import noisy, smooth_pictures


def test_every_reference_gives_pictures_of_the_same_shape() -> None:
    x, auxiliary = smooth_pictures(3, side=16), smooth_pictures(5, side=16, seed=9)
    for name in REFERENCES:
        y = reference_pictures(name, x, auxiliary, seed=0)
        assert y.shape == x.shape
        assert y.dtype == torch.float32
        assert 0 <= float(y.min()) <= float(y.max()) <= 1


def test_references_come_in_the_order_of_what_they_know() -> None:
    x, auxiliary = smooth_pictures(40), smooth_pictures(200, seed=9)
    error = {
        name: score_pictures(x, reference_pictures(name, x, auxiliary)).mse_N.mean() for name in REFERENCES
    }
    order = ["thumbnail_8x8", "thumbnail_4x4", "image_mean_colour", "mean_image", "clamp_noise"]
    assert sorted(order, key=error.__getitem__) == order
    assert error["nearest_auxiliary"] < score_pictures(x, auxiliary[:40]).mse_N.mean()


def test_the_mean_image_is_the_attackers_not_the_secrets() -> None:
    y = reference_pictures(
        "mean_image", torch.zeros(2, 1, 2, 2), torch.tensor([0.2, 0.6]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    )
    torch.testing.assert_close(y, torch.full((2, 1, 2, 2), 0.4))


def test_the_mean_colour_is_each_pictures_own() -> None:
    x = torch.tensor([[[[0.0, 1.0]], [[0.5, 0.5]]]])
    y = reference_pictures("image_mean_colour", x, x)
    torch.testing.assert_close(y, torch.full((1, 2, 1, 2), 0.5))


def test_a_thumbnail_of_a_picture_that_small_is_the_picture() -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(reference_pictures("thumbnail_8x8", x, x), x)


def test_the_nearest_auxiliary_picture_is_the_brute_force_one() -> None:
    x, auxiliary = smooth_pictures(9, side=8), smooth_pictures(50, side=8, seed=9)
    distances = torch.stack([(x - picture).square().sum(dim=(1, 2, 3)) for picture in auxiliary], dim=1)
    expected = auxiliary[distances.argmin(dim=1)]
    torch.testing.assert_close(reference_pictures("nearest_auxiliary", x, auxiliary), expected)


def test_a_noisy_copy_among_the_auxiliary_pictures_is_found() -> None:
    x = smooth_pictures(4, side=8)
    auxiliary = torch.cat((smooth_pictures(20, side=8, seed=9), noisy(x, 0.01)))
    torch.testing.assert_close(reference_pictures("nearest_auxiliary", x, auxiliary), auxiliary[20:])


def test_noise_repeats_with_its_seed_and_is_half_black() -> None:
    x = torch.zeros(4, 3, 32, 32)
    y = reference_pictures("clamp_noise", x, x, seed=5)
    torch.testing.assert_close(y, reference_pictures("clamp_noise", x, x, seed=5))
    assert not torch.equal(y, reference_pictures("clamp_noise", x, x, seed=6))
    assert float((y == 0).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_an_unknown_reference_lists_the_known_ones() -> None:
    x = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match="mean_image"):
        reference_pictures("median_image", x, x)
    with pytest.raises(ValueError, match="one shape"):
        reference_pictures("mean_image", x, torch.zeros(1, 3, 8, 8))

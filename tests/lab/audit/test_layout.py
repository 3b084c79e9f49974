import pytest
import torch

from siftfunnel.lab.audit.layout import FeatureLayout


@pytest.mark.parametrize(
    ("own", "image", "maps"),
    [
        ((12, 8, 8), (32, 32), (12, 8, 8)),
        ((3, 32, 32), (32, 32), (3, 32, 32)),
        ((12, 10, 10), (32, 32), (12, 16, 16)),
        ((5, 7, 7), (56, 56), (5, 7, 7)),
        ((4, 13, 13), (50, 50), (4, 25, 25)),
        ((2, 40, 40), (32, 32), (8, 32, 32)),
        ((2, 64, 64), (32, 32), (8, 32, 32)),
        ((10,), (32, 32), (10, 1, 1)),
        ((49, 6), (32, 32), (6, 8, 8)),
        ((50, 6), (32, 32), (12, 8, 8)),
        ((6, 4), (32, 32), (4, 8, 8)),
        ((3, 6, 12), (24, 48), (3, 6, 12)),
    ],
)
def test_any_feature_becomes_maps_that_double_to_the_picture_and_back(
    own: tuple[int, ...], image: tuple[int, int], maps: tuple[int, int, int]
) -> None:
    layout = FeatureLayout(own, image)
    z = torch.randn(2, *own, generator=torch.Generator().manual_seed(0))
    made = layout.to_maps(z)
    assert layout.maps == tuple(made.shape[1:]) == maps
    assert torch.equal(layout.to_own(made), z)
    doubled = image[0] // maps[1]
    assert doubled & (doubled - 1) == 0
    assert (maps[1] * doubled, maps[2] * doubled) == image


def test_a_feature_that_fits_is_passed_on_as_it_is() -> None:
    z = torch.randn(1, 12, 8, 8)
    assert FeatureLayout((12, 8, 8), (32, 32)).to_maps(z) is z


def test_gradients_pass_through_a_layout() -> None:
    z = torch.randn(1, 12, 10, 10, requires_grad=True)
    FeatureLayout((12, 10, 10), (32, 32)).to_maps(z).sum().backward()
    assert z.grad is not None
    assert float(z.grad.min()) >= 1
    assert float(z.grad.sum()) == 12 * 16 * 16

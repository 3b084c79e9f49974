import pytest
import torch

from siftfunnel.lab.networks.decoder import doublings_between
from siftfunnel.lab.targets.layout import FeatureLayout, doubled_down


@pytest.mark.parametrize(
    ("own", "image", "maps"),
    [
        ((12, 8, 8), (32, 32), (12, 8, 8)),
        ((3, 32, 32), (32, 32), (3, 32, 32)),
        ((12, 10, 10), (32, 32), (12, 16, 16)),
        ((5, 7, 7), (56, 56), (5, 7, 7)),
        ((4, 13, 13), (50, 50), (4, 13, 13)),
        ((2, 40, 40), (32, 32), (8, 32, 32)),
        ((2, 64, 64), (32, 32), (8, 32, 32)),
        ((10,), (32, 32), (10, 1, 1)),
        ((49, 6), (32, 32), (6, 8, 8)),
        ((50, 6), (32, 32), (12, 8, 8)),
        ((6, 4), (32, 32), (4, 8, 8)),
        ((3, 6, 12), (24, 48), (3, 6, 12)),
        ((40, 28, 28), (224, 224), (40, 28, 28)),
        ((640, 7, 7), (224, 224), (640, 7, 7)),
        ((16, 112, 112), (224, 224), (64, 56, 56)),
        ((1000,), (224, 224), (1000, 1, 1)),
        ((9, 57, 57), (227, 227), (9, 57, 57)),
        ((8, 12, 20), (96, 160), (8, 12, 20)),
        ((2, 3, 4, 5), (32, 32), (2, 32, 32)),
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
    assert maps[1:] == doubled_down(image, doublings_between(image, maps[1:]))


def test_a_feature_that_fits_is_passed_on_as_it_is() -> None:
    z = torch.randn(1, 12, 8, 8)
    assert FeatureLayout((12, 8, 8), (32, 32)).to_maps(z) is z


def test_gradients_pass_through_a_layout() -> None:
    z = torch.randn(1, 12, 10, 10, requires_grad=True)
    FeatureLayout((12, 10, 10), (32, 32)).to_maps(z).sum().backward()
    assert z.grad is not None
    assert float(z.grad.min()) >= 1
    assert float(z.grad.sum()) == 12 * 16 * 16


@pytest.mark.parametrize(
    ("tensors", "image", "maps"),
    [
        (((64, 32, 32), (128, 16, 16), (256, 8, 8)), (256, 256), (640, 16, 16)),
        (((16, 28, 28), (49, 6), (10,)), (224, 224), (32, 28, 28)),
        (((4, 8, 8), (2, 4, 4)), (32, 32), (6, 8, 8)),
    ],
)
def test_all_tensors_of_a_frame_become_maps_of_one_grid_and_go_back(
    tensors: tuple[tuple[int, ...], ...], image: tuple[int, int], maps: tuple[int, int, int]
) -> None:
    total = sum(int(torch.Size(shape).numel()) for shape in tensors)
    layout = FeatureLayout((total, 1, 1), image, tensors)
    z = torch.randn(2, total, 1, 1, generator=torch.Generator().manual_seed(0))
    made = layout.to_maps(z)
    assert layout.maps == tuple(made.shape[1:]) == maps
    assert torch.equal(layout.to_own(made), z)
    assert set(made.flatten().tolist()) == set(z.flatten().tolist())

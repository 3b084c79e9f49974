"""What auxiliary pictures say: the scale of features, the weight of zeros, the coordinates of pictures."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from siftfunnel.lab.attacks.basis import cosine_matrix, measure_pictures
from siftfunnel.lab.attacks.features import FeatureDistance, FeatureStatistics, measure_features
from siftfunnel.lab.attacks.picture_nets import PictureNets
from siftfunnel.lab.attacks.tuning import choose
from siftfunnel.lab.attacks.victim import Victim, to_floats
from tests.lab.attacks.tiny import shapes, tiny_victim


class DropStage(nn.Module):
    """Zeroes a share of the values, as feature dropout does."""

    gain = 5.0

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, z_NCHW: Tensor) -> Tensor:
        """Some values, the rest 0."""
        return z_NCHW * (torch.rand(z_NCHW.shape, generator=self.generator) >= self.rate)


def pixels_victim(stage: nn.Module | None = None, gain: float = 1.0) -> Victim:
    """A victim that sends the normalised picture itself."""
    return Victim(
        edge=nn.Identity(),
        stage=stage or nn.Identity(),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        image_shape=(3, 32, 32),
        feature_shape=(3, 32, 32),
        device=torch.device("cpu"),
        stochastic=stage is not None,
        gain=gain,
    )


def test_the_scale_is_the_deviation_over_pictures() -> None:
    images = shapes(50)
    found = measure_features(pixels_victim(), images)
    deviation = to_floats(images).std(dim=0, unbiased=False)
    is_high = deviation > 0.3 * deviation.square().mean((1, 2), keepdim=True).sqrt()
    assert float(is_high.float().mean()) > 0.9
    assert torch.allclose(found.scale_CHW[is_high], deviation[is_high], atol=1e-5)
    assert bool((found.zero_weight_CHW == 1).all())


def test_an_element_that_never_varies_counts_as_a_share_of_its_channel_and_a_dead_channel_of_all() -> None:
    images = shapes(50)
    images[:, 0, 0, 0] = 7
    images[..., 1] = 7
    found = measure_features(pixels_victim(), images)
    variance_CHW = to_floats(images).var(dim=0, unbiased=False)
    of_channel, of_feature = (float(part.mean().sqrt()) for part in (variance_CHW[0], variance_CHW))
    assert found.scale_CHW[0, 0, 0].item() == pytest.approx(0.3 * of_channel, rel=1e-4)
    assert found.scale_CHW[1].flatten().tolist() == pytest.approx(
        [0.01 * of_feature] * variance_CHW[1].numel(), rel=1e-4
    )


def test_a_received_zero_counts_as_much_as_the_chance_that_it_is_one() -> None:
    images = shapes(400).clamp_min(1)
    images[::4, 0, 0] = 0  # a quarter of the first pixel's values are true zeros
    victim = pixels_victim(DropStage(0.8), gain=5.0)
    found = measure_features(victim, images)
    assert found.zero_weight_CHW[0, 0, 0].item() == pytest.approx(0.25 / (0.25 + 0.75 * 0.8))
    assert found.zero_weight_CHW[0, 5, 5].item() == 0
    averaged = measure_features(victim.averaging(16), images)
    assert averaged.zero_weight_CHW[0, 0, 0].item() == pytest.approx(0.25 / (0.25 + 0.75 * 0.8**16))


def test_dropped_values_say_nothing_and_others_are_exact() -> None:
    known = FeatureStatistics(torch.full((1, 1, 3), 2.0), torch.zeros(1, 1, 3))
    distance = FeatureDistance(known, torch.tensor([[[[4.0, 0.0, 2.0]]]]))
    apart = distance(torch.tensor([[[[8.0, 99.0, 2.0]]]]))
    assert apart.tolist() == [2.0]  # ((8 - 4) / 2)^2 over the two values that arrived


def test_cosine_rows_are_orthonormal_and_the_first_is_constant() -> None:
    matrix = cosine_matrix(8)
    assert torch.allclose(matrix @ matrix.T, torch.eye(8), atol=1e-6)
    assert torch.allclose(matrix[0], torch.full((8,), 8**-0.5))


def test_coordinates_and_pictures_are_inverse_and_gradients_go_through_the_adjoint() -> None:
    basis = measure_pictures(shapes(60), torch.device("cpu"))
    x = to_floats(shapes(3, seed=9))
    c = basis.coordinates(x).requires_grad_()
    again = basis.pictures(c)
    assert torch.allclose(again, x, atol=1e-4)
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    (again * weight).sum().backward()
    assert c.grad is not None
    assert torch.allclose(basis.pull_back(weight), c.grad, atol=1e-4)


def test_auxiliary_pictures_are_white_in_their_own_coordinates() -> None:
    images = shapes(300)
    c = measure_pictures(images, torch.device("cpu")).coordinates(to_floats(images))
    assert c.mean(dim=0).abs().max() < 1e-2
    assert c[:, :, :4, :4].square().mean(dim=0).allclose(torch.ones(3, 4, 4), atol=1e-2)


def test_each_picture_net_has_weights_of_its_own() -> None:
    def nets(count: int) -> PictureNets:
        return PictureNets(
            count, 4, torch.full((3, 16, 16), 0.5), torch.Generator().manual_seed(0), torch.device("cpu")
        )

    three = nets(3)
    noise = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    made = three(noise)
    made[1].sum().backward()
    assert made.shape == (3, 3, 16, 16)
    assert [norm > 0 for norm in three.gradient_norm_N().tolist()] == [False, True, False]


def test_the_tiny_victim_is_left_as_it_is_by_measuring() -> None:
    victim = tiny_victim()
    before = measure_features(victim, shapes(20)).scale_CHW
    assert torch.equal(before, measure_features(replace(victim), shapes(20)).scale_CHW)


def test_of_settings_that_cannot_be_told_apart_the_cautious_one_is_chosen() -> None:
    lucky, steady, worse = [20.0, 24.0, 22.2], [21.9, 22.1, 22.0], [18.0, 18.1, 18.2]
    scores = torch.tensor([lucky, steady, worse])
    assert choose(scores, [0.0, 1.0, 2.0]) == 1
    assert choose(scores, [0.0, 0.0, 0.0]) == 0
    assert choose(torch.tensor([[20.0, 20.0], [20.5, 20.6]]), [1.0, 0.0]) == 1
    assert choose(torch.tensor([[20.0], [20.5]]), [1.0, 0.0]) == 1
    assert choose(torch.zeros(1, 1), [0.0]) == 0

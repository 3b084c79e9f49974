import math

import pytest
import torch
from torch import Tensor

from siftfunnel.lab.metrics.encoders import GridEncoder, standardiser
from siftfunnel.lab.metrics.mine import AuthorsCritic, authors_mine, log_mean_exp, mine


def gaussian_pairs(count: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures of one grey level and 1x1 features: -log(1 - r^2) / 2 nats by construction."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(count, 1, 1, 1, generator=generator)
    b = torch.randn(count, 1, 1, 1, generator=generator)
    # a scale that no optimiser's default can work with, as a funnel's feature has
    z = 0.01 * (correlation * a + math.sqrt(1 - correlation**2) * b)
    return a.expand(count, 1, 4, 4).contiguous(), z


def estimate(correlation: float, steps: int) -> float:
    train, test = gaussian_pairs(2000, correlation, 0), gaussian_pairs(1000, correlation, 1)
    return mine(*train, *test, steps=steps, width=8, learning_rate=5e-3, shifts=2).nats


def test_mine_finds_the_known_information_of_gaussian_pairs() -> None:
    truth = -math.log(1 - 0.9**2) / 2
    assert truth == pytest.approx(0.830, abs=1e-3)
    assert estimate(0.9, steps=160) == pytest.approx(truth, abs=0.15)


def test_mine_finds_nothing_where_there_is_nothing() -> None:
    assert estimate(0.0, steps=20) == pytest.approx(0, abs=0.03)


def test_foreign_pairs_are_of_any_class_though_the_pairs_come_in_class_order() -> None:
    # a feature that is the class and nothing else says log 2 nats of a picture that is little more
    classes = torch.arange(2).repeat_interleave(200).float().view(-1, 1, 1, 1)
    noise = torch.randn(400, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x, z = classes + 0.1 * noise, 0.01 * classes
    found = mine(x, z, x, z, steps=60, width=8, learning_rate=5e-3).nats
    assert found == pytest.approx(math.log(2), abs=0.1)
    z = classes.expand_as(x).contiguous()
    assert authors_mine(x, z, x, z, epochs=10, batch=100).nats > 0.2


def test_mine_goes_beyond_the_authors_ceiling_but_not_beyond_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 1, 8, 8, generator=generator)
    z = torch.nn.functional.avg_pool2d(x, 2)
    result = mine(x[:200], z[:200], x[200:], z[200:], steps=60, width=8, learning_rate=3e-3, shifts=6)
    assert result.ceiling_nats == pytest.approx(math.log(50 * 6))
    assert 0 <= result.nats <= result.ceiling_nats
    assert len(result.history) == 20


def test_the_authors_estimator_cannot_pass_one_nat_whatever_its_weights() -> None:
    critic = AuthorsCritic(1, 1)
    x = torch.randn(40, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(50)
        bound = critic(x, x).mean() - log_mean_exp(critic(x, x.roll(1, 0)))
    assert float(bound) < 1


def test_the_authors_estimate_is_the_maximum_of_its_history() -> None:
    x, z = gaussian_pairs(64, 0.9, 0)
    result = authors_mine(x, z, x, z, epochs=3, batch=32)
    assert result.ceiling_nats == 1
    assert len(result.history) == 3
    assert result.nats == max(result.history)
    assert result.nats < 1


def test_the_authors_critic_sees_a_small_feature_in_one_corner_only() -> None:
    torch.manual_seed(0)
    seen: list[Tensor] = []
    critic = AuthorsCritic(3, 2)
    critic.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    critic(torch.ones(1, 3, 8, 8), torch.ones(1, 2, 2, 3))
    assert seen[0].shape == (1, 5, 8, 8)
    assert seen[0][0, 3:].sum() == 2 * 2 * 3
    assert seen[0][0, 3:, :2, :3].sum() == 2 * 2 * 3


def test_the_authors_critic_has_the_layers_of_their_code() -> None:
    critic = AuthorsCritic(3, 12)
    sizes = [(15, 64), (64, 32), (32, 16), (16, 4)]
    assert sum(p.numel() for p in critic.parameters()) == sum(9 * a * b + b for a, b in sizes)
    scores = critic(torch.zeros(2, 3, 8, 8), torch.zeros(2, 12, 4, 4))
    assert scores.shape == (2,)
    assert 0 < float(scores.detach()[0]) < 1


@pytest.mark.parametrize("shape", [(12, 4, 4), (2, 16, 16), (5, 1, 1), (1, 7, 5)])
def test_features_of_any_size_can_be_measured(shape: tuple[int, int, int]) -> None:
    x, z = torch.randn(16, 3, 16, 16), torch.randn(16, *shape)
    assert math.isfinite(mine(x, z, x, z, steps=2, width=8).nats)
    assert math.isfinite(authors_mine(x, z, x, z, epochs=1, batch=8).nats)


def test_an_estimate_repeats_with_its_seed() -> None:
    x, z = gaussian_pairs(32, 0.5, 0)
    assert mine(x, z, x, z, steps=3, width=8) == mine(x, z, x, z, steps=3, width=8)
    assert authors_mine(x, z, x, z, epochs=2) == authors_mine(x, z, x, z, epochs=2)


def test_pairs_that_do_not_fit_are_refused() -> None:
    x, z = torch.zeros(16, 3, 8, 8), torch.zeros(16, 2, 16, 16)
    with pytest.raises(ValueError, match="does not fit"):
        authors_mine(x, z, x, z)
    with pytest.raises(ValueError, match="as many features as pictures"):
        mine(x, z[:8], x, z)
    with pytest.raises(ValueError, match="evaluation pairs"):
        mine(x, z, x[:4], z[:4])
    with pytest.raises(ValueError, match="NaN"):
        mine(x, z * torch.nan, x, z)


def test_log_mean_exp_does_not_overflow() -> None:
    assert float(log_mean_exp(torch.tensor([1000.0, 1000.0]))) == 1000
    assert float(log_mean_exp(torch.tensor([0.0, math.log(3)]))) == pytest.approx(math.log(2))


def test_a_dead_channel_is_centred_and_not_blown_up() -> None:
    values = torch.stack((torch.full((4, 2, 2), 3.0), torch.arange(16.0).view(4, 2, 2)), dim=1)
    scaled = standardiser(values)(values)
    assert float(scaled[:, 0].abs().max()) == 0
    assert float(scaled[:, 1].std(correction=0)) == pytest.approx(1)


@pytest.mark.parametrize("side", [1, 3, 4, 9, 16])
def test_an_encoder_brings_every_side_to_its_grid(side: int) -> None:
    assert GridEncoder(2, side, (4, 4), 8)(torch.zeros(1, 2, side, side)).shape == (1, 8, 4, 4)

import math

import pytest
import torch

from siftfunnel.lab.defences.cem import CEM, GAMMA, TAU, ClassMixtures
from siftfunnel.lab.defences.gaussian_noise import FixedChannelNoise
from tests.lab.defences.steps import batch, loss_of, number, tiny

NOISE = 0.4
FLOOR = math.log(TAU * NOISE**2 + GAMMA)


def _known(variance: float, mass: float) -> ClassMixtures:
    mixture = ClassMixtures(classes=2, centres=1, size=4)
    mixture.variance_KM.fill_(variance)
    mixture.mass_KM.fill_(mass)
    return mixture


def test_what_a_long_known_centre_tells_is_the_logarithm_of_its_variance_over_the_noise() -> None:
    told = _known(0.5, 1e9)(torch.randn(8, 4), torch.tensor([0, 1] * 4), NOISE)
    assert number(told) == pytest.approx(math.log(0.5 + GAMMA) - FLOOR, rel=1e-4)


def test_of_a_fresh_centre_the_batch_decides() -> None:
    mixture = _known(0.0, 1e-9)
    told = mixture(torch.full((1, 4), 3.0), torch.tensor([0]), NOISE)
    # the centre moves onto its only picture
    assert number(told) == 0
    mixture = _known(0.0, 1.0)
    # mass 0.99 + 1 puts the centre at 3 / 1.99; the batch's variance counts 0.99
    told = mixture(torch.full((1, 4), 3.0), torch.tensor([0]), NOISE)
    left = 0.99 * (3 - 3 / 1.99) ** 2 + 0.01 * float(mixture.variance_KM[0])
    assert number(told) == pytest.approx(math.log(left + GAMMA) - FLOOR, rel=1e-4)


def test_nothing_is_paid_for_what_the_noise_covers() -> None:
    assert number(_known(TAU * NOISE**2 * 0.9, 1e9)(torch.zeros(2, 4), torch.tensor([0, 1]), NOISE)) == 0


def test_centres_shares_and_variances_come_to_those_of_the_mixture() -> None:
    torch.manual_seed(4)
    mixture = ClassMixtures(classes=2, centres=2, size=3)
    middle = torch.tensor([[[-4.0] * 3, [4.0] * 3], [[0.0, 9.0, 0.0], [9.0, 0.0, 0.0]]])
    first = torch.stack([middle[0, 0], middle[0, 1], middle[1, 0], middle[1, 1]])
    mixture.follow(first, torch.tensor([0, 0, 1, 1]))
    for _ in range(400):
        labels = torch.randint(2, (32,))
        part = (torch.rand(32) < 0.75).long()
        mixture.follow(middle[labels, part] + 0.5 * torch.randn(32, 3), labels)
    torch.testing.assert_close(mixture.centre_KMD, middle, atol=0.1, rtol=0)
    torch.testing.assert_close(mixture.variance_KM, torch.full((2, 2), 0.25), atol=0.03, rtol=0)
    share = mixture.mass_KM / mixture.mass_KM.sum(1, keepdim=True)
    torch.testing.assert_close(share, torch.tensor([[0.25, 0.75]] * 2), atol=0.06, rtol=0)


def test_the_price_pulls_features_towards_their_centre() -> None:
    z = torch.tensor([[2.0, 0.0, 0.0, 0.0]], requires_grad=True)
    _known(1.0, 5.0)(z, torch.tensor([1]), NOISE).backward()
    assert z.grad is not None
    assert float(z.grad[0, 0]) > 0
    assert (z.grad[0, 1:] == 0).all()


def test_the_weight_climbs_from_its_first_share() -> None:
    defence = CEM(weight=8.0, first_share=0.25, centres=2)
    for share_done, weight in [(0.0, 2.0), (0.5, 4.0), (1.0, 8.0)]:
        loss = loss_of(defence, tiny(defence), *batch(), share_done=share_done)
        told = number(loss.total - loss.parts["cross_entropy"]) / number(loss.parts["told"])
        assert told == pytest.approx(weight, rel=1e-4)


def test_each_path_has_its_own_noise_and_mixture() -> None:
    network = tiny(CEM(sigmas=(0.05, 0.5)))
    assert isinstance(network.stage, FixedChannelNoise)
    torch.testing.assert_close(network.stage.sigmas_C, torch.tensor([0.05] * 6 + [0.5] * 6))
    assert len(list(network.companion.children())) == 2
    assert CEM(sigmas=(0.05, 0.5)).edge_stages(network)[0].parameters["sigmas"][-1] == 0.5
    with pytest.raises(ValueError, match="cannot be divided"):
        tiny(CEM(sigmas=(0.1,) * 5))


def test_the_bank_of_centres_trains_nobody() -> None:
    defence = CEM()
    network = tiny(defence)
    assert list(network.companion.parameters()) == []
    loss_of(defence, network, *batch()).total.backward()
    assert network.edge[0][0].weight.grad is not None  # type: ignore[index]

import math
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from siftfunnel.lab.defences.dpsgd import DPSGD, epsilon_spent, make_private_optimizer, poisson_batches
from siftfunnel.lab.networks.split import SplitNetwork
from tests.lab.defences.steps import batch, tiny

CLIP = 0.5
STEPS, RATE = 936, 128 / 10_000


def without_dropout(network: SplitNetwork) -> SplitNetwork:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


def private(network: SplitNetwork, *, noise: float = 0.0, size: int = 6) -> torch.optim.Optimizer:
    return make_private_optimizer(
        network,
        torch.optim.SGD(network.parameters(), lr=1.0),
        noise_multiplier=noise,
        clip=CLIP,
        expected_batch_size=size,
    )


def flat(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def step(network: SplitNetwork, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    functional.cross_entropy(network.trace(x).logits_NK, labels).backward()
    optimizer.step()


def test_a_step_sums_the_clipped_gradient_of_each_picture() -> None:
    x, labels = batch(6)
    reference = without_dropout(tiny(DPSGD()))
    total = torch.zeros_like(flat(reference))
    norms = []
    for picture, label in zip(x, labels, strict=True):
        reference.zero_grad()
        functional.cross_entropy(reference(picture[None]), label[None]).backward()
        gradient = torch.cat([p.grad.flatten() for p in reference.parameters() if p.grad is not None])
        norms.append(float(gradient.norm()))
        total += gradient * min(1.0, CLIP / norms[-1])
    assert max(norms) > CLIP
    network = without_dropout(tiny(DPSGD()))
    before = flat(network)
    step(network, private(network), x, labels)
    torch.testing.assert_close(before - flat(network), total / 6, atol=1e-5, rtol=1e-3)


def test_no_picture_moves_the_network_by_more_than_the_clip() -> None:
    x, labels = batch(1)
    network = tiny(DPSGD())
    before = flat(network)
    step(network, private(network, size=1), 100 * x, labels)
    assert float((before - flat(network)).norm()) <= CLIP * 1.001


def test_an_empty_batch_is_a_step_of_noise_alone() -> None:
    network = tiny(DPSGD())
    optimizer = private(network, noise=0.8, size=4)
    before = flat(network)
    torch.manual_seed(3)
    optimizer.zero_grad()
    optimizer.step()
    moved = before - flat(network)
    assert float(moved.std()) == pytest.approx(0.8 * CLIP / 4, rel=0.01)
    assert float(moved.mean()) == pytest.approx(0, abs=1e-3)


def test_names_and_state_are_those_of_the_plain_network_and_optimizer() -> None:
    network = tiny(DPSGD())
    plain = torch.optim.AdamW(network.parameters())
    names = list(network.state_dict())
    optimizer = make_private_optimizer(network, plain, noise_multiplier=0.5, clip=1, expected_batch_size=6)
    step(network, optimizer, *batch(6))
    assert list(network.state_dict()) == names
    assert optimizer.state_dict()["state"].keys() == plain.state_dict()["state"].keys()
    optimizer.param_groups[0]["lr"] = 0.125
    assert plain.param_groups[0]["lr"] == 0.125


def _adam_steps(network: SplitNetwork, optimizer: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        step(network, optimizer, *batch(6))


def test_a_resumed_private_training_ends_where_an_uninterrupted_one_does() -> None:
    def fresh() -> tuple[SplitNetwork, torch.optim.Optimizer]:
        network = tiny(DPSGD())
        adam = torch.optim.AdamW(network.parameters(), lr=1e-2)
        return network, make_private_optimizer(
            network, adam, noise_multiplier=0.5, clip=1, expected_batch_size=6
        )

    network, optimizer = fresh()
    torch.manual_seed(5)
    _adam_steps(network, optimizer, 1)
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    # the optimiser goes on writing into the tensors that it hands out
    state, random = deepcopy(optimizer.state_dict()), torch.get_rng_state()
    resumed, resumed_optimizer = fresh()
    resumed.load_state_dict(weights)
    resumed_optimizer.load_state_dict(state)
    torch.set_rng_state(random)
    _adam_steps(resumed, resumed_optimizer, 1)
    torch.set_rng_state(random)
    network.load_state_dict(weights)
    _adam_steps(network, optimizer, 1)
    assert torch.equal(flat(network), flat(resumed))


def test_a_network_that_mixes_pictures_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match="group normalisation"):
        make_private_optimizer(
            network,
            torch.optim.SGD(network.parameters(), lr=1),
            noise_multiplier=1,
            clip=1,
            expected_batch_size=1,
        )


def _renyi(order: int, rate: float, noise: float) -> float:
    """Renyi divergence of the sampled Gaussian mechanism at an integer order (Mironov et al., 2019)."""
    moments = sum(
        math.comb(order, k)
        * (1 - rate) ** (order - k)
        * rate**k
        * math.exp(k * (k - 1) / (2 * noise * noise))
        for k in range(order + 1)
    )
    return math.log(moments) / (order - 1)


def test_the_defaults_spend_epsilon_eight() -> None:
    epsilon = DPSGD().privacy_spent(steps=STEPS, pictures=10_000, batch_size=128)
    assert epsilon == pytest.approx(7.9645, abs=1e-3)
    at_integers = min(
        STEPS * _renyi(order, RATE, 0.655)
        + math.log((order - 1) / order)
        - (math.log(1e-5) + math.log(order)) / (order - 1)
        for order in range(2, 20)
    )
    assert epsilon <= at_integers <= 1.01 * epsilon


def test_epsilon_grows_with_steps_and_falls_with_noise() -> None:
    assert epsilon_spent(0, RATE, 1.0, 1e-5) == 0
    assert epsilon_spent(10, RATE, 0.0, 1e-5) == math.inf
    assert epsilon_spent(100, RATE, 1.0, 1e-5) < epsilon_spent(900, RATE, 1.0, 1e-5)
    assert epsilon_spent(100, RATE, 2.0, 1e-5) < epsilon_spent(100, RATE, 1.0, 1e-5)


def test_poisson_batches_draw_each_picture_with_the_same_chance() -> None:
    drawn = list(poisson_batches(200, 0.1, 500, torch.Generator().manual_seed(1)))
    sizes = torch.tensor([len(part) for part in drawn]).double()
    assert float(sizes.mean()) == pytest.approx(20, abs=0.6)
    assert float(sizes.var()) == pytest.approx(200 * 0.1 * 0.9, rel=0.2)
    counts = torch.bincount(torch.cat(drawn), minlength=200)
    assert counts.min() > 20
    assert counts.max() < 85
    assert all(len(part.unique()) == len(part) for part in drawn)


def test_poisson_batches_repeat_with_their_generator() -> None:
    first, second = (list(poisson_batches(50, 0.3, 4, torch.Generator().manual_seed(9))) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_an_impossible_sample_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        next(poisson_batches(10, rate, 1, torch.Generator()))


@pytest.mark.parametrize("wrong", [{"clip": 0.0}, {"noise_multiplier": -1.0}, {"delta": 1.0}])
def test_impossible_privacy_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="DPSGD needs"):
        DPSGD(**wrong)

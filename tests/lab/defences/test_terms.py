"""The smaller terms against literal values and independent references."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from siftfunnel.lab.defences.autoencoder import Autoencoder, cosine_transform
from siftfunnel.lab.defences.defence import Step
from siftfunnel.lab.defences.losses import distance_correlation_squared, standard_normal_divergence
from siftfunnel.lab.defences.mid import MID
from siftfunnel.lab.defences.negative_label_smoothing import NegativeLabelSmoothing
from siftfunnel.lab.defences.nopeek import NoPeek
from siftfunnel.lab.defences.vib import VIB, ChannelGaussianNoise
from tests.lab.defences.steps import batch, loss_of, number, tiny


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 2, 5, 4), (1, 1, 1, 1)])
def test_the_cosine_transform_is_scipys(shape: tuple[int, ...]) -> None:
    z = np.random.default_rng(0).normal(size=shape)
    wanted = dctn(z, axes=(2, 3), norm="ortho")
    ours = cosine_transform(torch.from_numpy(z).to(memory_format=torch.channels_last))
    np.testing.assert_allclose(ours.numpy(), wanted, atol=1e-12)


def test_the_cosine_penalty_is_the_mean_magnitude_of_the_codes_coefficients() -> None:
    defence = Autoencoder(weight=2.0)
    network = tiny(defence)
    x_NCHW, labels_N = batch()
    loss = loss_of(defence, network, x_NCHW, labels_N)
    z = network.trace(x_NCHW).z_NCHW.detach().numpy()
    penalty = np.abs(dctn(z, axes=(2, 3), norm="ortho")).mean()
    assert number(loss.parts["cosine_l1"]) == pytest.approx(penalty, rel=1e-5)
    assert number(loss.total - loss.parts["cross_entropy"]) == pytest.approx(2 * penalty, rel=1e-4)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (2.0, 1.0), (0.3, 0.2)])
def test_the_divergence_is_pytorchs(mean: float, deviation: float) -> None:
    normal = torch.distributions.Normal(mean, deviation)
    wanted = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(
        standard_normal_divergence(torch.tensor(mean), torch.tensor(deviation)), wanted, atol=1e-6, rtol=1e-5
    )


def test_the_divergence_of_an_underflowed_deviation_is_finite() -> None:
    value = standard_normal_divergence(torch.tensor(0.0), torch.tensor(0.0))
    assert number(value) == pytest.approx(-0.5 + 6 * math.log(10))


def _smoothing_step(logits: list[float], share_done: float) -> Step:
    empty = torch.zeros(1)
    network = tiny(NegativeLabelSmoothing())
    return Step(empty, empty, torch.tensor([logits]), torch.tensor([0]), (), network, share_done)


def test_negative_smoothing_has_the_value_of_the_formula() -> None:
    # p = (1/2, 1/4, 1/4)
    step = _smoothing_step([math.log(2), 0.0, 0.0], share_done=1.0)
    loss = NegativeLabelSmoothing().loss(step)
    ln2 = math.log(2)
    assert number(loss.total) == pytest.approx(1.05 * ln2 - 0.05 * (ln2 + 2 * ln2 + 2 * ln2) / 3)


@pytest.mark.parametrize(
    ("share_done", "wanted"), [(0.0, 0.0), (0.25, 0.0), (0.3125, -0.025), (0.375, -0.05), (1.0, -0.05)]
)
def test_negative_smoothing_follows_the_originals_schedule(share_done: float, wanted: float) -> None:
    assert NegativeLabelSmoothing().smoothing(share_done) == pytest.approx(wanted)


def test_before_the_ramp_the_loss_is_plain_cross_entropy() -> None:
    loss = NegativeLabelSmoothing().loss(_smoothing_step([1.0, 0.0, 0.0], share_done=0.2))
    assert number(loss.total) == number(loss.parts["cross_entropy"])


def test_a_ramp_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="begin before it ends"):
        NegativeLabelSmoothing(start_share=0.5, full_share=0.4)


def test_vib_prices_the_clean_feature_and_not_the_noisy_one() -> None:
    defence = VIB()
    network = tiny(defence)
    x_NCHW, labels_N = batch()
    loss = loss_of(defence, network, x_NCHW, labels_N)
    clean = network.edge(x_NCHW).detach().double()
    wanted = (0.5 * (clean**2 + 0.1**2 - 1) - math.log(0.1)).mean()
    assert number(loss.parts["information"]) == pytest.approx(number(wanted), rel=1e-4)
    assert isinstance(network.stage, ChannelGaussianNoise)


def test_mid_prices_what_the_bottleneck_passes() -> None:
    defence = MID()
    network = tiny(defence)
    loss = loss_of(defence, network, *batch())
    # softplus(-5) = 0.0067 at the start: each of the 128 units costs about (-1 - 2 ln 0.0067) / 2 = 4.5 nats
    assert number(loss.parts["bottleneck"]) == pytest.approx(128 * 4.5, rel=0.1)
    assert number(loss.total - loss.parts["cross_entropy"]) == pytest.approx(
        0.01 * number(loss.parts["bottleneck"]), rel=1e-4
    )


def test_nopeek_is_the_distance_correlation_at_its_weight() -> None:
    defence = NoPeek(alpha=0.5)
    network = tiny(defence)
    x_NCHW, labels_N = batch()
    loss = loss_of(defence, network, x_NCHW, labels_N)
    wanted = 0.5 * distance_correlation_squared(x_NCHW, network.edge(x_NCHW))
    assert number(loss.total - loss.parts["cross_entropy"]) == pytest.approx(number(wanted), rel=1e-4)

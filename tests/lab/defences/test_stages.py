import pytest
import torch
from torch import nn

from siftfunnel.lab.defences.feature_dropout import FeatureDropout
from siftfunnel.lab.defences.gaussian_noise import GaussianNoise
from siftfunnel.lab.defences.vib import ChannelGaussianNoise

STAGES = [GaussianNoise(0.8), FeatureDropout(0.8), ChannelGaussianNoise(2, 0.5)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: type(stage).__name__)
@pytest.mark.parametrize("training", [True, False])
def test_a_stage_acts_in_training_and_in_evaluation(stage: nn.Module, training: bool) -> None:
    z_NCHW = torch.ones(1, 2, 8, 8)
    stage.train(training)
    assert not torch.equal(stage(z_NCHW), z_NCHW)
    assert not torch.equal(stage(z_NCHW), stage(z_NCHW))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: type(stage).__name__)
def test_the_mean_of_many_observations_times_the_gain_is_the_clean_feature(stage: nn.Module) -> None:
    clean = torch.rand(1, 2, 4, 4)
    with torch.no_grad():
        mean = stage(clean.expand(20_000, 2, 4, 4)).mean(0)
    torch.testing.assert_close(mean * stage.gain, clean[0], atol=0.08, rtol=0)


def test_gaussian_noise_has_its_sigma() -> None:
    noise = GaussianNoise(0.8)(torch.zeros(1, 1, 200, 500))
    assert float(noise.std()) == pytest.approx(0.8, abs=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)


def test_dropout_keeps_a_fifth_of_the_values_as_they_are() -> None:
    kept = FeatureDropout(0.8)(torch.full((1, 1, 200, 500), 3.0))
    assert set(kept.unique().tolist()) == {0.0, 3.0}
    assert float((kept != 0).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert FeatureDropout(0.8).gain == pytest.approx(5)


def test_each_channel_has_a_sigma_of_its_own_that_learns() -> None:
    stage = ChannelGaussianNoise(2, 0.1)
    torch.testing.assert_close(stage.sigmas_C, torch.tensor([0.1, 0.1]))
    stage.raw.data[1] = 5.0
    deviations = stage(torch.zeros(1, 2, 200, 500)).flatten(2).std(2)[0]
    torch.testing.assert_close(deviations, torch.tensor([0.1, 5.0067]), rtol=0.02, atol=0)
    deviations.sum().backward()
    assert (stage.raw.grad != 0).all()


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_noise_of_no_size_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        GaussianNoise(sigma)
    with pytest.raises(ValueError, match="positive number"):
        ChannelGaussianNoise(2, sigma)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="probability below 1"):
        FeatureDropout(rate)

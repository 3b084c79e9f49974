"""What a bundle asks of the feature before it leaves, and that it cannot be left out."""

import numpy as np
import pytest

from siftfunnel.shared.manifest import EdgeStage
from siftfunnel.shared.stages import EDGE_STAGES, StageError, make_stages, system_gaussian


def test_the_registry_holds_these_stages() -> None:
    assert list(EDGE_STAGES) == ["gaussian-noise", "channel-gaussian-noise", "feature-dropout"]


def test_an_unknown_stage_is_an_error_and_not_left_out() -> None:
    with pytest.raises(StageError, match=r"'blur'.*known: gaussian-noise, .*unprotected"):
        make_stages([EdgeStage("blur", {"radius": 2})])


@pytest.mark.parametrize(
    "parameters",
    [{}, {"sigma": 0}, {"sigma": -1.0}, {"sigma": "1"}, {"sigma": True}, {"sigma": float("nan")}],
)
def test_noise_without_a_sensible_sigma_is_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(StageError, match="needs sigma"):
        make_stages([EdgeStage("gaussian-noise", parameters)])


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(StageError, match="needs sigma"):
        make_stages([EdgeStage("gaussian-noise", {"sigma": 1.0, "seed": 3})])


def test_noise_has_the_deviation_that_was_asked_for_and_differs_each_time() -> None:
    (stage,) = make_stages([EdgeStage("gaussian-noise", {"sigma": 0.5})])
    features = np.full((1, 8, 64, 64), 3.0, np.float32)
    first, second = stage(features), stage(features)
    assert first.dtype == np.float32
    assert first.shape == features.shape
    assert float(first.mean()) == pytest.approx(3.0, abs=0.02)
    assert float(first.std()) == pytest.approx(0.5, rel=0.05)
    assert not np.array_equal(first, second)


def test_system_noise_is_normal() -> None:
    values = system_gaussian(200_001)
    assert values.shape == (200_001,)
    assert np.isfinite(values).all()
    inside = [float((np.abs(values) < bound).mean()) for bound in (1.0, 2.0, 3.0)]
    assert inside == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.006)
    # neighbours and the two halves of the transform are not related
    assert abs(float(np.corrcoef(values[:-1], values[1:])[0, 1])) < 0.012
    assert abs(float(np.corrcoef(values[:100_000], values[100_001:])[0, 1])) < 0.016


def test_a_channels_noise_has_its_own_deviation() -> None:
    (stage,) = make_stages([EdgeStage("channel-gaussian-noise", {"sigmas": [0.5, 0, 2]})])
    features = np.full((4, 3, 64, 64), 3.0, np.float32)
    noisy = stage(features)
    assert noisy.dtype == np.float32
    assert noisy.std(axis=(0, 2, 3)) == pytest.approx([0.5, 0, 2], rel=0.05)
    assert noisy.mean(axis=(0, 2, 3)) == pytest.approx([3, 3, 3], abs=0.1)
    assert not np.array_equal(noisy, stage(features))


@pytest.mark.parametrize("sigmas", [None, [], 1.0, [1.0, -1.0], [1.0, "2"], [True], [float("inf")], "12"])
def test_channel_noise_without_sensible_sigmas_is_refused(sigmas: object) -> None:
    with pytest.raises(StageError, match="needs sigmas"):
        make_stages([EdgeStage("channel-gaussian-noise", {} if sigmas is None else {"sigmas": sigmas})])


def test_channel_noise_for_another_number_of_channels_is_refused() -> None:
    (stage,) = make_stages([EdgeStage("channel-gaussian-noise", {"sigmas": [1.0]})])
    with pytest.raises(StageError, match="1 sigmas, the feature 3 channels"):
        stage(np.zeros((1, 3, 2, 2), np.float32))


def test_dropout_keeps_its_share_of_the_values_as_they_are() -> None:
    (stage,) = make_stages([EdgeStage("feature-dropout", {"rate": 0.8})])
    features = np.full((1, 8, 64, 64), 3.0, np.float32)
    first, second = stage(features), stage(features)
    assert first.dtype == np.float32
    assert set(np.unique(first)) == {0.0, 3.0}
    assert float((first == 0).mean()) == pytest.approx(0.8, abs=0.01)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("rate", "kept"), [(0, 1.0), (1, 0.0)])
def test_dropout_of_nothing_and_of_everything(rate: int, kept: float) -> None:
    (stage,) = make_stages([EdgeStage("feature-dropout", {"rate": rate})])
    assert float(stage(np.ones((2, 16, 16), np.float32)).mean()) == kept


@pytest.mark.parametrize(
    "parameters",
    [{}, {"rate": -0.1}, {"rate": 1.1}, {"rate": "0.5"}, {"rate": True}, {"rate": 0.5, "seed": 1}],
)
def test_dropout_without_a_sensible_rate_is_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(StageError, match="needs rate"):
        make_stages([EdgeStage("feature-dropout", parameters)])


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("gaussian-noise", {"sigma": 0.1}),
        ("channel-gaussian-noise", {"sigmas": [0.1, 0.2]}),
        ("feature-dropout", {"rate": 0.5}),
    ],
)
@pytest.mark.parametrize("shape", [(2, 5, 7), (3, 2, 5, 7)])
def test_a_stage_takes_one_feature_or_a_batch(
    kind: str, parameters: dict[str, object], shape: tuple[int, ...]
) -> None:
    (stage,) = make_stages([EdgeStage(kind, parameters)])
    changed = stage(np.ones(shape, np.float32))
    assert changed.shape == shape
    assert changed.dtype == np.float32

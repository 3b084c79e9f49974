"""What a bundle asks of the feature before it leaves, and that it cannot be left out."""

import numpy as np
import pytest

from edge_client.errors import ModelError
from edge_client.stages import EDGE_STAGES, make_stages, system_gaussian
from shared.bundle import EdgeStage


def test_the_registry_holds_these_stages() -> None:
    assert list(EDGE_STAGES) == ["gaussian-noise"]


def test_an_unknown_stage_is_an_error_and_not_left_out() -> None:
    with pytest.raises(ModelError, match=r"'blur'.*known: gaussian-noise.*unprotected"):
        make_stages([EdgeStage("blur", {"radius": 2})])


@pytest.mark.parametrize(
    "parameters",
    [{}, {"sigma": 0}, {"sigma": -1.0}, {"sigma": "1"}, {"sigma": True}, {"sigma": float("nan")}],
)
def test_noise_without_a_sensible_sigma_is_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="needs sigma"):
        make_stages([EdgeStage("gaussian-noise", parameters)])


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ModelError, match="needs sigma"):
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

import numpy as np
import pytest

from siftfunnel.shared.wire.quantiser import Quantiser


def quantiser(levels=5, steps=(0.5,), zero_levels=(1,)):
    return Quantiser(levels, np.array(steps, np.float32), np.array(zero_levels, np.int32))


def test_levels_of_literal_values():
    levels = quantiser().quantise(np.array([[-9, -0.5, -0.2, 0, 0.2, 0.3, 1.5, 1.6, 9]], np.float32))
    assert levels.tolist() == [[0, 0, 1, 1, 1, 2, 4, 4, 4]]


def test_values_of_literal_levels():
    values = quantiser().dequantise(np.array([[0, 1, 2, 3, 4]], np.int32))
    assert values.tolist() == [[-0.5, 0.0, 0.5, 1.0, 1.5]]


def test_each_channel_has_its_own_step_and_zero():
    two = quantiser(levels=4, steps=(1, 0.25), zero_levels=(0, 3))
    assert two.quantise(np.array([[2, -1], [-0.5, 1]], np.float32)).tolist() == [[2, 0], [1, 3]]
    assert two.lowest.tolist() == [[0.0], [-0.75]]
    assert two.highest.tolist() == [[3.0], [0.0]]


@pytest.mark.parametrize("step", [0.0, -1.0, np.nan, np.inf, 1e-31, 1e31])
def test_a_step_that_is_no_step_is_refused(step):
    with pytest.raises(ValueError, match="steps must lie in"):
        quantiser(steps=(step,))


@pytest.mark.parametrize("zero_level", [-1, 5])
def test_a_zero_level_that_is_no_level_is_refused(zero_level):
    with pytest.raises(ValueError, match=r"zero_levels must lie in \[0, 4\]"):
        quantiser(zero_levels=(zero_level,))


@pytest.mark.parametrize("levels", [0, 1, 257])
def test_a_number_of_levels_out_of_range_is_refused(levels):
    with pytest.raises(ValueError, match=r"levels must lie in \[2, 256\]"):
        quantiser(levels=levels, zero_levels=(0,))


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="same length"):
        quantiser(steps=(1, 1))


@pytest.mark.parametrize("step", [1e-30, 1e30])
def test_the_largest_floats_saturate_without_overflow(step):
    limit = np.finfo(np.float32).max
    extremes = np.array([[-limit, limit]], np.float32)
    assert quantiser(levels=256, steps=(step,), zero_levels=(100,)).quantise(extremes)[0, 1] in range(256)

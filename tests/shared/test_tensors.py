import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.tensors import TensorSpec, pack, pack_arrays, unpack_array
from tests.shared.test_manifest_2 import tensor_lists


@given(tensor_lists, st.integers(0, 3))
def test_tensors_that_are_packed_come_back(tensors, frames):
    rng = np.random.default_rng(0)
    arrays = tuple(rng.normal(size=(frames, *tensor.shape)).astype(np.float32) for tensor in tensors)
    packed = pack_arrays(arrays, tensors)
    assert packed.shape == (frames, *pack(tensors).shape)
    for back, array in zip(unpack_array(packed, tensors), arrays, strict=True):
        np.testing.assert_array_equal(back, array)
        assert back.flags.c_contiguous


def test_one_tensor_is_not_copied():
    array = np.zeros((2, 3, 4, 5), np.float32)
    assert np.shares_memory(pack_arrays([array], (TensorSpec("cut", (3, 4, 5)),)), array)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.zeros((1, 3), np.float32)], "2 tensors are wanted, 1 given"),
        (
            [np.zeros((1, 3), np.float32), np.zeros((2, 2), np.float32)],
            r"tensor b: expected float32 of shape \(1, 2\)",
        ),
        ([np.zeros((1, 3), np.float64), np.zeros((1, 2), np.float32)], "tensor a: .* not float64"),
    ],
)
def test_what_does_not_fit_is_named(arrays, message):
    with pytest.raises(ValueError, match=message):
        pack_arrays(arrays, (TensorSpec("a", (3,)), TensorSpec("b", (2,))))


def test_features_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"features have shape \(4, 1, 1\)"):
        unpack_array(np.zeros((1, 4, 1, 1), np.float32), (TensorSpec("a", (3,)), TensorSpec("b", (2,))))

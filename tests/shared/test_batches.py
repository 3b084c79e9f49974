"""Whatever a graph takes at once: every frame gets what it would get alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.batches import in_pieces


@given(st.integers(1, 9), st.none() | st.integers(1, 4), st.booleans())
def test_every_frame_gets_its_own_row_whatever_the_pieces(frames, fixed, alone):
    sizes = []

    def compute(arrays):
        first, second = arrays
        sizes.append(len(first))
        return [first + second, second * 2]

    first, second = np.arange(frames), np.arange(frames * 2).reshape(frames, 2)
    total, double = in_pieces((first[:, None], second), compute, fixed, alone)
    assert np.array_equal(np.asarray(total), first[:, None] + second)
    assert np.array_equal(np.asarray(double), second * 2)
    assert set(sizes) == {fixed or (1 if alone else frames)}


def test_frames_whose_outputs_have_their_own_length_stay_apart():
    def count(arrays):
        (values,) = arrays
        return [np.arange(values[0])[None]]

    (rows,) = in_pieces([np.array([2, 0, 3])], count, fixed=None, alone=True)
    assert [row.tolist() for row in rows] == [[0, 1], [], [0, 1, 2]]


def test_what_fails_in_one_piece_fails():
    def fail(arrays):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        in_pieces([np.zeros(3)], fail, fixed=2)

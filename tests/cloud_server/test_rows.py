"""The array that a worker keeps."""

import numpy as np

from siftfunnel.cloud_server.rows import Rows


def feature(value: float) -> np.ndarray:
    return np.full((2, 3, 3), value, np.float32)


def test_rows_of_a_batch_lie_one_after_the_other_and_are_reused() -> None:
    rows = Rows(4)
    rows.begin(3)
    assert [rows.add(feature(value)) for value in (1, 2, 3)] == [0, 1, 2]
    batch = rows.batch_NCHW(0, 3)
    assert batch[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert batch.flags.c_contiguous
    assert rows.batch_NCHW(1, 2)[:, 0, 0, 0].tolist() == [2]
    rows.begin(2)
    rows.add(feature(9))
    assert np.shares_memory(rows.batch_NCHW(0, 1), batch)


def test_a_lone_frame_is_not_copied() -> None:
    rows, lone = Rows(4), feature(5)
    rows.begin(1)
    rows.add(lone)
    assert np.shares_memory(rows.batch_NCHW(0, 1), lone)
    rows.begin(2)
    rows.add(feature(6))
    assert rows.batch_NCHW(0, 1)[0, 0, 0, 0] == 6

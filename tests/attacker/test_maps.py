import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.pictures import MAX_SHEET_PIXELS, ZERO, tensor_picture, tile_grid


@pytest.mark.parametrize(
    ("count", "grid"), [(1, (1, 1)), (2, (1, 2)), (12, (3, 4)), (64, (8, 8)), (3, (2, 2))]
)
def test_tiles_make_a_nearly_square_sheet(count: int, grid: tuple[int, int]) -> None:
    assert tile_grid(count) == grid


def test_maps_lie_side_by_side_with_one_dark_pixel_between() -> None:
    features = np.zeros((4, 2, 2), np.float32)
    features[3], features[1] = 4.0, -4.0
    sheet = np.asarray(tensor_picture(features))
    assert sheet.shape == (5, 5)
    assert sheet[:2, :2].tolist() == [[ZERO, ZERO], [ZERO, ZERO]]
    assert sheet[3:, 3:].tolist() == [[255, 255], [255, 255]]
    assert sheet[:2, 3:].tolist() == [[1, 1], [1, 1]]
    assert sheet[2].tolist() == [ZERO] * 5


def test_zero_is_dark_and_both_signs_are_bright_and_differ() -> None:
    values = np.asarray([[[-1.0, 0.0, 1.0]] * 3] * 2, np.float32)
    below, zero, above = np.asarray(tensor_picture(values).convert("RGB"))[0, :3].astype(int)
    assert min(below.sum(), above.sum()) > 5 * zero.sum()
    assert below[0] < below[2]
    assert above[0] > above[2]


def test_few_values_among_zeros_keep_their_sizes() -> None:
    """What a funnel sends is zero nearly everywhere."""
    values = np.zeros((64, 8, 8), np.float32)
    values[0, 0, :3] = (1, 4, 9)
    assert np.diff(np.asarray(tensor_picture(values))[0, :3].astype(int)).min() > 20


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((640, 7, 7), (63, 63)),  # the 64 of them that are shown, 7 pixels each
        ((1280, 1, 1), (36, 36)),
        ((16,), (4, 4)),
        ((5,), (3, 2)),
        ((1, 2, 2), (2, 2)),
        ((3, 224, 224), (383, 383)),
        ((1, 197, 768), (384, 98)),
        ((100_000,), (64, 64)),
        ((), (1, 1)),
    ],
)
def test_every_shape_is_a_sheet_that_a_page_can_show(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    assert tensor_picture(np.ones(shape, np.float32)).size == size


@given(
    shape=st.lists(st.integers(1, 60), max_size=3),
    value=st.floats(width=32, allow_nan=True, allow_infinity=True),
    dtype=st.sampled_from(["float32", "float16", "int64", "bool"]),
)
def test_whatever_a_tensor_holds_it_is_a_picture_of_bounded_size(
    shape: list[int], value: float, dtype: str
) -> None:
    values = np.random.default_rng(0).normal(0, 1, shape)
    values.flat[0] = value
    with np.errstate(all="ignore"):
        picture = tensor_picture(np.asarray(values).astype(dtype))
    assert 1 <= max(picture.size) <= MAX_SHEET_PIXELS

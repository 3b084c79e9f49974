"""Numbers in metadata are read without trust."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.call_metadata import MOST, whole_number


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("0", 0),
        ("64", 64),
        ("007", 7),
        (str(MOST), MOST),
        (str(MOST + 1), MOST),
        ("9" * 5000, MOST),
        ("0" * 5000 + "3", 3),
        ("", None),
        ("-1", None),
        ("1.0", None),
        ("²", None),
        (" 1", None),
        (b"64", None),
        (None, None),
    ],
)
def test_a_number_is_read_bounded_or_not_at_all(told: object, expected: int | None) -> None:
    assert whole_number(told) == expected


@given(st.text() | st.binary())
def test_anything_is_a_bounded_number_or_none(told: object) -> None:
    number = whole_number(told)
    assert number is None or 0 <= number <= MOST

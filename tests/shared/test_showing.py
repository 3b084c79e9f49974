"""What may be shown of the name of a place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.shared.showing import printable, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:geheim@10.0.0.7:554/live", "rtsp://***@10.0.0.7:554/live"),
        ("rtsp://admin:ge@heim@10.0.0.7/live", "rtsp://***@10.0.0.7/live"),
        ("http://token@models:8000/v2", "http://***@models:8000/v2"),
        ("//user:geheim@host:50051", "//***@host:50051"),
        ("rtsp://c/live?user=a&password=geheim&channel=1", "rtsp://c/live?user=a&password=***&channel=1"),
        ("rtsp://c/user=admin_password=geheim", "rtsp://c/user=admin_password=***"),
        ("http://c/?access_token=geheim#top", "http://c/?access_token=***#top"),
        ("two: rtsp://a:geheim@b/ and rtsp://c:geheim@d/", "two: rtsp://***@b/ and rtsp://***@d/"),
        ("pictures/cat@home.jpg", "pictures/cat@home.jpg"),
        ("http://host/a@b", "http://host/a@b"),
        ("pictures//cat@home.jpg", "pictures//cat@home.jpg"),
    ],
)
def test_credentials_are_taken_out_and_nothing_else(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@given(st.text())
def test_any_text_prints_in_one_line(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text).splitlines()) <= 1


@given(st.text().filter(str.isprintable))
def test_what_prints_is_left_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_does_not_print_is_escaped() -> None:
    assert printable("a\nb\x1b[2J\udcff\u202egpj.exe ä") == r"a\nb\x1b[2J\udcff\u202egpj.exe ä"

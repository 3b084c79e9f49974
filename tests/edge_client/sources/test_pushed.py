"""Pictures handed over on a descriptor: paths and bytes, and what is neither."""

import contextlib
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.edge_client.errors import SourceError
from siftfunnel.edge_client.picture import Picture
from siftfunnel.edge_client.sources.pushed import PushedPictures


def read(data: bytes, stop: threading.Event | None = None) -> list[Picture]:
    """What the source makes of an input; it comes in pieces, as pipes give it."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            for start in range(0, len(data), 50_000):
                pipe.write(data[start : start + 50_000])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        return list(PushedPictures(reader).pictures(stop or threading.Event()))
    finally:
        os.close(reader)
        thread.join()


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def test_paths_and_bytes_mix_and_keep_name_and_label() -> None:
    encoded = bytes(range(256)) * 700 + b"\n"
    data = line(path="a.png", label="cat") + line(bytes=len(encoded), name="webcam") + encoded
    assert read(data + line(path="b.png", name="second")) == [
        Picture("a.png", Path("a.png"), "cat"),
        Picture("webcam", encoded, None),
        Picture("second", Path("b.png"), None),
    ]


def test_a_path_that_is_no_text_arrives_as_it_is() -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    (picture,) = read(line(path=name))
    assert os.fsencode(picture.image) == b"\xff\xfe.png"


def test_empty_lines_are_skipped_and_the_last_needs_no_end() -> None:
    assert [picture.name for picture in read(b"\n\n" + line(path="a.png") + b'{"path": "b.png"}')] == [
        "a.png",
        "b.png",
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nonsense\n", "picture 1 on standard input: not JSON"),
        (b"{}\n", 'either "path" or "bytes"'),
        (line(path="a", bytes=3), 'either "path" or "bytes"'),
        (line(bytes=0), "bytes must be 1 to"),
        (line(bytes=1 << 40), "bytes must be 1 to"),
        (line(bytes=True), "bytes must be of type int"),
        (line(path="a", labels="x"), "unknown field 'labels'"),
        (line(path="a") + b"[" * 70_000, "picture 2 on standard input: a line longer than 65536 bytes"),
        (line(bytes=10) + b"1234", "ended after 4 of 10 bytes"),
    ],
)
def test_what_is_no_picture_is_named_by_its_number(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=r"picture [12] on standard input") as caught:
        read(data)
    assert message in str(caught.value)


@given(st.binary(max_size=300))
def test_any_input_is_pictures_or_a_source_error(data: bytes) -> None:
    with contextlib.suppress(SourceError):
        read(data)


def test_a_stop_ends_the_reading_of_an_open_input() -> None:
    reader, writer = os.pipe()
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    try:
        assert list(PushedPictures(reader).pictures(stop)) == []
    finally:
        os.close(reader)
        os.close(writer)

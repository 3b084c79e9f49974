"""Compressed messages: what they held, never more than the limit, and never an accident."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siftfunnel.attacker.tap.inflate import InflateError, inflate, may_begin_compressed


def raw_deflate(message: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(message) + compressor.flush()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        (None, gzip.compress),
        (None, zlib.compress),
    ],
)
def test_a_message_comes_back(encoding, compress) -> None:
    message = bytes(range(256)) * 40
    assert inflate(compress(message), encoding, len(message)) == message
    with pytest.raises(InflateError, match="more than 10239 bytes"):
        inflate(compress(message), encoding, len(message) - 1)


def test_a_bomb_is_refused_by_its_limit_and_not_inflated_further() -> None:
    bomb = gzip.compress(bytes(100 << 20))
    with pytest.raises(InflateError, match="more than 1000 bytes"):
        inflate(bomb, "gzip", 1000)


def test_an_encoding_this_tap_does_not_read_is_named() -> None:
    with pytest.raises(InflateError, match="snappy"):
        inflate(b"x", "snappy", 10)


def test_a_message_that_is_cut_off_is_none() -> None:
    with pytest.raises(InflateError):
        inflate(gzip.compress(bytes(1000))[:-9], "gzip", 10_000)


@given(st.binary(max_size=300), st.sampled_from([None, "gzip", "deflate", "zstd", "identity"]))
def test_any_bytes_are_a_message_or_a_reason(body: bytes, encoding: str | None) -> None:
    may_begin_compressed(body)
    try:
        assert len(inflate(body, encoding, 100)) <= 100
    except InflateError:
        return


@given(st.binary(max_size=500), st.sampled_from([gzip.compress, zlib.compress]))
def test_what_was_compressed_begins_like_it(message: bytes, compress) -> None:
    assert may_begin_compressed(compress(message))
    assert inflate(compress(message), None, 500) == message

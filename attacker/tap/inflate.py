"""gRPC's message compression: what a message was before, within a bound."""

import zlib

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
# "deflate" means zlib's format (RFC 1950) in gRPC; some implementations leave its header out.
_WINDOW_BITS: dict[str | None, tuple[int, ...]] = {
    None: (_GZIP_OR_ZLIB,),
    "gzip": (_GZIP_OR_ZLIB,),
    "deflate": (_GZIP_OR_ZLIB, -zlib.MAX_WBITS),
}


class InflateError(ValueError):
    """A compressed message that is not read; the text says why."""


def inflate(body: bytes, encoding: str | None, limit_bytes: int) -> bytes:
    """What a compressed message held.

    Args:
        body: the message as it passed.
        encoding: the call's `grpc-encoding`; None where it was not heard, then gzip and zlib are tried.
        limit_bytes: longest message that is taken.

    Raises:
        InflateError: another encoding, damaged or unfinished data, or more than `limit_bytes`.

    >>> inflate(zlib.compress(b"message"), "deflate", 100)
    b'message'
    """
    if encoding not in _WINDOW_BITS:
        raise InflateError(f"compressed in a way this tap does not read ({encoding!s:.20})")
    for window_bits in _WINDOW_BITS[encoding]:
        stream = zlib.decompressobj(window_bits)
        try:
            message = stream.decompress(body, limit_bytes + 1)
        except zlib.error:
            continue
        if len(message) > limit_bytes:
            raise InflateError(f"a compressed message of more than {limit_bytes} bytes")
        if stream.eof:
            return message
    raise InflateError("a compressed message that cannot be decompressed")


def may_begin_compressed(body: bytes) -> bool:
    """Whether bytes begin like gzip or zlib data.

    >>> may_begin_compressed(bytes.fromhex("1f8b08")), may_begin_compressed(bytes.fromhex("789c"))
    (True, True)
    """
    if body.startswith(b"\x1f\x8b"):
        return True
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0

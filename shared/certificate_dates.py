"""From when until when a certificate is valid: the two dates of an X.509 certificate, and nothing else of it.

Python's `ssl` tells them of a peer's certificate only, and a device carries no library that reads others.
Where they stand is fixed (RFC 5280, section 4.1): a few fields are stepped over and two are read.
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _GENERALIZED_TIME = 0xA0, 0x18
_BEFORE_VALIDITY = 3
"""Serial number, signature algorithm, issuer."""


def validity(pem: str) -> Iterator[tuple[datetime, datetime]]:
    """First and last moment of each certificate in a text of PEM blocks.

    Raises:
        ValueError: a block that is no certificate.
    """
    for block in _PEM.findall(pem):
        der = ssl.PEM_cert_to_DER_cert(block)
        try:
            yield _dates(der)
        except IndexError:
            raise ValueError("a certificate that ends too early") from None


def _dates(der: bytes) -> tuple[datetime, datetime]:
    certificate, _ = _content(der, 0)
    at, _ = _content(der, certificate)
    if der[at] == _VERSION:
        _, at = _content(der, at)
    for _ in range(_BEFORE_VALIDITY):
        _, at = _content(der, at)
    start, _ = _content(der, at)
    _, end = _content(der, start)
    return _date(der, start), _date(der, end)


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the field at a place begin, and where they end."""
    length, begin = der[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        length, begin = int.from_bytes(der[begin : begin + octets], "big"), begin + octets
    return begin, begin + length


def _date(der: bytes, at: int) -> datetime:
    begin, end = _content(der, at)
    form = "%Y%m%d%H%M%SZ" if der[at] == _GENERALIZED_TIME else "%y%m%d%H%M%SZ"
    return datetime.strptime(der[begin:end].decode("ascii"), form).replace(tzinfo=UTC)

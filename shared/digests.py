"""SHA-256 digests, the names that bundles and files go by."""

import hashlib
import re

_DIGEST = re.compile(r"[0-9a-f]{64}")


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of some bytes as 64 lower-case hex digits.

    >>> sha256_hex(b"")
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    return hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 as `sha256_hex` writes it.

    >>> is_digest("e3b0")
    False
    """
    return _DIGEST.fullmatch(text) is not None

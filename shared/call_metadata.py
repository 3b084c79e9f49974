"""What stands in a call's metadata beside the frames: keys, and numbers read without trust."""

from collections.abc import Iterable
from urllib.parse import quote, unquote

BUNDLE_KEY = "siftfunnel-bundle"
"""Both ways: the digest of the bundle that the call is about."""

TOP_K_KEY = "siftfunnel-top-k"
"""Request: classes per prediction."""

OUTPUTS_KEY = "siftfunnel-outputs"
"""Request: outputs that predictions carry, as `choice_as_text` writes their names."""

MAX_OUTPUT_BYTES = 4 * 2**20
"""What they take at most together in one reply, unless an end is told otherwise, bytes."""

WINDOW_KEY = "siftfunnel-window"
"""Response: frames in flight that the server takes per stream."""

MESSAGE_BYTES_KEY = "siftfunnel-message-bytes"
"""Response: the largest message that the server takes, bytes."""

SEALED_KEY, SEALED = "siftfunnel-sealed", "crc32c"
"""Response: every reply of this call has its checksum (`siftfunnel.shared.reply_seal`)."""

MOST = 2**31 - 1
_PLAIN = "/:"


def whole_number(told: object) -> int | None:
    """A whole number as the other side wrote it; None for anything else.

    What is above `MOST` is read as `MOST`: Python reads no number of 5,000 digits, and nobody needs one.

    >>> whole_number("64"), whole_number("9" * 5000) == MOST, whole_number("-1"), whole_number(b"64")
    (64, True, None, None)
    """
    if not isinstance(told, str) or not (told.isascii() and told.isdigit()):
        return None
    digits = told.lstrip("0")
    return MOST if len(digits) > len(str(MOST)) else min(int(digits or "0"), MOST)


def choice_as_text(names: Iterable[str]) -> str:
    """Names as call metadata carry them, which hold ASCII only.

    >>> choice_as_text(["boxes", "head/1:0", "größe, x"])
    'boxes,head/1:0,gr%C3%B6%C3%9Fe%2C%20x'
    """
    return ",".join(quote(name, safe=_PLAIN) for name in names)


def read_choice(text: str) -> list[str]:
    """The names that `choice_as_text` wrote; of any text, some names.

    >>> read_choice("boxes,head/1:0"), read_choice("")
    (['boxes', 'head/1:0'], [])
    """
    return [unquote(name) for name in text.split(",")] if text else []

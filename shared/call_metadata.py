"""What stands in a call's metadata beside the frames: keys, and numbers read without trust."""

BUNDLE_KEY = "siftfunnel-bundle"
"""Both ways: the digest of the bundle that the call is about."""

TOP_K_KEY = "siftfunnel-top-k"
"""Request: classes per prediction."""

OUTPUTS_KEY = "siftfunnel-outputs"
"""Request: outputs that predictions carry, by name (`siftfunnel.shared.output_tensors`)."""

WINDOW_KEY = "siftfunnel-window"
"""Response: frames in flight that the server takes per stream."""

MESSAGE_BYTES_KEY = "siftfunnel-message-bytes"
"""Response: the largest message that the server takes, bytes."""

SEALED_KEY, SEALED = "siftfunnel-sealed", "crc32c"
"""Response: every reply of this call has its checksum (`siftfunnel.shared.reply_seal`)."""

MOST = 2**31 - 1


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

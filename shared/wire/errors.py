"""The one error of the wire format."""


class CodecError(ValueError):
    """Features that cannot be encoded, a payload that does not decode, or a codec there is not."""

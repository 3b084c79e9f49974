"""Codecs for people: the lines of `siftfunnel bundle show`."""

from dataclasses import dataclass

from siftfunnel.shared.wire.codec import SealedCodec


@dataclass(frozen=True)
class CodecSummary:
    """What one codec does to a feature tensor.

    Attributes:
        index: on the wire.
        name: for people.
        kind: "float", "affine", "table", "lattice", "signed" or "packed".
        precision: what a value becomes.
        expected_payload_bytes: mean length on features like those it was calibrated on.
        max_payload_bytes: no payload is longer.
        bits_per_value: expected_payload_bytes spread over the tensor's values.
    """

    index: int
    name: str
    kind: str
    precision: str
    expected_payload_bytes: float
    max_payload_bytes: int
    bits_per_value: float

    def __str__(self) -> str:
        return (
            f"{self.index} {self.name:<5} about {self.expected_payload_bytes:.0f} bytes a frame "
            f"({self.bits_per_value:.2f} bits a value), at most {self.max_payload_bytes}: {self.precision}"
        )


def describe(codec: SealedCodec) -> CodecSummary:
    """Summarise a codec.

    The fp32 codec of a 12x8x8 feature has 3,076 expected bytes: 768 values of 4 bytes, and the seal.
    """
    expected = codec.expected_payload_bytes
    return CodecSummary(
        index=codec.index,
        name=codec.name,
        kind=codec.kind,
        precision=codec.body.precision,
        expected_payload_bytes=expected,
        max_payload_bytes=codec.max_payload_bytes,
        bits_per_value=8 * expected / codec.feature.size,
    )
